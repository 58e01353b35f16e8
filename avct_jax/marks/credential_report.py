"""What Content Credentials say: of a film, and of what it was made from; read off c2pa's report."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from avct_jax.marks import credentials

Relation = Literal["parentOf", "componentOf", "inputTo"]
UNTRUSTED = "signingCredential.untrusted"
SYNTHETIC = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")
# What is in the film itself; what was only an input to making it need not be seen there.
CONTAINED = ("parentOf", "componentOf")
VERBS = {"parentOf": "made from", "componentOf": "contains", "inputTo": "made with"}
NOUNS = {"video": "film", "image": "picture", "audio": "sound"}
KINDS = {True: "synthetic", False: "not synthetic", None: "of unknown kind"}
DEEPEST = 100  # ingredients of ingredients


class Ingredient(NamedTuple):
    """Something that a film was made from.

    Attributes:
      title: as whoever made the film named it.
      noun: "film", "picture", "sound" or "file".
      relation: "parentOf" (it was edited), "componentOf" (it was placed in the film), or "inputTo".
      state: of its own credentials when it was used: "trusted", "valid", "invalid", or "none".
      signer: who signed these.
      generator: what made it.
      synthetic: whether they say that it is, or contains what is; None: they do not say.
      failures: what was not valid, codes of C2PA.
    """

    title: str
    noun: str
    relation: str
    state: Literal["trusted", "valid", "invalid", "none"]
    signer: str | None = None
    generator: str | None = None
    synthetic: bool | None = None
    failures: tuple[str, ...] = ()

    @property
    def line(self) -> str | None:
        """For people; None where it had no credentials."""
        if self.state == "none":
            return None
        if self.state == "invalid":
            codes = ", ".join(self.failures)
            return f"Content Credentials that are NOT valid in what it was made from: {self.title} ({codes})"
        verb = VERBS.get(self.relation, "made with")
        kind = f"a synthetic {self.noun}" if self.synthetic else f"a {self.noun}"
        kind += " that is not synthetic" if self.synthetic is False else ""
        by = f"made by {self.generator}, signed by {self.signer}"
        return f"{verb} {kind} with Content Credentials: {self.title} ({by})"


class Claim(NamedTuple):
    """What a film's credentials say.

    Attributes:
      signer: who signed, in the certificate's words.
      generator: what made it.
      declared: whether they say of the film itself that it is synthetic; None: they do not say.
      statement: our own statement, where this program made it.
      ingredients: what it was made from.
    """

    signer: str | None
    generator: str | None
    declared: bool | None
    statement: dict[str, Any] | None
    ingredients: tuple[Ingredient, ...]

    @property
    def synthetic(self) -> bool | None:
        """Whether it is said to be synthetic, or to contain what is; None: nothing is said."""
        held = [x.synthetic for x in self.ingredients if x.relation in CONTAINED and x.state != "invalid"]
        return True if True in held else self.declared


def claim(report: Mapping[str, Any]) -> Claim | None:
    """Return what is said in c2pa's report; None where it is empty."""
    return _Claims(report.get("manifests") or {}).of(report.get("active_manifest"))


class _Claims:
    """Reads each manifest once: strangers' may name each other often, or in a circle."""

    def __init__(self, manifests: Mapping[str, Any]):
        self._manifests = manifests
        self._known: dict[str, Claim | None] = {}

    def of(self, label: str | None, depth: int = 0) -> Claim | None:
        """What is said in a manifest; None where there is none, or it is being read, or lies too deep."""
        if not label or depth > DEEPEST or not (manifest := self._manifests.get(label)):
            return None
        if label not in self._known:
            self._known[label] = None
            rows = manifest.get("ingredients") or ()
            made_from = [_ingredient(row, self.of(row.get("active_manifest"), depth + 1)) for row in rows]
            self._known[label] = _claim(manifest, tuple(made_from))
        return self._known[label]


def _claim(manifest: Mapping[str, Any], ingredients: tuple[Ingredient, ...]) -> Claim:
    signature = manifest.get("signature_info") or {}
    generator = next(iter(manifest.get("claim_generator_info") or ()), {})
    said = {row.get("label", ""): row.get("data") for row in manifest.get("assertions") or ()}
    sources = list(_sources(said))
    return Claim(
        signature.get("common_name") or signature.get("issuer"),
        " ".join(str(generator[name]) for name in ("name", "version") if name in generator) or None,
        any(source.endswith(SYNTHETIC) for source in sources) if sources else None,
        said.get(credentials.ASSERTION),
        ingredients,
    )


def _sources(said: Mapping[str, Any]) -> Iterator[str]:
    """The kinds of source that a film's actions name."""
    for label, data in said.items():
        if label.startswith("c2pa.actions"):
            rows = (data or {}).get("actions") or ()
            yield from (str(row["digitalSourceType"]) for row in rows if "digitalSourceType" in row)


def _ingredient(row: Mapping[str, Any], inner: Claim | None) -> Ingredient:
    results = (row.get("validation_results") or {}).get("activeManifest") or {}
    rows = [*(results.get("failure") or ()), *(row.get("validation_status") or ())]
    codes = {str(told.get("code")) for told in rows}
    failures = tuple(sorted(codes - {UNTRUSTED}))
    noun = NOUNS.get(str(row.get("format", "")).partition("/")[0], "file")
    told = str(row.get("title") or "untitled"), noun, str(row.get("relationship"))
    if failures or inner is None:
        return Ingredient(*told, "invalid" if failures else "none", failures=failures)
    state = "valid" if UNTRUSTED in codes else "trusted"
    return Ingredient(*told, state, inner.signer, inner.generator, inner.synthetic)
