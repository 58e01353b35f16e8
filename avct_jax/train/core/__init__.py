"""The training loop and what it stands on: state, optimiser, sharding, checkpoints."""
