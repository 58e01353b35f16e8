"""The programs of the mesh system that `avct bench` measures, on a made face with random networks."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from avct_jax.inference import mesh_inference
from avct_jax.models import mesh_system
from avct_jax.models.mesh import face_mesh, mouth_painter, mouth_patch

WHOLE, SPEECH = "drawing in one", "speech to motion"
COUNTED = (WHOLE, SPEECH)
FACE = (0.6, 0.35)  # eye distance in units of the image's half side, and how much higher than its middle

Given = tuple[Callable[..., Any], *tuple[Any, ...]]


def random_system(config: mesh_system.MeshSystemConfig = mesh_system.LITE, seed: int = 0) -> dict[str, Any]:
    """Networks with random kernels, and the package's face basis."""
    rng = np.random.default_rng(seed)
    draw = lambda x: (rng.standard_normal(x.shape) / max(1, np.prod(x.shape[:-1])) ** 0.5).astype(np.float32)
    parts = {
        part: jax.tree.map(draw, mesh_system.expected(config, part)) for part in mesh_system.parts(config)
    }
    parts["face_basis"]["params"] = face_basis.embedded()._asdict()
    return parts


def portrait(size: int) -> mesh_inference.PreparedPortrait:
    """The mean face on a smooth image."""
    side = np.linspace(0, 2 * np.pi, size)
    waves = np.sin(3 * side)[:, None, None] * np.cos(2 * side)[None, :, None] * np.array([1.0, 0.8, 0.6])
    canonical = face_basis.embedded().canonical
    scale, up = FACE
    points = canonical * scale - np.array([0, up * scale, 0])
    layers = portrait_layers.make((127 + 120 * waves).astype(np.uint8), points, canonical)
    return jax.jit(mesh_inference.prepare)(mesh_inference.Layers(*map(jnp.asarray, layers)))


def programs(size: int, frames: int) -> tuple[dict[str, Given], dict[str, Given]]:
    """Return what runs for every frame, `frames` at a time, and what runs once a portrait."""
    config, weights = mesh_system.LITE, jax.device_put(random_system())
    prepared, rng = portrait(size), np.random.default_rng(1)
    draw = lambda spread, *columns: jnp.asarray(rng.normal(0, spread, (frames, *columns)), jnp.float32)
    controls = face_mesh.Controls(
        draw(1, 16), draw(0, 2), draw(0.01, 2), draw(0.03, 3), draw(0.01, 3), draw(0.02)
    )
    basis = weights["face_basis"]["params"]
    moved = face_mesh.move(prepared.portrait, basis["components"], basis["scales"], controls)
    patch = jax.jit(mouth_patch.draw_patch)(prepared.portrait, moved)
    painter = mouth_painter.MouthPainter(config.mouth_painter)
    sizes = config.speech_motion
    count = frames + 2 * sizes.window_radius
    heard = mesh_inference.SpeechWindow(
        *(jnp.zeros((count, *s)) for s in ((sizes.steps, sizes.symbols), (sizes.rows, sizes.columns), (6,)))
    )
    bind = functools.partial
    every: dict[str, Given] = {
        "mesh and warp": (lambda p, m: face_mesh.draw(p, m).frame, prepared.portrait, moved),
        "mouth's patch": (mouth_patch.draw_patch, prepared.portrait, moved),
        "mouth painter": (painter.apply, weights["mouth_painter"], patch, prepared.own),
        WHOLE: (bind(mesh_inference.draw_bytes, config), weights, prepared, controls),
        SPEECH: (bind(mesh_inference.predict, config), weights, heard, jnp.zeros(())),
    }
    return every, {"the mouth's own patch": (mouth_painter.own_patch, prepared.portrait)}
