"""Faces in pictures: detection, landmarks, head pose, crops, and how faces move."""
