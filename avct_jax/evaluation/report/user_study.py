"""A page on which people rate films without knowing whose they are, by the paper's three questions."""

import base64
import hashlib
import html
import json
import pathlib
from collections.abc import Sequence

from avct_jax.evaluation import result_cache
from avct_jax.evaluation.report import html_report, report_assets

# After the paper's user study, each from 1 (worst) to 5 (best); the wording is ours.
QUESTIONS = {
    "lip_sync": "How well do lips and voice go together?",
    "head_motion": "How natural does the head move?",
    "realness": "How real does the whole film look?",
}
ENDS = {1: "worst", 5: "best"}


def write(shown: Sequence[report_assets.Sample], path: pathlib.Path) -> None:
    """Write the page; it works from a file, keeps answers in the browser and gives a CSV.

    Columns: rater, film, system, question, rating. The real films are among those that are rated.

    Raises:
      UserError: the file cannot be written.
    """
    result_cache.write_text(path, rating_page(shown))


def rating_page(shown: Sequence[report_assets.Sample]) -> str:
    """The page's text. Each rater has an order of their own, by their name; systems' names cannot be read."""
    films = [
        {
            "code": base64.b64encode(json.dumps([sample.name, system]).encode()).decode(),
            "video": report_assets.data_uri("video/mp4", report_assets.alone(file)),
        }
        for sample in shown
        for system, file in sample.films.items()
    ]
    questions = [{"key": key, "text": text} for key, text in QUESTIONS.items()]
    known = {"id": _identity(films), "films": films, "questions": questions}
    # "</" would end the script that holds it.
    data = json.dumps(known).replace("</", "<\\/")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Rating</title>',
            '<link rel="icon" href="data:,">',
            f"<style>{html_report.part('html_report.css')}{html_report.part('user_study.css')}</style></head>",
            "<body><main><h1>How good are these films?</h1>",
            _begin(len(films)),
            _rating(questions),
            f'</main><script type="application/json" id="data">{data}</script>',
            f"<script>{html_report.part('user_study.js')}</script></body></html>",
        ]
    )


def _identity(films):
    """The same films, the same memory in the browser; a better system of the same name begins anew."""
    return hashlib.sha256("".join(film["code"] + film["video"] for film in films).encode()).hexdigest()[:12]


def _begin(count):
    return (
        f'<section id="begin"><p>You will see {count} films of talking faces, some real and some made by '
        "programs, in random order. Please watch each with sound, and answer three questions from 1 "
        "(worst) to 5 (best). Your answers stay in this browser until you save them; whoever begins again "
        "under the same name goes on where they were.</p>"
        "<noscript><p>This page needs JavaScript; please switch it on.</p></noscript>"
        '<p id="unkept" hidden>This browser keeps nothing: please save before you close the page.</p>'
        '<form id="start"><label for="rater">Your name or number</label> '
        '<input type="text" id="rater" autocomplete="off" required> '
        '<button class="main">Begin</button></form></section>'
    )


def _rating(questions):
    fields = "".join(_question(q["key"], q["text"]) for q in questions)
    return (
        '<section id="rating" hidden><progress id="progress" aria-label="Films rated"></progress>'
        '<p id="count" aria-live="polite"></p><article id="film"><h3 id="title" tabindex="-1"></h3>'
        f'<video id="video" controls playsinline></video>{fields}'
        '<button id="back" type="button">Back</button> '
        '<button id="next" class="main" type="button">Next</button></article>'
        '<article id="end" hidden><h3 id="thanks" tabindex="-1">Thank you</h3>'
        "<p>Save your answers, and send the file to whoever asked you.</p>"
        '<button id="again" type="button">Look again</button></article>'
        '<p><button id="save" type="button">Save answers as CSV</button> '
        '<button id="other" type="button">Another rater</button></p></section>'
    )


def _question(key, text):
    choices = "".join(
        f'<label><input type="radio" name="{key}" id="{key}{v}" value="{v}"><br>{v}'
        f"<small>{ENDS.get(v, '&nbsp;')}</small></label>"
        for v in range(1, 6)
    )
    return f'<fieldset><legend>{html.escape(text)}</legend><div class="choice">{choices}</div></fieldset>'
