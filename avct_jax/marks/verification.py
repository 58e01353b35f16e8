"""What a film says of itself: its Content Credentials, and its watermark; anybody's film."""

import contextlib
import itertools
import os
from typing import Any, Literal, NamedTuple

from avct_jax import errors
from avct_jax.data.media import container, video_io
from avct_jax.marks import credential_report, credentials, mark_detector

NO_FRAMES = {
    "film": "no frames to look for a watermark in",
    "picture": "no watermark is looked for: it is how a film's frames change, and this is a single picture",
    "sound": "no frames to look for a watermark in: it is a sound",
}
State = Literal["trusted", "valid", "invalid", "none", "unreadable", "unchecked"]


class Verification(NamedTuple):
    """What was found in a film.

    Attributes:
      file: its name.
      state: of its credentials: "trusted" (by an authority that counts as known), "valid" (unchanged since
        it was signed, by whoever says so), "invalid" (changed, or forged), "none", "unreadable" (there are
        some, damaged), or "unchecked" (there are some, and nobody looked).
      reason: why they are unreadable or unchecked.
      signer: who signed, in the certificate's words.
      generator: what made it.
      synthetic: whether they say that it is, or that it was made from (or contains) what is; None: neither.
      statement: our own statement, where this program made it.
      failures: what is not valid, codes of C2PA.
      watermark: found in the frames; None where there are no frames to look at.
      ingredients: what it was made from, as its credentials tell.
      media: "film", "picture" (a single one), or "sound": what has no waves bears no watermark.
      declared: what they say of the film itself, whatever it was made from.
    """

    file: str
    state: State
    signer: str | None = None
    generator: str | None = None
    synthetic: bool | None = None
    statement: dict[str, Any] | None = None
    failures: tuple[str, ...] = ()
    watermark: mark_detector.MarkReading | None = None
    ingredients: tuple[credential_report.Ingredient, ...] = ()
    reason: str | None = None
    declared: bool | None = None
    media: Literal["film", "picture", "sound"] = "film"

    @property
    def marked(self) -> bool:
        """Whether it is marked as synthetic, in either way, by what is not forged."""
        told = self.synthetic is True and self.state in ("trusted", "valid")
        return told or (self.watermark is not None and self.watermark.found)

    @property
    def lines(self) -> list[str]:
        """For people."""
        by = f"signed by {self.signer}"
        said = {
            "none": "no Content Credentials",
            "unreadable": (
                f"Content Credentials that cannot be read ({self.reason}): "
                "the file was damaged, or changed after it was signed"
            ),
            "unchecked": f"Content Credentials that were NOT looked at: {self.reason}",
            "invalid": f"Content Credentials that are NOT valid ({', '.join(self.failures)}), {by}",
            "valid": f"Content Credentials, unchanged since {by} (known to no authority here)",
            "trusted": f"Content Credentials, unchanged since {by} (a known authority vouches)",
        }
        found = [said[self.state]]
        if self.generator:
            found.append(f"made by {self.generator}, {credential_report.KINDS[self.declared]}")
        found += [line for ingredient in self.ingredients if (line := ingredient.line)]
        found += [f"{name}: {_shown(value)}" for name, value in (self.statement or {}).items()]
        mark = self.watermark
        if mark is None:
            found.append(NO_FRAMES[self.media])
        elif not mark.found:
            found.append(f"no watermark of avct_jax (score {mark.score:.0f})")
        elif mark.payload is None:
            found.append(f"a watermark of avct_jax (score {mark.score:.0f}); what it says is lost")
        else:
            who = (
                f"installation {mark.payload.installation}"
                if mark.payload.installation
                else "no installation"
            )
            when = mark.payload.time.strftime("%Y-%m-%d %H:00 UTC")
            found.append(f"a watermark of avct_jax (score {mark.score:.0f}): {who}, {when}")
        return found

    @property
    def record(self) -> dict[str, Any]:
        """For programs: what JSON can hold."""
        told = self._asdict() | {"marked": self.marked, "lines": self.lines}
        made_from = [x._asdict() | {"failures": list(x.failures)} for x in self.ingredients]
        told |= {"failures": list(self.failures), "ingredients": made_from}
        if (mark := self.watermark) is not None:
            payload = mark.payload and mark.payload._asdict() | {"time": mark.payload.time.isoformat()}
            told["watermark"] = mark._asdict() | {"payload": payload}
        return told


def verify(path: str | os.PathLike, trust: bytes | None = None) -> Verification:
    """Read a film's credentials and look for its watermark; nothing is fetched.

    Args:
      trust: as `credentials.read`.

    Raises:
      UserError: there is no such file, or it is neither film, picture nor sound.
    """
    media = _media(path)
    mark = mark_detector.read(path) if media == "film" else None
    return _credentials(path, mark, trust)._replace(media=media)


def _media(path: str | os.PathLike) -> Literal["film", "picture", "sound"]:
    """What a file is, whatever its name.

    Raises:
      UserError: it is none of these.
    """
    if not container.probe(path).has_video:
        return "sound"
    with contextlib.closing(video_io.read_frames(path, frame_rate=None, size=16)) as frames:
        return "film" if len(list(itertools.islice(frames, 2))) > 1 else "picture"


def _credentials(
    path: str | os.PathLike, mark: mark_detector.MarkReading | None, trust: bytes | None
) -> Verification:
    try:
        report = credentials.read(path, trust)
    except credentials.UncheckedCredentials as error:
        return Verification(os.fspath(path), "unchecked", watermark=mark, reason=str(error))
    except errors.UserError as error:
        return Verification(os.fspath(path), "unreadable", watermark=mark, reason=str(error))
    return _of_report(os.fspath(path), report, mark)


def _of_report(
    path: str, report: dict[str, Any] | None, mark: mark_detector.MarkReading | None
) -> Verification:
    if report is None or (claim := credential_report.claim(report)) is None:
        return Verification(path, "none", watermark=mark)
    states: dict[str, State] = {"Valid": "valid", "Trusted": "trusted"}
    failed = [row.get("code", "") for row in report.get("validation_status") or ()]
    return Verification(
        path,
        states.get(str(report.get("validation_state")), "invalid"),
        claim.signer,
        claim.generator,
        claim.synthetic,
        claim.statement,
        tuple(code for code in failed if code != credential_report.UNTRUSTED),
        mark,
        claim.ingredients,
        declared=claim.declared,
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
