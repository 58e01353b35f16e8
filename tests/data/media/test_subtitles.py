"""Subtitles: what one cue holds, when it is shown, how files look."""

import pytest

from avct_jax import errors
from avct_jax.data.media import subtitles

LONG = (
    "This sentence is so long that nobody could read it at once, so it is divided between words, "
    "and each part stays as long as its letters say."
)


def test_a_cue_holds_a_sentence_or_two_lines_of_one():
    found = subtitles.parts(f'Hello,   Peter! "Who is there?"  {LONG} Überall Bäume…')
    assert found[:2] == ["Hello, Peter!", '"Who is there?"'] and found[-1] == "Überall Bäume…"
    assert " ".join(found[2:-1]) == LONG and all(len(part) <= 84 for part in found)
    sentence = "People move from room to room, and few of them see how the moon blooms above my open window."
    halves = subtitles.parts(sentence)  # no word alone
    assert len(halves) == 2 and abs(len(halves[0]) - len(halves[1])) < 10
    assert subtitles.parts("no stop at all") == ["no stop at all"]
    assert subtitles.parts("") == [] and subtitles.parts("你好。再见。") == ["你好。", "再见。"]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("A captain, Mr. Abbott, paid $8.50. He left.", ["A captain, Mr. Abbott, paid $8.50.", "He left."]),
        ("J. S. Bach! (It was.) Well", ["J. S. Bach!", "(It was.)", "Well"]),
        ("From 10 a.m. to 6 p.m. daily. Come.", ["From 10 a.m. to 6 p.m. daily.", "Come."]),
        ("Dr. Bloom, e.g. Well... 'No.' I", ["Dr. Bloom, e.g. Well...", "'No.'", "I"]),
        ("كيف حالك اليوم؟ صباح الخير.", ["كيف حالك اليوم؟", "صباح الخير."]),
        ("你好。再见！", ["你好。", "再见！"]),  # noqa: RUF001
    ],
)
def test_stops_of_numbers_and_abbreviations_end_no_sentence(text, wanted):
    assert subtitles.sentences(text) == wanted


def test_parts_of_a_sentence_last_as_long_as_their_letters_say():
    first, second = subtitles.of_sentences([(LONG, 10.0, 20.0)])
    assert (first.start, second.end) == (10.0, 20.0) and first.end == second.start
    share = len(first.text) / (len(first.text) + len(second.text))
    assert first.end == pytest.approx(10 + 10 * share)


def test_short_cues_stay_until_the_next():
    rows = ("a", 0.0, 0.2), ("b", 0.5, 0.6), ("c", 5.0, 6.0)
    cues = [subtitles.Subtitle(*row) for row in rows]
    assert [cue.end for cue in subtitles.lasting(cues)] == [0.5, 1.3, 6.0]


def test_lines_are_of_like_length():
    found = subtitles.lines("This is a cue of two lines whose halves should be alike")
    assert len(found) == 2 and abs(len(found[0]) - len(found[1])) <= 8
    assert subtitles.lines("short") == ["short"]
    assert subtitles.lines("x" * 60) == ["x" * 60]


def test_files_are_subrip_and_webvtt():
    cues = [subtitles.Subtitle("Hello.", 0.0, 1.25), subtitles.Subtitle("Bye.", 3661.5, 3662.0)]
    assert subtitles.written(cues) == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello.\n\n2\n01:01:01,500 --> 01:01:02,000\nBye.\n"
    )
    assert subtitles.written(cues, web=True).startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.250\nHello.")


def test_a_file_is_there_only_when_all_went_well(tmp_path):
    cues = [subtitles.Subtitle("Hä?", 0.0, 1.0)]
    with pytest.raises(RuntimeError), subtitles.writing(tmp_path / "a.vtt", cues):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with subtitles.writing(tmp_path / "a.vtt", cues):
        pass
    assert (tmp_path / "a.vtt").read_text(encoding="utf-8") == subtitles.written(cues, web=True)
    with (
        pytest.raises(errors.UserError, match=r"--subtitles .* is an input"),
        subtitles.writing(tmp_path / "a.vtt", cues, tmp_path / "a.vtt"),
    ):
        pass


@pytest.mark.parametrize("given", ["talk.txt", "", 3, "talk"])
def test_other_places_are_refused(given):
    with pytest.raises(errors.UserError, match=r"name a \.srt or \.vtt file, or say burn"):
        subtitles.check_place(given)
    assert subtitles.check_place("A.SRT") == "A.SRT" and subtitles.check_place("burn") == "burn"
