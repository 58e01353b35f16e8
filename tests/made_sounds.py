"""Sounds that are made for tests."""

import numpy as np


def vowel(seconds: float, *, hertz: float = 120.0, seed: int = 0) -> np.ndarray:
    """A buzzing vowel with a little noise, 16 kHz: speech enough for pitch and energy."""
    time = np.arange(round(seconds * 16000)) / 16000
    buzz = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 12))
    return (0.2 * buzz + np.random.default_rng(seed).normal(0, 0.002, len(time))).astype(np.float32)
