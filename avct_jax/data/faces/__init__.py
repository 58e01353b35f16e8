"""Faces in images: detection, landmarks, head pose, crops, and how faces move."""
