"""Images, videos and audio tracks, read and written."""
