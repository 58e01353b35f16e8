"""What a film says of itself: its Content Credentials, and its watermark; anybody's film."""

import os
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from avct_jax import errors
from avct_jax.data.media import container
from avct_jax.marks import credentials, mark_detector

State = Literal["trusted", "valid", "invalid", "none", "unreadable"]
UNTRUSTED = "signingCredential.untrusted"
SYNTHETIC = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")


class Verification(NamedTuple):
    """What was found in a film.

    Attributes:
      file: its name.
      state: of its credentials: "trusted" (by an authority that c2pa knows), "valid" (unchanged since it was
        signed, by whoever says so), "invalid" (changed, or forged), "none", or "unreadable".
      signer: who signed, in the certificate's words.
      generator: what made it.
      synthetic: whether they say that it is.
      statement: our own statement, where this program made it.
      failures: what is not valid, codes of C2PA.
      watermark: found in the frames; None where there are no frames to look at.
      ingredients: pictures and films that it was made from whose credentials were not valid, and why.
    """

    file: str
    state: State
    signer: str | None = None
    generator: str | None = None
    synthetic: bool | None = None
    statement: dict[str, Any] | None = None
    failures: tuple[str, ...] = ()
    watermark: mark_detector.MarkReading | None = None
    ingredients: tuple[str, ...] = ()

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
            "unreadable": "Content Credentials that cannot be read",
            "invalid": f"Content Credentials that are NOT valid ({', '.join(self.failures)}), {by}",
            "valid": f"Content Credentials, unchanged since {by} (known to no authority here)",
            "trusted": f"Content Credentials, unchanged since {by} (a known authority vouches)",
        }
        found = [said[self.state]]
        if self.generator:
            kind = {True: "synthetic", False: "not synthetic", None: "of unknown kind"}[self.synthetic]
            found.append(f"made by {self.generator}, {kind}")
        found += [
            f"Content Credentials that are NOT valid in what it was made from: {x}" for x in self.ingredients
        ]
        found += [f"{name}: {_shown(value)}" for name, value in (self.statement or {}).items()]
        mark = self.watermark
        if mark is None:
            found.append("no frames to look for a watermark in: it is a sound")
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
        told |= {"failures": list(self.failures), "ingredients": list(self.ingredients)}
        if (mark := self.watermark) is not None:
            payload = mark.payload and mark.payload._asdict() | {"time": mark.payload.time.isoformat()}
            told["watermark"] = mark._asdict() | {"payload": payload}
        return told


def verify(path: str | os.PathLike) -> Verification:
    """Read a film's credentials and look for its watermark; nothing is fetched.

    Raises:
      UserError: there is no such file, or it is neither film, picture nor sound.
    """
    mark = mark_detector.read(path) if container.probe(path).has_video else None
    try:
        report = credentials.read(path)
    except errors.UserError:
        return Verification(os.fspath(path), "unreadable", watermark=mark)
    return _of_report(os.fspath(path), report, mark)


def _of_report(
    path: str, report: dict[str, Any] | None, mark: mark_detector.MarkReading | None
) -> Verification:
    manifest = ((report or {}).get("manifests") or {}).get((report or {}).get("active_manifest"))
    if report is None or not manifest:
        return Verification(path, "none", watermark=mark)
    states: dict[str, State] = {"Valid": "valid", "Trusted": "trusted"}
    failed = [row.get("code", "") for row in report.get("validation_status") or ()]
    signature = manifest.get("signature_info") or {}
    generator = next(iter(manifest.get("claim_generator_info") or ()), {})
    said = {row.get("label", ""): row.get("data") for row in manifest.get("assertions") or ()}
    actions = [
        row for label, data in said.items() if label.startswith("c2pa.actions") for row in data["actions"]
    ]
    sources = [str(row["digitalSourceType"]) for row in actions if "digitalSourceType" in row]
    return Verification(
        path,
        states.get(str(report.get("validation_state")), "invalid"),
        signature.get("common_name") or signature.get("issuer"),
        " ".join(str(generator[name]) for name in ("name", "version") if name in generator) or None,
        any(source.endswith(SYNTHETIC) for source in sources) if sources else None,
        said.get(credentials.ASSERTION),
        tuple(code for code in failed if code != UNTRUSTED),
        mark,
        tuple(_forged(manifest.get("ingredients") or ())),
    )


def _forged(ingredients: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Say of each whose own credentials were not valid what they are and why, in codes of C2PA."""
    for ingredient in ingredients:
        results = (ingredient.get("validation_results") or {}).get("activeManifest") or {}
        rows = [*(results.get("failure") or ()), *(ingredient.get("validation_status") or ())]
        if codes := sorted({str(row.get("code")) for row in rows} - {UNTRUSTED}):
            yield f"{ingredient.get('title', 'untitled')} ({', '.join(codes)})"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
