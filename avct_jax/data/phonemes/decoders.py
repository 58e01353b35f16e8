"""pocketsphinx's decoders and hama's network, loaded when first asked for."""

import functools
import pathlib
import tempfile
from typing import Any

from avct_jax import errors
from avct_jax.data.phonemes import symbols

ALIGN_BEAM = 1e-80  # wide: a forced path must not be lost
ALLPHONE_BEAM = 1e-20


def pocketsphinx(what: str = "placing phonemes in time", otherwise: str = "give them by --phonemes") -> Any:
    """Return the package, which places phonemes in time.

    Args:
      what: needs it, and what one may do `otherwise`: for the refusal.

    Raises:
      UserError: it is not installed: there are no wheels for Python 3.14.
    """
    try:
        import pocketsphinx
    except ImportError:
        raise errors.UserError(
            f"{what} needs pocketsphinx, which is not installed: take Python 3.11 to 3.13, "
            f"or `pip install pocketsphinx` with cmake and a C compiler, or {otherwise}"
        ) from None
    return pocketsphinx


@functools.cache
def hama() -> Any:
    """hama's network."""
    import hama

    return hama.ASRModel()


@functools.cache
def aligner() -> Any:
    """A decoder whose words are single phones, so that any row of phones is a sentence."""
    package = pocketsphinx()
    lines = [f"{phone.lower()} {phone}" for phone in symbols.SYMBOLS if phone != "NSN"]
    with tempfile.TemporaryDirectory() as folder:
        dictionary = pathlib.Path(folder, "phones.dict")
        dictionary.write_text("\n".join(lines) + "\n", encoding="ascii")
        return package.Decoder(
            lm=None,
            dict=str(dictionary),
            beam=ALIGN_BEAM,
            pbeam=ALIGN_BEAM,
            wbeam=ALIGN_BEAM,
            bestpath=False,  # the lattice pass loses phones at the ends
            loglevel="FATAL",
        )


@functools.cache
def allphone() -> Any:
    """Context-independent phone recognition; the context-dependent one does not finish."""
    package = pocketsphinx()
    return package.Decoder(
        allphone=package.get_model_path("en-us/en-us-phone.lm.bin"),
        allphone_ci=True,
        lw=2.0,
        beam=ALLPHONE_BEAM,
        pbeam=ALLPHONE_BEAM,
        loglevel="FATAL",
    )
