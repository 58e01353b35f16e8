"""Signals: sound, phonemes, faces, poses, video. No Flax here."""
