"""One portrait and one voice in, a talking face out.

`avct_jax.load()` makes an Animator of the embedded checkpoint; its `animate(image, audio, output)` writes a
video. `Stream` makes frames while the audio comes. The pure functions are in `avct_jax.inference`, the
networks in `avct_jax.models`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avct_jax.animator.factory import Animator, Report, load
    from avct_jax.animator.portrait import faces
    from avct_jax.errors import UserError
    from avct_jax.live.async_stream import AsyncStream
    from avct_jax.live.frames import StreamFrame
    from avct_jax.live.stream import Stream
    from avct_jax.motion import Motion, relative_transfer

__all__ = [
    "Animator",
    "AsyncStream",
    "Motion",
    "Report",
    "Stream",
    "StreamFrame",
    "UserError",
    "faces",
    "load",
    "relative_transfer",
]
__version__ = "0.1.0"

_HOMES = {
    "Animator": "animator.factory",
    "AsyncStream": "live.async_stream",
    "Motion": "motion",
    "Report": "animator.factory",
    "Stream": "live.stream",
    "StreamFrame": "live.frames",
    "UserError": "errors",
    "faces": "animator.portrait",
    "load": "animator.factory",
    "relative_transfer": "motion",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `import avct_jax` alone loads neither JAX nor the front ends."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"avct_jax.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'avct_jax' has no attribute {name!r}")
