"""Content Credentials (C2PA): a signed statement in a film of what made it, and of what.

Specification: https://c2pa.org/specifications; written and read by c2pa-python.
"""

import contextlib
import functools
import importlib.metadata
import io
import json
import os
import pathlib
import shutil
from typing import Any, NamedTuple

from avct_jax import errors
from avct_jax.files import atomic_write, checksum
from avct_jax.marks import mark_payload, signing_key

SUFFIXES = (".mp4", ".mov")  # containers that C2PA covers; Matroska is none
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
ASSERTION = "org.avct.generation"
FILM = "film"  # label of the one that was redubbed
BEGIN = b"jumdc2pa"  # of the box that holds all credentials, in files of every kind (C2PA, JUMBF)
ROOM = 100_000  # bytes that credentials take at most, beside pictures' own
PIECE = 1 << 20  # bytes
ELSEWHERE = "Remote"  # c2pa's word for credentials that are at an address
PIXEL = bytes.fromhex(  # a png
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)
UNKNOWN = "application/octet-stream"  # a file whose credentials nobody could read
# By what files begin with: a name may say something else, and c2pa goes by what it is told.
KINDS = {
    b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"GIF8": "image/gif", b"RIFF": "image/webp",
    b"II*\0": "image/tiff", b"MM\0*": "image/tiff",
}  # fmt: skip
BRANDS = {b"avif": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif"}
# Nothing is fetched, whatever a film says of where its credentials are.
SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


class UncheckedCredentials(errors.UserError):
    """A film has credentials, and nobody could look at them; nothing is known of what they say."""


class GenerationStatement(NamedTuple):
    """What a film's credentials say.

    Attributes:
      portrait: file of whose face it is; its own credentials are kept. None: pixels.
      film: the portrait is a film that was redubbed.
      sounds: SHA-256 of the files that are heard.
      checkpoint: SHA-256 of the weights.
      consent: who agreed, and how; in the words of who made the film.
      payload: what the watermark says; None: there is none.
    """

    portrait: str | os.PathLike | None
    film: bool = False
    sounds: tuple[str, ...] = ()
    checkpoint: str | None = None
    consent: str | None = None
    payload: mark_payload.MarkPayload | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        """As c2pa's Builder takes it; no name of a file or folder is in it."""
        told: dict[str, Any] = {"version": version(), "audio_sha256": list(self.sounds)}
        if self.portrait is not None:
            told["film_sha256" if self.film else "portrait_sha256"] = checksum.sha256(self.portrait)
        if self.checkpoint:
            told["checkpoint_sha256"] = self.checkpoint
        if self.consent:
            told["consent"] = self.consent
        if self.payload:
            hours = self.payload.time.isoformat(timespec="hours")
            told["watermark"] = {"installation": self.payload.installation, "hour": hours}
        actions: list[dict[str, Any]] = [{"action": "c2pa.created", "digitalSourceType": SOURCE}]
        if self.film:
            opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [FILM]}}
            actions = [opened, {"action": "c2pa.edited", "digitalSourceType": SOURCE}]
        return {
            "claim_generator_info": [{"name": "avct_jax", "version": version()}],
            "title": "synthetic talking portrait",
            "assertions": [
                {"label": "c2pa.actions", "data": {"actions": actions}},
                {"label": ASSERTION, "data": told},
            ],
        }


def sign(
    path: pathlib.Path,
    statement: GenerationStatement,
    key: signing_key.SigningKey,
    *,
    timestamp: str | None = None,
) -> None:
    """Put credentials into a film, in its place.

    Args:
      timestamp: address of a time-stamping authority (RFC 3161), which is asked; by default nobody is.

    Raises:
      UserError: it cannot be signed; the film is as it was.
    """
    c2pa = _library()
    signed = atomic_write.hidden_beside(path)
    try:
        with (
            _context(c2pa) as context,
            _signer(c2pa, key, timestamp) as signer,
            c2pa.Builder(statement.manifest, context=context) as builder,
        ):
            _add_portrait(builder, statement)
            with atomic_write.held(signed):
                signed.unlink()  # c2pa makes it itself
                builder.sign_file(str(path), str(signed), signer)
                os.replace(signed, path)
    except (c2pa.C2paError, OSError, ValueError) as error:
        raise errors.UserError(f"the film could not be signed: {_why(error, path, signed)}") from None
    finally:
        signed.unlink(missing_ok=True)


def check_named(
    certificate: str | os.PathLike | None, key: Any, timestamp: str | None
) -> signing_key.SigningKey | None:
    """Sign a pixel as a film is to be signed, before any is drawn, where somebody else is named for it.

    Args:
      certificate: as `signing_key.load`; None: this installation signs.
      key: as `signing_key.load`.
      timestamp: as `sign`; it is asked once in a process.

    Returns:
      The key that was named.

    Raises:
      UserError: the certificate or its key cannot sign, or the authority does not date it.
    """
    named = None if certificate is None else signing_key.load(certificate, key)
    if named is not None and (reason := _tried(named, None)):
        told = "".join(f"; {flaw}" for flaw in signing_key.flaws(named.certificates))
        raise errors.UserError(
            f"{os.fspath(str(certificate))!r} cannot sign Content Credentials: {reason}{told}; "
            f"name a certificate that an authority (your own will do) signed for it: {signing_key.RECIPE}"
        )
    if timestamp and (reason := _tried(named or signing_key.passing(), timestamp)):
        raise errors.UserError(
            f"the authority {timestamp!r} dates no signature: {reason}; "
            "look at the address and the network, or leave --timestamp out"
        )
    return named


def check_output(path: str | os.PathLike, *named: Any) -> None:
    """Refuse a film that can hold no credentials, where a certificate or an authority is named for them.

    Raises:
      UserError: so it is.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if any(named) and suffix not in SUFFIXES:
        raise errors.UserError(
            f"{os.fspath(path)!r} cannot be signed: {suffix} files hold no Content Credentials; write .mp4, "
            "or leave --certificate and --timestamp out"
        )


@functools.lru_cache(maxsize=8)
def _tried(key: signing_key.SigningKey, timestamp: str | None) -> str | None:
    """Why a picture of one pixel cannot be signed; None where it can."""
    c2pa = _library()
    try:
        with (
            _context(c2pa) as context,
            _signer(c2pa, key, timestamp) as signer,
            c2pa.Builder(GenerationStatement(None).manifest, context=context) as builder,
        ):
            builder.sign(signer, "image/png", io.BytesIO(PIXEL), io.BytesIO())
    except (c2pa.C2paError, OSError, ValueError) as error:
        return _line(error)
    return None


def _library() -> Any:
    try:
        import c2pa
    except (ImportError, OSError) as error:  # no wheel for this machine, or its library does not load
        raise UncheckedCredentials(
            f"c2pa-python is not installed or does not load ({_line(error)}); pip install c2pa-python"
        ) from None
    return c2pa


def _context(c2pa: Any, trust: bytes | None = None) -> Any:
    settings = SETTINGS if trust is None else SETTINGS | {"trust": {"trust_anchors": trust.decode()}}
    return c2pa.Context(settings=c2pa.Settings.from_dict(settings))


def _signer(c2pa: Any, key: signing_key.SigningKey, timestamp: str | None) -> Any:
    if callable(key.key):
        algorithm = getattr(c2pa.C2paSigningAlg, key.algorithm.upper())
        return c2pa.Signer.from_callback(key.key, algorithm, key.certificates.decode(), timestamp)
    info = c2pa.C2paSignerInfo(
        alg=key.algorithm.encode(),
        sign_cert=key.certificates,
        private_key=key.key,
        ta_url=timestamp.encode() if timestamp else None,
    )
    return c2pa.Signer.from_info(info)


def _add_portrait(builder: Any, statement: GenerationStatement) -> None:
    """Tell of the picture, and of its own credentials where it has some that can be read."""
    if statement.portrait is None:
        return
    relation = "parentOf" if statement.film else "inputTo"
    kind = FILM if statement.film else "portrait"
    told = {"title": kind, "label": kind, "relationship": relation}
    with open(statement.portrait, "rb") as file:
        try:
            builder.add_ingredient(told, _kind(file.read(12)), file)
        except _library().C2paError:  # damaged, though its pixels could be read
            builder.add_ingredient(told, UNKNOWN, io.BytesIO())


def try_picture(path: str | os.PathLike) -> None:
    """Read a picture's credentials as `sign` does, to no end; what is damaged is no failure."""
    with contextlib.suppress(errors.UserError), open(path, "rb") as file:
        c2pa = _library()
        with contextlib.suppress(c2pa.C2paError), _context(c2pa) as context:
            reader = c2pa.Reader.try_create(_kind(file.read(12)), file, context=context)
            if reader is not None:
                reader.close()


def _kind(begin: bytes) -> str:
    """What a picture or film is, as c2pa names it."""
    if begin[4:8] == b"ftyp":
        return BRANDS.get(begin[8:12], "video/mp4")
    return next((kind for mark, kind in KINDS.items() if begin.startswith(mark)), UNKNOWN)


def read(path: str | os.PathLike, trust: bytes | None = None) -> dict[str, Any] | None:
    """Read a film's credentials: c2pa's own report; None where there are none.

    Args:
      trust: certificates of authorities that count as known, PEM; None: nobody does.

    Raises:
      UncheckedCredentials: there are some, and c2pa-python is missing; or they are kept elsewhere.
      UserError: there are some that cannot be read; c2pa's reason.
    """
    try:
        c2pa = _library()
    except UncheckedCredentials:
        if holds(path):
            raise
        return None
    try:
        with _context(c2pa, trust) as context:
            reader = c2pa.Reader.try_create(os.fspath(path), context=context)
            if reader is None:
                return None
            with reader:
                return json.loads(reader.json())
    except c2pa.C2paError.NotSupported:
        return None
    except (c2pa.C2paError, OSError, ValueError) as error:
        reason = _line(error)
        if reason.startswith(ELSEWHERE):
            raise UncheckedCredentials(f"nothing is fetched ({reason})") from None
        if not holds(path):  # a file that is odd, and had none
            return None
        raise errors.UserError(reason) from None


def holds(path: str | os.PathLike) -> bool:
    """Whether a file has credentials in it, whatever state they are in.

    Raises:
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        kept = b""
        while piece := file.read(PIECE):
            if BEGIN in kept + piece:
                return True
            kept = piece[-len(BEGIN) :]
    return False


def version() -> str:
    """Return this package's version."""
    return importlib.metadata.version("avct-jax")


def _why(error: BaseException, path: pathlib.Path, signed: pathlib.Path) -> str:
    """A reason; c2pa has no word for a full disk."""
    needed = path.stat().st_size + ROOM
    written = signed.stat().st_size if signed.exists() else 0
    free = shutil.disk_usage(path.parent).free + written
    if free < needed:
        return (
            f"{str(path.parent)!r} has room for {free / 1e6:.1f} MB, and a second copy takes "
            f"{needed / 1e6:.1f} MB until it is done; free some"
        )
    return _line(error)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
