"""Stages of the mesh system, and the data that only they have."""
