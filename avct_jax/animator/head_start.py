"""What needs no JAX is begun while JAX is imported: a voice is heard, a portrait read and taken apart."""

import functools
import importlib.resources
from typing import Any

import numpy as np
from jaxtyping import Float

from avct_jax import arguments
from avct_jax.animator import background, base, options, portrait
from avct_jax.data.speech import mesh_features

WEIGHTS = "mesh.safetensors"  # weights_file.DEFAULT, named here because that module imports JAX
CANONICAL = "face_basis/params/canonical"
SHARED = ("size", "cropped", "face")  # what of a request a portrait hangs on


class HeadStart:
    """Work for one animation by the weights that come with the package; what it was begun for may take it.

    Attributes:
      hearing: as `base.hear` answers; None where it is not one file.
      square: the head's, as it is drawn; None where other than a head's square is wanted.
      layers: of it, `portrait_layers.make`.
    """

    def __init__(
        self, image: base.Image, audio: base.Audio, request: base.Request, landmarks: str = "mediapipe"
    ):
        """Begin.

        Args:
          image: what `Animator.animate` takes, and so are `audio` and `request`.
          landmarks: who finds the face, as the animator is loaded with.
        """
        self._given, self._request = (image, audio), request
        self.hearing: background.Background | None = None
        self.square: background.Background[portrait.HeadSquare] | None = None
        self.layers: background.Background | None = None
        if request.framing == "head" and not request.redub:
            self.square = square = background.Background(functools.partial(_read, image, request, landmarks))
            self.layers = background.Background(lambda notes: _take_apart(square.result([]), notes))
        if arguments.is_path(audio):
            listen = functools.partial(base.hear, audio, mesh_features.listen)
            self.hearing = background.Background(lambda notes: listen(notes, request.audio_track))

    def __enter__(self) -> "HeadStart":
        """Go on."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is a second's work: a process that ends in its middle is aborted by LiteRT."""
        for work in (self.square, self.layers):
            if work:
                work.wait()

    def is_of_sound(self, audio: base.Audio, request: base.Request) -> bool:
        """Whether `hearing` is of that sound."""
        return self.hearing is not None and (audio, request.audio_track) == (
            self._given[1],
            self._request.audio_track,
        )

    def is_of_image(self, image: base.Image, **told: Any) -> bool:
        """Whether `square` and `layers` are of that image; `told` are those of `SHARED`."""
        same = image is self._given[0] and told == {name: getattr(self._request, name) for name in SHARED}
        return self.square is not None and same


def canonical() -> Float[np.ndarray, "478 3"]:
    """Read the mean face of the weights that come with the package."""
    import safetensors

    resource = importlib.resources.files("avct_jax") / "pretrained" / WEIGHTS
    with importlib.resources.as_file(resource) as path, safetensors.safe_open(path, "numpy") as file:
        return file.get_tensor(CANONICAL).astype(np.float32)


def _read(image: base.Image, request: base.Request, landmarks: str, notes: list[str]) -> portrait.HeadSquare:
    told = {name: getattr(request, name) for name in SHARED}
    told["face"] = options.face_of(request.face)
    return portrait.read_square(image, portrait.landmarker(landmarks), notes, **told)


def _take_apart(square: portrait.HeadSquare, _: list[str]) -> Any:
    from avct_jax.data.portrait import portrait_layers  # imported beside JAX

    mean = canonical()
    return mean, portrait_layers.make(square.pixels, square.points, mean)
