"""What all tests of agents need."""

import numpy as np
import pytest

from avct_jax.data.phonemes import pronunciation
from avct_jax.data.speech import streaming_features


@pytest.fixture(autouse=True, scope="session")
def _dictionary():
    """Frameworks' tests wait 1 s for a start; the dictionary alone takes that on a busy machine."""
    pronunciation.pronunciations("hello")


@pytest.fixture
def no_pitch(monkeypatch):
    """Speed: WORLD takes most of the time of these tests."""
    monkeypatch.setattr(streaming_features, "pitch", lambda audio: np.zeros(4))
