"""Batches of the mouth painter's patches, drawn person by person, from host or device memory."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int, UInt8

from avct_jax.data import source
from avct_jax.train import mouth_patches, people_codes, sharding


class PainterBatch(NamedTuple):
    """b examples as mouth_patches packs them; own and own_inside are each example's.

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
        speaker_share: float = 0.2,
        mesh: jax.sharding.Mesh | None = None,
    ):
        """Take packed patches.

        Args:
          mesh: devices that hold all patches (55 kB each) in their memory; batches then bring only places.
        """
        self.known = known
        clips = known.patches.clip
        usable, held_out = np.ones(len(clips), bool), known.held_out[clips]
        persons = np.array(known.persons)[clips]
        super().__init__(persons, usable, held_out, speaker=speaker, speaker_share=speaker_share)
        self.names = people_codes.names_of(known.persons, known.held_out)
        self._row = people_codes.numbers_of(known.persons, self.names)
        self._mesh, self._held = mesh, None
        if mesh is not None:
            whole, parts = sharding.replicated(mesh), sharding.sliced(mesh)
            self._held = sharding.place(_pixels(known.patches), mesh)
            self._gather = jax.jit(_take, in_shardings=(whole, parts, parts), out_shardings=parts)

    def collate(self, drawn: list[tuple[int, np.random.Generator]]) -> PainterBatch:
        """Take patches out of the set; nothing else is random."""
        index = np.array([which for which, _ in drawn])
        source, person = self.known.patches.source[index], self._row[self.known.patches.clip[index]]
        if self._mesh is None:
            return PainterBatch(*_take(_pixels(self.known.patches), index, source), person)
        places = sharding.place_batch((index.astype(np.int32), source.astype(np.int32), person), self._mesh)
        return PainterBatch(*self._gather(self._held, *places[:2]), places[2])


def _pixels(patches: mouth_patches.Patches):
    """What of all patches is as long as the examples, and what as the sources."""
    p = patches
    return (p.skin, p.inside, p.below, p.above, p.real), (p.own, p.own_inside)


def _take(pixels, index, source):
    examples, sources = pixels
    return (*(x[index] for x in examples), *(x[source] for x in sources))
