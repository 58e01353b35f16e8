"""Presets of the four trainings; a preset's text says what it has reproduced, and with which command."""
