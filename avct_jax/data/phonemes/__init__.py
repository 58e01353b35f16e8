"""Phonemes: the 41 symbols and their files, recognised from sound, or aligned with a text."""
