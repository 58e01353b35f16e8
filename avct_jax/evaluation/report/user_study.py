"""A page on which people rate videos without knowing whose they are, by the paper's three questions."""

import base64
import hashlib
import json
import pathlib
from collections.abc import Sequence

from avct_jax.evaluation import result_cache
from avct_jax.evaluation.report import html_report, report_assets

# After the paper's user study, each from 1 (worst) to 5 (best); the wording is ours.
QUESTIONS = {
    "lip_sync": "How well do lips and voice go together?",
    "head_motion": "How natural does the head move?",
    "realness": "How real does the whole video look?",
}
ENDS = {1: "worst", 5: "best"}


def write(shown: Sequence[report_assets.VideoSample], path: pathlib.Path) -> None:
    """Write the page; it works from a file, keeps answers in the browser and gives a CSV.

    Columns: rater, video, system, question, rating. The real videos are among those that are rated.

    Raises:
      UserError: the file cannot be written.
    """
    result_cache.write_text(path, rating_page(shown))


def rating_page(shown: Sequence[report_assets.VideoSample]) -> str:
    """The page's text. Each rater has an order of their own, by their name; systems' names cannot be read."""
    videos = [
        {
            "code": base64.b64encode(json.dumps([sample.name, system]).encode()).decode(),
            "video": report_assets.data_uri("video/mp4", report_assets.alone(file)),
        }
        for sample in shown
        for system, file in sample.videos.items()
    ]
    questions = [{"key": key, "text": text} for key, text in QUESTIONS.items()]
    known = {"id": _identity(videos), "videos": videos, "questions": questions}
    return html_report.render("user_study.html.j2", known=known, ends=ENDS)


def _identity(videos):
    """The same videos, the same memory in the browser; a better system of the same name begins anew."""
    return hashlib.sha256("".join(video["code"] + video["video"] for video in videos).encode()).hexdigest()[
        :12
    ]
