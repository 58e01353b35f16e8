"""The files of a report, in one folder."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from avct_jax.files import atomic_write

NAMES = ("report.json", "report.md", "report.html", "rating.html")
KEPT = ("videos", "generated")  # folders beside them: what is known of videos, and videos that were made


def write(
    report: dict[str, Any],
    generated: Mapping[str, str | os.PathLike],
    real: str | os.PathLike | None,
    output: pathlib.Path,
    shown: int,
) -> None:
    """Write them all. A system none of whose videos could be measured is not shown.

    Args:
      generated: folders of videos by system's name.
      real: folder of the real videos; None where they have other names.
      shown: videos in the pages.
    """
    # Seconds, which a refusal of inputs does not wait for.
    from avct_jax.evaluation import result_cache
    from avct_jax.evaluation.report import html_report, markdown, report_assets, user_study

    result_cache.write_text(output / "report.json", json.dumps(report, indent=1) + "\n")
    result_cache.write_text(output / "report.md", markdown.document(report))
    measured = {system["key"] for system in report["systems"] if system["per_video"]}
    known = {system: folder for system, folder in generated.items() if system in measured}
    chosen = report_assets.choose(report, known, real, output, shown)
    html_report.write(report, chosen, output / "report.html")
    user_study.write(chosen, output / "rating.html")


def keep_inputs(output: str | os.PathLike, *inputs: str | os.PathLike | None) -> None:
    """Refuse a folder of a report whose own files and folders hold inputs.

    Raises:
      UserError: so it is.
    """
    for own in (*KEPT, *NAMES):
        atomic_write.refuse_overwriting(os.path.join(output, own), *inputs)
