"""Evaluation: videos of a system beside the real ones, measured and shown."""
