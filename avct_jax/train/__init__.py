"""Losses, optimisers, stages and the training loop."""
