"""Other voices, microphones and rooms, made of one speaker's features on the device.

E_avct hears one speaker in one studio. What differs most between that and a stranger's recording are the
lengths of vocal tracts, the colour of microphones and the noise of rooms; all three act on the 26 log
filter-bank energies, and the 13 cepstra are a linear image of those (mel.py), so both stay consistent.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from avct_jax.data.speech import mel

CEPSTRA = slice(0, mel.CEPSTRA)
ENERGIES = slice(mel.CEPSTRA, mel.CEPSTRA + mel.FILTERS)
RIPPLES = 4  # orders of the cosines across the bands that a microphone's colour is made of
NOISE_BELOW = (2.0, 9.0)  # nepers of energy from a recording's loudest band down to its noise: 9 to 39 dB
NOISE_SLOPE = 0.15  # spread of the noise's slope, nepers a band


@dataclasses.dataclass(frozen=True)
class SpeechAugmentation:
    """How far to go from the speaker.

    Attributes:
      tract: largest change of log vocal tract length; 0.2 goes from children to large men.
      loudness: least and largest change of loudness, nepers of energy. Although every recording's peak is 1,
        those of other people are 2.5 louder on average than the one speaker's, with a spread of 1.5.
      microphone: spread of each ripple of its colour, nepers of energy.
      background: chance of an audible room.
      share: of the examples that are changed at all; the others stay the speaker's own.
    """

    tract: float = 0.0
    loudness: tuple[float, float] = (0.0, 0.0)
    microphone: float = 0.0
    background: float = 0.0
    share: float = 1.0

    @property
    def any(self) -> bool:
        """Whether anything changes."""
        return self.share > 0 and any((self.tract, *self.loudness, self.microphone, self.background))


def augment_speech(
    audio: Float[Array, "b n 4 columns"], key: Key[Array, ""], how: SpeechAugmentation
) -> Float[Array, "b n 4 columns"]:
    """Let each example be another voice in another room; F0 and voicing stay."""
    keys, b = jax.random.split(key, 5), len(audio)
    energies = changed = audio[..., ENERGIES]
    if how.tract:
        changed = change_tract(changed, how.tract * jax.random.uniform(keys[0], (b,), minval=-1.0))
    low, high = how.loudness
    changed = changed + jax.random.uniform(keys[1], (b, 1, 1, 1), minval=low, maxval=high)
    if how.microphone:
        changed = changed + how.microphone * _colours(keys[2], b)
    if how.background:
        changed = jnp.logaddexp(changed, _rooms(keys[3], changed, how.background))
    total = jax.nn.logsumexp(changed, axis=-1) - jax.nn.logsumexp(energies, axis=-1)
    cosines = jnp.asarray(mel.lifted_cosines(), jnp.float32)
    cepstra = jnp.einsum("bnrf,cf->bnrc", changed, cosines).at[..., 0].set(audio[..., 0] + total)
    chosen = jax.random.bernoulli(keys[4], how.share, (b, 1, 1, 1))
    return jnp.where(chosen, audio.at[..., ENERGIES].set(changed).at[..., CEPSTRA].set(cepstra), audio)


def change_tract(
    energies: Float[Array, "b n 4 26"], log_factor: Float[Array, " b"]
) -> Float[Array, "b n 4 26"]:
    """Vocal tract length perturbation (Jaitly and Hinton, 2013): what was at f is now at f exp(log_factor).

    Between bands by straight lines; above the highest band it is repeated.
    """
    hertz = jnp.asarray(mel.triangle_corners()[1:-1], jnp.float32)
    read_at = hertz[None] * jnp.exp(-log_factor)[:, None]
    place = jnp.interp(read_at, hertz, jnp.arange(mel.FILTERS, dtype=jnp.float32))
    share = jnp.maximum(0.0, 1 - jnp.abs(place[..., None] - jnp.arange(mel.FILTERS).reshape(1, 1, -1)))
    return jnp.einsum("bnrf,bgf->bnrg", energies, share)


def _colours(key, count):
    """Smooth curves over the bands."""
    orders = np.arange(1, RIPPLES + 1)[:, None] * np.pi * (np.arange(mel.FILTERS) + 0.5) / mel.FILTERS
    weights = jax.random.normal(key, (count, RIPPLES))
    return (weights @ jnp.asarray(np.cos(orders), jnp.float32))[:, None, None]


def _rooms(key, energies, chance):
    """Energies of steady noise, below everything where there is none."""
    keys, b = jax.random.split(key, 3), len(energies)
    depth = jax.random.uniform(keys[0], (b, 1), minval=NOISE_BELOW[0], maxval=NOISE_BELOW[1])
    slope = NOISE_SLOPE * jax.random.normal(keys[1], (b, 1))
    bands = jnp.arange(mel.FILTERS).reshape(1, -1) - (mel.FILTERS - 1) / 2
    level = energies.max((1, 2, 3)).reshape(-1, 1) - depth + slope * bands
    quiet = ~jax.random.bernoulli(keys[2], chance, (b, 1))
    return jnp.where(quiet, -1e9, level)[:, None, None]
