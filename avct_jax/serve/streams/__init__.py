"""Live streams: by requests, by WebSocket, by WebRTC."""
