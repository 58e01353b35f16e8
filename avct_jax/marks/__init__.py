"""Marks of a synthetic video: an imperceptible watermark in its frames, and signed Content Credentials."""
