"""The report's page and the rating page, from made-up figures and videos."""

import html.parser
import json
import re

import numpy as np
import pytest

from avct_jax.data.media import video_io
from avct_jax.evaluation import evaluate, measures
from avct_jax.evaluation.report import html_report, markdown, report_assets, user_study

SYSTEMS = {evaluate.TRUTH: "truth", "swift <b>": "generated", "slow|one": "generated"}


class Reader(html.parser.HTMLParser):
    """Counts tags, collects what refers to elsewhere and what can be read."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.names, self.links, self.words, self.open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)
        self.names += [name for name, _ in attributes]
        self.links += [value for name, value in attributes if name in ("src", "href", "action", "poster")]
        self.words += [value for name, value in attributes if name in ("alt", "aria-label", "title", "id")]

    def handle_endtag(self, tag):
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.words.append(data)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(len(SYSTEMS)):
        levels = np.linspace(40 + 40 * number, 150, 6).reshape(6, 1, 1, 1)
        with video_io.VideoWriter(folder / f"{number}.mp4", size=32) as writer:
            writer.write(np.tile(levels, (1, 32, 32, 3)).astype(np.uint8))
    videos = {system: folder / f"{number}.mp4" for number, system in enumerate(SYSTEMS)}
    openings = {system: [0.1, 0.2, None, 0.1, 0.3, 0.2] for system in SYSTEMS}
    return [report_assets.VideoSample("talk & more", videos, openings)]


def report():
    """The second system is better in everything that has a better."""
    rows = [measures.STAND_IN, *measures.VIDEO_MEASURES]
    figure = lambda m, n: -0.00001 if n == 0 else 10.0 - n if m.better == "higher" else 1.0 + n
    systems = [
        {
            "key": key, "title": key, "kind": kind, "videos": 7, "per_video": {},
            "means": {m.key: figure(m, n) for m in rows}, "errors": {m.key: 0.5 for m in rows},
        }
        for n, (key, kind) in enumerate(SYSTEMS.items())
    ]  # fmt: skip
    failed = [{"system": "slow|one", "video": "lost & gone", "reason": "no <face>"}]
    made_with = {"avct_jax": "0", "networks": {"sync": "a judge"}}
    listed = [m._asdict() for m in rows]
    return dict(protocol=None, made_with=made_with, measures=listed, systems=systems, failed=failed)


def test_page_refers_to_nothing_outside(shown):
    for text in (html_report.page(report(), shown), user_study.rating_page(shown)):
        assert all(link.startswith("data:") for link in Reader(text).links) and "//" not in html_report.part(
            "html_report.css"
        )
        assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp", re.sub(r"base64,[\w+/=]+", "", text))


def test_page_tells_every_measure_and_failure(shown):
    read = Reader(html_report.page(report(), shown))
    told = [m["title"] + "\xa0" + markdown.ARROWS[m["better"]] for m in report()["measures"]]
    assert set(told) <= set(read.words) and {m["about"] for m in report()["measures"]} <= set(read.words)
    assert {"slow|one, lost & gone", "no <face>", "a judge"} <= set(read.words) and "b" not in read.words
    assert read.tags.count("tr") == 2 + len(told)


def test_names_that_are_html_stay_text(shown):
    """Of a video, a system, a failure, a network: those are of people who send videos to be compared."""
    bad = "<script>x</script>\" onload='y' {{ z }} </title>"
    hostile = report()
    hostile["protocol"] = {"name": bad, "about": bad}
    hostile["made_with"] = {"avct_jax": bad, "networks": {bad: bad}}
    hostile["failed"] = [{"system": bad, "video": bad, "reason": bad}]
    hostile["systems"][2]["title"] = bad
    videos, openings = ({"a": x[evaluate.TRUTH], bad: x[evaluate.TRUTH]} for x in shown[0][1:])
    sample = report_assets.VideoSample(bad, videos, openings)
    read = Reader(html_report.page(hostile, [sample]))
    assert "script" not in read.tags and "onload" not in read.names
    assert f"{bad}: portrait, a, {bad}" in read.words and f"{bad}, {bad}" in read.words


def test_page_marks_the_best_system_not_by_colour_alone(shown):
    text = html_report.page(report(), [])
    assert text.count(", best</span>") == len(report()["measures"]) == text.count('<td class="best">')
    assert not re.search(r"-0\.0+(?!\d)", text)


def test_page_plays_one_video_a_sample_and_names_each_row(shown):
    read = Reader(html_report.page(report(), shown))
    assert read.tags.count("video") == 1 == read.tags.count("img") and not read.open.count("article")
    assert "talk & more: portrait, real, swift <b>, slow|one" in read.words
    assert read.tags.count("path") == 3 == read.tags.count("i")


def test_curve_of_no_face_at_all_is_empty(shown):
    lost = shown[0]._replace(openings={evaluate.TRUTH: [None, None], "other": []})
    assert html_report.curve(lost).count('d=""') == 2


def test_markdown_keeps_a_bar_in_a_name_within_its_column():
    lines = markdown.table(report()).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1 and "-0.0" not in "".join(lines)


def test_rating_page_shows_no_name_and_holds_each_video_once(shown):
    text = user_study.rating_page(shown)
    seen = " ".join(Reader(text).words)
    assert not any(name in seen for name in (*SYSTEMS, "talk & more", "swift", "slow"))
    assert not any(name in text for name in ("swift", "slow|one", "ground truth", "talk &"))
    videos = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])["videos"]
    assert len({video["video"] for video in videos}) == 3 == text.count("data:video/mp4")


def test_rating_page_asks_each_question_from_1_to_5_with_labels(shown):
    read = Reader(user_study.rating_page(shown))
    assert read.tags.count("fieldset") == 3 == read.tags.count("legend")
    assert {f"{key}{value}" for key in user_study.QUESTIONS for value in range(1, 6)} <= set(read.words)
    assert set(user_study.QUESTIONS.values()) <= set(read.words)


def test_rating_page_has_all_that_its_program_asks_for(shown):
    asked = set(re.findall(r"\$\('(\w+)'\)", html_report.part("user_study.js")))
    assert len(asked) > 10 and asked <= set(Reader(user_study.rating_page(shown)).words)


def test_rating_page_of_other_videos_under_the_same_names_remembers_nothing(shown):
    identity = lambda text: re.search(r'"id": "(\w+)"', text)[1]
    videos = shown[0].videos
    other = shown[0]._replace(videos={**videos, "slow|one": videos["swift <b>"]})
    texts = [user_study.rating_page(chosen) for chosen in (shown, shown, [other])]
    assert identity(texts[0]) == identity(texts[1]) != identity(texts[2])
