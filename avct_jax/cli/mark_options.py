"""Options of how films are marked as synthetic."""

import dataclasses
from typing import Annotated, Any

from avct_jax.cli import option


@dataclasses.dataclass(frozen=True)
class MarkOptions:
    """How the film says that it is synthetic.

    Attributes:
      no_mark: neither a watermark nor Content Credentials, which the law of the European Union asks for
      label: the letters AI in a corner
      consent: who agreed to be shown so, and how; it goes into the credentials
      certificate: PEM file of who signs the credentials (default: a key that this installation makes)
      key: PEM file of its key
      timestamp: address of an authority that dates the credentials; it is asked over the network
      original: what the image was made of (default: the image): the credentials tell of it, and keep its own
      original_audio: what the audio was made of (default: the audio): the credentials tell its checksum
    """

    no_mark: option.Flag = False
    label: option.Flag = False
    consent: Annotated[option.MaybeText, option.shown_as("WORDS")] = None
    certificate: option.MaybeFile = None
    key: option.MaybeFile = None
    timestamp: Annotated[option.MaybeText, option.shown_as("URL")] = None
    original: option.MaybeFile = None
    original_audio: option.MaybeFile = None

    def asked(self) -> dict[str, Any]:
        """As an animator is told."""
        told = dataclasses.asdict(self)
        return {"mark": not told.pop("no_mark")} | told
