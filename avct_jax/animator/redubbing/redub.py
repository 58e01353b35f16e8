"""A film and a sound made ready, and drawn: every frame is a portrait of which only the mouth moves."""

import os
from collections.abc import Generator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from avct_jax.animator import base, stopwatch
from avct_jax.animator.framing import whole_picture
from avct_jax.animator.redubbing import film as films
from avct_jax.animator.redubbing import source
from avct_jax.data.faces import crop, head_motion_bank
from avct_jax.data.media import video_io
from avct_jax.data.portrait import filmed_face, inset, portrait_layers, territory
from avct_jax.inference import mesh_inference

CANDIDATES = 5  # frames of a stretch, among which the one that shows most of the teeth is looked for
CALM = 8.0  # frames, standard deviation over which squares move


class SpokenStretch(NamedTuple):
    """A stretch of a film with what stays the same in it.

    Attributes:
      squares: around the head, of each frame.
      size: px, at which they are drawn.
      own: of `mesh_inference.PreparedPortrait`, and so is the next: of the frame that shows most teeth.
    """

    squares: list[crop.Square]
    size: int
    own: Any
    teeth: Any


class Redub(NamedTuple):
    """A film ready to be drawn.

    Attributes:
      order: which frame of it each of the video's is.
      spoken: by the first frame of a stretch.
    """

    film: films.Film
    order: Int[np.ndarray, " n"]
    spoken: dict[int, SpokenStretch]


def prepare(
    animator: Any,
    video: base.Image,
    audio: base.Audio,
    request: base.Request,
    notes: list[str],
    clock: stopwatch.Stopwatch,
) -> base.PreparedAnimation:
    """Listen, watch the film, and find out how its mouth is to move.

    Args:
      animator: a MeshAnimator.
      video: a file.

    Raises:
      UserError: something cannot be read, or shows no face.
    """
    source.check(video)
    speech, heard = animator.hear(audio, request, notes, clock)
    count = len(speech.silent)
    tell_of_length(video, count)
    with clock("image"):
        film = films.watch(video, animator.landmarker, most=count)
        order = films.order(film, count)
        spoken = look_at_teeth(animator, film, request.size)
    with clock("motion"):
        coefficients = animator.predict(speech, head_motion_bank.still(count), request.mouth)
    redub = Redub(film, order, spoken)
    return base.PreparedAnimation(redub, coefficients, film.size, count, speech.seconds, heard)


def tell_of_length(video: base.Path, count: int) -> None:
    """Say where film and sound differ in length, before either is looked at for long."""
    seconds, name = video_io.probe(video).duration, repr(os.fspath(video))
    if not seconds:
        return
    needed = count / video_io.FRAME_RATE
    if needed > seconds + 1:
        films.log.warning(
            "%s lasts %.2f s and the sound %.2f s: the film goes back and forth over its end",
            name, seconds, needed,
        )  # fmt: skip
    elif seconds > needed + 1:
        films.log.warning(
            "%s lasts %.2f s and the sound %.2f s: what is beyond is left out", name, seconds, needed
        )


def look_at_teeth(animator: Any, film: films.Film, size: int | None) -> dict[int, SpokenStretch]:
    """Find squares, and the frame of each stretch that shows most of the teeth: all its mouths have these."""
    squares = {stretch.begin: squares_of(stretch, film.size) for stretch in film.stretches}
    sizes = {
        begin: whole_picture.drawn_size(sorted(found, key=lambda s: s.size)[len(found) // 2], size)
        for begin, found in squares.items()
    }
    wanted = {
        stretch.begin + int(i): (stretch, int(i)) for stretch in film.stretches for i in widest(stretch)
    }
    best: dict[int, tuple[float, Any]] = {}
    for frame, pixels in enumerate(films.read(film.path, film.size)):
        if frame in wanted:
            stretch, index = wanted.pop(frame)
            square, side = squares[stretch.begin][index], sizes[stretch.begin]
            layers = layers_of(stretch, index, crop.crop(pixels, square, side), square)
            found = animator.ready_layers(layers)
            share = float(found.teeth.share.sum())
            if stretch.begin not in best or share > best[stretch.begin][0]:
                best[stretch.begin] = share, found
        if not wanted:
            break
    return {
        begin: SpokenStretch(squares[begin], sizes[begin], found.own, found.teeth)
        for begin, (_, found) in best.items()
    }


def widest(stretch: films.FilmStretch) -> Int[np.ndarray, " c"]:
    """Return frames with widely open mouths, no two of them beside each other."""
    ordered, chosen = np.argsort(-stretch.face.opening), []
    for index in ordered:
        if all(abs(index - other) > 2 for other in chosen):
            chosen.append(int(index))
        if len(chosen) == CANDIDATES:
            break
    return np.sort(chosen)


def squares_of(stretch: films.FilmStretch, size: tuple[int, int]) -> list[crop.Square]:
    """Return the squares around a head, which follow it calmly."""
    calm = films.calmed(stretch.face.points, CALM)
    return [crop.face_square(points, size) for points in calm]


def layers_of(
    stretch: films.FilmStretch, index: int, cut: UInt8[np.ndarray, "s s 3"], square: crop.Square
) -> portrait_layers.PortraitLayers:
    """Take a frame's square apart."""
    return filmed_face.take_apart(cut, square, stretch.face, index)


class _Pending(NamedTuple):
    """A frame whose mouth is being drawn."""

    pixels: UInt8[np.ndarray, "h w 3"]
    inset: inset.Inset
    drawn: tuple[Any, Any]


def draw(
    animator: Any, redub: Redub, coefficients: Any, clock: stopwatch.Stopwatch
) -> Generator[UInt8[np.ndarray, "1 h w 3"], None, None]:
    """Yield the film's frames with other mouths, one by one; the next is drawn while one is handled.

    Args:
      animator: a MeshAnimator.
      coefficients: of the mouth, one row a frame.
    """
    pending: _Pending | UInt8[np.ndarray, "h w 3"] | None = None
    frames = films.in_order(redub.film, redub.order)
    for index, (frame, pixels) in enumerate(zip(redub.order, frames, strict=True)):
        with clock("draw"):
            begun = _begin(animator, redub, int(frame), pixels, coefficients[index])
        if pending is not None:
            yield _finished(pending, clock)
        pending = begun
    if pending is not None:
        yield _finished(pending, clock)


def _begin(animator, redub, frame, pixels, coefficients):
    found = redub.film.find(frame)
    if found is None:
        return pixels
    stretch, index = found
    spoken = redub.spoken[stretch.begin]
    square = spoken.squares[index]
    cut = crop.crop(pixels, square, spoken.size)
    layers = layers_of(stretch, index, cut, square)
    points = stretch.face.points
    weight = filmed_face.lower_face(square, points[index], territory.FINE)
    put = inset.Inset(pixels, square, weight, rest=cut, cover=np.ones((spoken.size,) * 2, np.float32))
    jax_layers = mesh_inference.Layers(*map(jnp.asarray, layers))
    return _Pending(pixels, put, animator.draw_frame(jax_layers, spoken.own, spoken.teeth, coefficients))


def _finished(pending, clock):
    if not isinstance(pending, _Pending):
        return pending[None]
    with clock("draw"):
        frame, field = (np.asarray(x)[0] for x in pending.drawn)
    with clock("compose"):
        canvas = pending.pixels.copy()
        pending.inset.lay(canvas, frame, field)
    return canvas[None]
