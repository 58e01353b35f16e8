"""Avatars for voice agents: a live stream as a part of Pipecat and LiveKit, each an extra."""
