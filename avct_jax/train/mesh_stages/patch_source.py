"""Batches of the mouth painter's patches, drawn person by person, from host or device memory.

Late in a training only people with sharp mouths are drawn: a discriminator that has seen blurred ones as well
takes blur for real.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax.data.dataset import source
from avct_jax.train.core import sharding
from avct_jax.train.mesh_stages import mouth_patches, person_embeddings

OPEN = 100  # pixels between the lips, their rim left out, of a mouth whose sharpness is measured
ENOUGH = 12  # such mouths of a person
CHUNK = 1024  # patches that are looked at together


class PainterBatch(NamedTuple):
    """b examples as mouth_patches packs them; own and own_inside are each example's.

    Attributes:
      person: row of the table of codes; -1 for people who are not in the training, who get the mean code.
    """

    skin: UInt8[Any, "b h w 3"]
    inside: UInt8[Any, "b h w"]
    below: Any
    above: Any
    real: UInt8[Any, "b h w 3"]
    own: UInt8[Any, "b h w 3"]
    own_inside: UInt8[Any, "b h w"]
    person: Int[Any, " b"]


class PatchSource(source.PeopleSource):
    """A source.Source of PainterBatch."""

    KIND, STREAM = "patches", 13

    def __init__(
        self,
        known: mouth_patches.PatchSet,
        *,
        speaker: str = "",
        speaker_prob: float = 0.2,
        sharpest: int = 0,
        sharp_from: int = 0,
        mesh: jax.sharding.Mesh | None = None,
    ):
        """Take packed patches.

        Args:
          sharpest: from step sharp_from on so many people are drawn, those with the sharpest mouths; 0: all.
          mesh: devices that hold all patches (55 kB each) in their memory; batches then bring only places.
        """
        self.known = known
        clips = known.patches.clip
        usable, held_out = np.ones(len(clips), bool), known.held_out[clips]
        persons = np.array(known.persons)[clips]
        super().__init__(persons, usable, held_out, speaker=speaker, speaker_prob=speaker_prob)
        self.names = person_embeddings.names_of(known.persons, known.held_out)
        self._row = person_embeddings.numbers_of(known.persons, self.names)
        learned = super().people(False, 0)
        chosen = sharpest_people(known, sharpest) if sharpest else learned
        self._sharp = {name: rows for name, rows in learned.items() if name in chosen}
        self._sharp_from = sharp_from
        self._mesh, self._held = mesh, None
        if mesh is not None:
            whole, parts = sharding.replicated(mesh), sharding.sliced(mesh)
            self._held = sharding.place(_pixels(known.patches), mesh)
            self._gather = jax.jit(_take, in_shardings=(whole, parts, parts), out_shardings=parts)

    def people(self, held_out: bool, step: int) -> dict[str, np.ndarray]:
        """All, or the sharpest."""
        early = held_out or step < self._sharp_from
        return super().people(held_out, step) if early else self._sharp

    def collate(self, drawn: list[tuple[int, np.random.Generator]]) -> PainterBatch:
        """Take patches out of the set; nothing else is random."""
        index = np.array([which for which, _ in drawn])
        source, person = self.known.patches.source[index], self._row[self.known.patches.clip[index]]
        if self._mesh is None:
            return PainterBatch(*_take(_pixels(self.known.patches), index, source), person=person)
        places = sharding.place_batch((index.astype(np.int32), source.astype(np.int32), person), self._mesh)
        return PainterBatch(*self._gather(self._held, *places[:2]), person=places[2])


def _pixels(patches: mouth_patches.MouthPatches):
    """What of all patches is as long as the examples, and what as the sources."""
    p = patches
    return (p.skin, p.inside, p.below, p.above, p.real), (p.own, p.own_inside)


def _take(pixels, index, source):
    examples, sources = pixels
    return (*(x[index] for x in examples), *(x[source] for x in sources))


def sharpest_people(known: mouth_patches.PatchSet, count: int) -> list[str]:
    """Tell whose videos show most detail between the lips; people that are held out are no choice."""
    detail = sharpness(known.patches)
    clips = known.patches.clip
    persons = np.array(known.persons)[clips]
    measured = np.isfinite(detail) & ~known.held_out[clips]
    mean = {
        name: detail[measured & (persons == name)].mean()
        for name in sorted(set(persons[measured].tolist()))
        if (measured & (persons == name)).sum() >= ENOUGH
    }
    return sorted(mean, key=lambda name: -mean[name])[:count]


def sharpness(patches: mouth_patches.MouthPatches) -> Float[np.ndarray, " n"]:
    """Mean absolute Laplacian of brightness between the lips, 0 to 255; nan where a mouth is hardly open."""
    found = [
        _detail(patches.real[i : i + CHUNK], patches.inside[i : i + CHUNK])
        for i in range(0, len(patches.real), CHUNK)
    ]
    return np.concatenate(found)


def _detail(real, inside):
    grey = real.astype(np.float32).mean(-1)
    sides = lambda x: (x[:, :-2, 1:-1], x[:, 2:, 1:-1], x[:, 1:-1, :-2], x[:, 1:-1, 2:])
    laplacian = np.abs(sum(sides(grey)) - 4 * grey[:, 1:-1, 1:-1])
    between = inside > 200
    sure = np.logical_and.reduce([between[:, 1:-1, 1:-1], *sides(between)])
    pixels = sure.sum((1, 2))
    mean = (laplacian * sure).sum((1, 2)) / np.maximum(pixels, 1)
    return np.where(pixels >= OPEN, mean, np.nan)
