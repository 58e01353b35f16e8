"""Heads that speak in their picture: each drawn in its square and put back, frame by frame."""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from avct_jax.animator import stopwatch
from avct_jax.animator.framing import whole_picture
from avct_jax.data.faces import crop
from avct_jax.data.portrait import eyeballs, inset, territory

BLOCK_BYTES = 1 << 25  # of frames that are handed over at once


class SceneHead(NamedTuple):
    """One that speaks.

    Attributes:
      portrait: as it is drawn.
      inset: puts what is drawn into the picture.
    """

    portrait: Any
    inset: inset.Inset


class Scene(NamedTuple):
    """A picture and the heads that speak in it, the smallest first: who is nearer hides who is behind."""

    picture: UInt8[np.ndarray, "h w 3"]
    heads: tuple[SceneHead, ...]


def prepare(
    animator: Any,
    seen: whole_picture.SeenPicture,
    size: int | None = None,
    *,
    whole_eyes: bool = False,
) -> tuple[Scene, list[UInt8[np.ndarray, "s s 3"]]]:
    """Ready a picture.

    Args:
      animator: a MeshAnimator.
      size: px, at which squares are drawn.
      whole_eyes: eyes may look anywhere and open wide.

    Returns:
      Its heads in the order of `seen`, and their squares as they are drawn from.
    """
    heads, cuts = [], []
    for head in seen.heads:
        side = whole_picture.drawn_size(head.square, size)
        cut = crop.crop(seen.pixels, head.square, side)
        others = [*seen.others, *(other.points for other in seen.heads if other is not head)]
        weight = territory.own(head.square, head.points, others, seen.pixels.shape)
        points = crop.to_unit(head.points, head.square, side)
        layers = animator.take_apart(cut, points)
        layers = territory.hold(layers, weight)
        put = inset.Inset(seen.pixels, head.square, weight, rest=cut, cover=layers.cover[::2, ::2].copy())
        eyes = eyeballs.complete(cut, points) if whole_eyes else None
        heads.append(SceneHead(animator.ready_layers(layers, eyes), put))
        cuts.append(cut)
    return Scene(seen.pixels, tuple(heads)), cuts


def draw(
    animator: Any, scene: Scene, tracks: Sequence[Any], clock: stopwatch.Stopwatch
) -> Generator[UInt8[np.ndarray, "n h w 3"], None, None]:
    """Yield the frames of a picture, in blocks of at most BLOCK_BYTES.

    While one block is put together and handled by the caller, the next heads are computed.

    Args:
      animator: a MeshAnimator.
      tracks: what moves each head.
    """
    count, chunk = len(tracks[0].speech), animator.chunk
    most = max(1, min(chunk, BLOCK_BYTES // scene.picture.nbytes))
    order = sorted(range(len(tracks)), key=lambda i: scene.heads[i].inset.side)
    ask = lambda begin: [animator.draw_chunk(scene.heads[i].portrait, tracks[i], begin) for i in order]
    with clock("compile and first frames"):
        ahead = ask(0)
        jax.block_until_ready(ahead)
    for done in range(0, count, chunk):
        ready = ahead
        if done + chunk < count:
            ahead = ask(done + chunk)
        with clock("draw"):
            drawn = [(np.asarray(frames), np.asarray(fields)) for frames, fields in ready]
        left = min(chunk, count - done)
        for begin in range(0, left, most):
            with clock("compose"):
                block = np.repeat(scene.picture[None], min(most, left - begin), 0)
                for i, (frames, fields) in zip(order, drawn, strict=True):
                    for offset, canvas in enumerate(block, begin):
                        scene.heads[i].inset.lay(canvas, frames[offset], fields[offset])
            yield block
