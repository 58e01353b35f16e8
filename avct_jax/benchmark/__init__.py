"""Frames a second and operations a frame."""
