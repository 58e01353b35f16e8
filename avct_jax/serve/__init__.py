"""`avct serve`: a page, jobs over HTTP, and live streams by WebSocket and WebRTC; needs the extra `serve`."""
