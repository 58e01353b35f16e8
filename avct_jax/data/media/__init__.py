"""Images, videos and sound tracks, read and written."""
