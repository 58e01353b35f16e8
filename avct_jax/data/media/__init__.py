"""Pictures, videos and sound tracks, read and written."""
