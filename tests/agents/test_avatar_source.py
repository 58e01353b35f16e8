"""What agents' avatars are made of, with and without the frameworks."""

import asyncio
import importlib
import sys

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.agents import avatar_source
from tests.agents import agent_parts


def test_an_image_or_a_stream_is_taken_and_no_more():
    stream = agent_parts.KeepingStream()
    assert asyncio.run(avatar_source.AvatarSource(None, stream, {}).open()) is stream
    stream.stream.close()
    for image, given in ((None, None), ("face.jpg", stream)):
        with pytest.raises(errors.UserError, match="give one of them"):
            avatar_source.AvatarSource(image, given, {})
    with pytest.raises(errors.UserError, match="takes no 'seed'; leave"):
        avatar_source.AvatarSource(None, stream, {"seed": 1})
    with pytest.raises(errors.UserError, match=r"no\.jpg"):
        asyncio.run(avatar_source.AvatarSource("no.jpg", None, {"size": 256}).open())


def test_channels_are_averaged():
    left, right = np.array([1, -3, 32767], np.int16), np.array([5, -4, 32767], np.int16)
    both = np.stack([left, right], 1).tobytes()
    np.testing.assert_array_equal(avatar_source.mono(both, 2), [3, -4, 32767])
    np.testing.assert_array_equal(avatar_source.mono(memoryview(left).cast("B"), 1), left)
    with pytest.raises(errors.UserError, match="6 bytes of audio are given; 2 channel"):
        avatar_source.mono(left.tobytes(), 2)


@pytest.mark.parametrize(
    ("module", "framework", "extra"),
    [("pipecat_service", "pipecat", "pipecat"), ("livekit_avatar", "livekit", "livekit")],
)
def test_missing_extra_is_told_in_one_line(monkeypatch, module, framework, extra):
    name = f"avct_jax.agents.{module}"
    for known in [known for known in sys.modules if known.partition(".")[0] == framework or known == name]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(errors.UserError, match=rf"pip install 'avct-jax\[{extra}\]'$") as caught:
        importlib.import_module(name)
    assert "\n" not in str(caught.value)
