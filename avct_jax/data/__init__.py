"""Signals: audio, phonemes, faces, poses, video. No Flax here."""
