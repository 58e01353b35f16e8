"""Lips in other languages, spoken by espeak-ng: what a transcript's phonemes do beside hearing alone.

    python scripts/benchmarks/languages.py --json languages.json de fr es it pl

Some sentences of each language are spoken; the lips' opening is predicted with the phonemes of its text,
and without, as if it were English. Told is how sure p, b and m are seen: the share of other moments of speech
whose lips are more open than at a p, b or m (the least within 2 frames of both; 0.5 is chance), and how the
two openings correlate.
"""

import argparse
import json
import pathlib
from typing import Any

import numpy as np

import avct_jax
from avct_jax.animator import scales
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import mesh_features, pcm, speech_features, voices
from avct_jax.inference import mesh_inference

TEXTS = {
    "en": "My brother Bob bought a map of Paris. Maybe Peter and Emma will be back by bus on Monday.",
    "de": "Mein Bruder Peter hat eine Lampe aus Bamberg mitgebracht. Bitte komm bald, Mama und Papa warten.",
    "fr": "Mon petit papa porte un beau parapluie. Maman mange une pomme au bord de la mer, puis boit.",
    "es": "Mi papá compró un barco pequeño. Mamá prepara pan y bebe un poco de té por la mañana.",
    "it": "Mio papà porta il pane e la mamma beve. Mi piacciono le mele, ma preferisco i bambini bravi.",
    "pl": "Moja mama piecze placki, a tata pije piwo. Proszę, podaj mi pomarańczę i białą lampę.",
    "pt": "Minha mãe comprou um pão bom. O papai bebe um pouco de leite e põe a mesa pela manhã.",
    "ru": "Мама мыла раму, а папа пил пиво. Мой брат Борис пишет письмо подруге Маше.",  # noqa: RUF001
}
LABIAL = [symbols.INDEX[name] for name in ("P", "B", "M")]
NEAR = 2  # frames around a moment in which lips may shut


def measure(animator: Any, language: str) -> dict[str, Any]:
    """What lips do in one language."""
    spoken = voices.of(language).speak(TEXTS[language])
    wav = pcm.whole(pcm.samples(spoken.pcm)).astype(np.float32) / 2**15
    import soxr

    wav = soxr.resample(wav, spoken.sample_rate, speech_features.SAMPLE_RATE)
    heard = mesh_features.listen(wav)
    labels = symbols.fit_to_frames(np.asarray(spoken.labels), len(heard.silent))
    told = mesh_features.told(heard, labels)
    opening = np.asarray(mesh_inference.opening(animator.variables))
    still = scales.Scales(head_motion=0.0)
    gaps = [animator._track(speech, 0, None, still, []).speech @ opening for speech in (told, heard)]
    runs = np.flatnonzero(np.isin(labels, LABIAL) & ~np.isin(np.roll(labels, 1), LABIAL))
    others = np.flatnonzero(~np.isin(labels, [*LABIAL, symbols.SIL]))
    others = others[np.abs(others[:, None] - runs).min(1) > 2 * NEAR]
    row: dict[str, Any] = {"labials": len(runs), "others": len(others), "seconds": round(spoken.seconds, 1)}
    for name, gap in zip(("told", "heard"), gaps, strict=True):
        least = np.array([gap[max(frame - NEAR, 0) : frame + NEAR + 1].min() for frame in range(len(gap))])
        row[name] = round(float((least[others] > least[runs][:, None]).mean()), 3)
    row["r_told_heard"] = round(float(np.corrcoef(*gaps)[0, 1]), 3)
    return row


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("languages", nargs="*", default=["en", "de", "fr", "es"])
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    animator = avct_jax.load()
    found = {}
    for language in arguments.languages:
        found[language] = measure(animator, language)
        print(language, found[language], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
