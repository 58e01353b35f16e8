"""Phonemes: the 41 symbols and their files, recognised from audio, or aligned with a text."""
