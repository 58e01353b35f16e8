"""Phoneme files and frame labels."""

import pathlib
import re

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.phonemes import symbols

GOLDENS = np.load(pathlib.Path(__file__).parents[2] / "goldens" / "inference.npz")
TIMES = ((0, 0.5), (0.5, 0.75), (0.75, 1.25), (1.25, 1.5))


def short_grid(name: str, labels: list[str]) -> str:
    """A TextGrid in Praat's short format: one tier of words, one of phones."""
    head = '"ooTextFile"\n"TextGrid"\n0\n1.5\n<exists>\n2\n'
    words = '"IntervalTier"\n"words"\n0\n1.5\n1\n0\n1.5\n"a ""b"" 3"\n'
    rows = [f'{start}\n{end}\n"{label}"\n' for (start, end), label in zip(TIMES, labels, strict=True)]
    return head + words + f'"IntervalTier"\n"{name}"\n0\n1.5\n4\n' + "".join(rows)


def long_grid(name: str, labels: list[str]) -> str:
    """The same tier of phones in Praat's long format, after a tier of points."""
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1.5\ntiers? <exists>\n'
    points = 'size = 2\nitem []:\n item [1]:\n class = "TextTier"\n name = "marks"\n xmin = 0\n xmax = 1.5\n'
    points += ' points: size = 1\n points [1]:\n number = 0.5\n mark = "x"\n'
    tier = f' item [2]:\n class = "IntervalTier"\n name = "{name}"\n xmin = 0\n xmax = 1.5\n'
    rows = [
        f' intervals [{i}]:\n xmin = {start}\n xmax = {end}\n text = "{label}"\n'
        for i, ((start, end), label) in enumerate(zip(TIMES, labels, strict=True), 1)
    ]
    return head + points + tier + " intervals: size = 4\n" + "".join(rows)


def test_phonemes_are_numbered_as_the_reference():
    index = symbols.INDEX
    assert len(index) == 41
    assert [index[s] for s in ("AA", "NSN", "SIL", "ZH")] == [0, 24, 31, 40]
    assert list(symbols.SYMBOLS) == sorted(symbols.SYMBOLS)


def test_phonemes_of_the_released_json_equal_the_reference(tmp_path):
    (tmp_path / "p.json").write_bytes(GOLDENS["phoneme_json"].tobytes())
    labels = symbols.read_phoneme_json(tmp_path / "p.json")
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, GOLDENS["phonemes"])


def test_phonemes_survive_writing(tmp_path):
    segments = symbols.parse_json(GOLDENS["phoneme_json"].tobytes().decode())
    symbols.write_phoneme_json(tmp_path / "p.json", segments)
    assert symbols.read_segments(tmp_path / "p.json") == segments


@pytest.mark.parametrize("grid", [short_grid, long_grid])
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("phones", ["", "CH", "AE1", "OW0"]),
        ("Mary - phonemes", ["sil", "t͡ʃ", "æː", "\u02c8oʊ"]),
        ("MAU", ["<p:>", "tS", "{", "@U"]),
    ],
)
def test_phonemes_of_a_textgrid_in_any_notation(grid, name, labels):
    segments = symbols.parse_textgrid(grid(name, labels))
    assert [s.phone for s in segments] == ["SIL", "CH", "AE", "OW"]
    assert [(s.start_s, s.end_s) for s in segments] == list(TIMES)


HEAD = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
ODD_FORMS = {
    "no line end at the end": lambda grid: grid.rstrip("\n"),
    "a time with an exponent": lambda grid: re.sub(r"(xmin = |\n)0.5\b", r"\g<1>5.0e-01", grid),
    "no empty line in the head": lambda grid: grid.replace("\n\n", "\n"),
    "a label that is two lines": lambda grid: grid.replace('"AE1"', '"AE1\n"'),
    "a label like a head": lambda grid: re.sub('"(marks|words)"', '"item [3] ""IntervalTier"""', grid),
    "intervals that overlap": lambda grid: re.sub(r"(xmin = |\n)1.25(?=\D+1.5\b)", r"\g<1>1.2", grid),
    "line ends of a Mac of old": lambda grid: grid.replace("\n", "\r"),
    "line ends of Windows": lambda grid: grid.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("grid", [short_grid, long_grid])
@pytest.mark.parametrize("form", ODD_FORMS)
def test_phonemes_of_a_textgrid_in_forms_that_others_stumble_on(grid, form):
    plain = grid("phones", ["", "CH", "AE1", "OW0"])
    plain = plain if plain.startswith("File") else plain.replace('"ooTextFile"\n"TextGrid"\n', HEAD)
    odd = ODD_FORMS[form](plain)
    assert odd != plain
    assert [s.phone for s in symbols.parse_textgrid(odd)] == ["SIL", "CH", "AE", "OW"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_phonemes_of_a_textgrid_in_any_encoding(tmp_path, encoding):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(short_grid("phones", ["spn", "tʃ", "æ", "???"]).encode(encoding))
    assert [s.phone for s in symbols.read_segments(path)] == ["SIL", "CH", "AE", "NSN"]


def test_phonemes_of_a_textgrid_without_phones_are_refused():
    with pytest.raises(errors.UserError, match=r"words.*rename"):
        symbols.parse_textgrid(short_grid("notes", ["", "a", "b", "c"]))


@pytest.mark.parametrize("name", ["none.json", "bad.json", "other.json", "bad.TextGrid", "p.lab"])
def test_phonemes_that_cannot_be_read_are_refused_in_one_line(tmp_path, name):
    for bad in ("bad.json", "bad.TextGrid", "p.lab"):
        (tmp_path / bad).write_text("1 2 3")
    (tmp_path / "other.json").write_text('[{"word": "a", "phones": [{"ph": "AA", "bg": 9, "ed": 3}]}]')
    with pytest.raises(errors.UserError, match=name) as refusal:
        symbols.read_segments(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_labels_follow_the_phone_that_covers_the_frames_start():
    segments = [
        symbols.Segment("AA", 0.0, 0.05),
        symbols.Segment("B", 0.05, 0.08),
        symbols.Segment("ZH", 0.1, 0.16),
    ]
    labels = symbols.labels_from_segments(segments, 6)
    assert [symbols.SYMBOLS[i] for i in labels] == ["AA", "AA", "SIL", "ZH", "SIL", "SIL"]
    assert len(symbols.labels_from_segments(segments)) == 4


def test_fit_to_frames_fills_the_tail_with_silence_and_refuses_another_recording():
    labels = np.zeros(100, np.int32)
    assert symbols.fit_to_frames(labels, 97).tolist() == [0] * 97
    assert symbols.fit_to_frames(labels, 103).tolist() == [0] * 100 + [symbols.SIL] * 3
    with pytest.raises(errors.UserError, match=r"4\.0 s, the sound 12\.0 s"):
        symbols.fit_to_frames(labels, 300)


def tier(name: str, labels: list[str]) -> str:
    """One more tier for a short_grid."""
    rows = [f'{start}\n{end}\n"{label}"\n' for (start, end), label in zip(TIMES, labels, strict=True)]
    return f'"IntervalTier"\n"{name}"\n0\n1.5\n4\n' + "".join(rows)


def test_of_several_tiers_of_phones_the_fullest_is_read(caplog):
    """An empty one says nothing, and one of a second speaker is told of."""
    full = ["", "B", "AA", "T"]
    two = lambda name, labels: short_grid(name, labels).replace("\n2\n", "\n3\n", 1) + tier("phones", full)
    assert [s.phone for s in symbols.parse_textgrid(two("phone", [""] * 4))] == ["SIL", "B", "AA", "T"]
    assert not caplog.records
    found = symbols.parse_textgrid(two("A phones", ["", "", "IY", ""]))
    assert [s.phone for s in found] == ["SIL", "B", "AA", "T"]
    assert "tiers of phones are ['A phones', 'phones']: 'phones' is read" in caplog.text


def test_intervals_are_put_in_order(monkeypatch):
    monkeypatch.setitem(globals(), "TIMES", TIMES[::-1])
    found = symbols.parse_textgrid(short_grid("phones", ["T", "AA", "B", ""]))
    assert [s.phone for s in found] == ["SIL", "B", "AA", "T"]


def test_json_is_put_in_order_and_absurd_ones_are_refused():
    phone = lambda name, begin, end: f'{{"ph": "{name}", "bg": {begin}, "ed": {end}}}'
    text = lambda *phones: f'[{{"word": "x", "phones": [{", ".join(phones)}]}}]'
    found = symbols.parse_json(text(phone("B", 50, 100), phone("AA", 0, 50)))
    assert [s.phone for s in found] == ["AA", "B"]
    with pytest.raises(errors.UserError, match="end within a day"):
        symbols.parse_json(text(phone("AA", 0, 4e15)))
    with pytest.raises(errors.UserError, match="not phonemes in the released JSON format"):
        symbols.parse_json("[" * 200_000)


def test_a_phone_within_another_leaves_its_end():
    long, short = symbols.Segment("AA", 0.0, 1.0), symbols.Segment("B", 0.2, 0.4)
    labels = symbols.labels_from_segments([long, short])
    expected = [symbols.INDEX["AA"]] * 25
    expected[5:10] = [symbols.INDEX["B"]] * 5
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(
    "phones, told",
    [
        ("SIL SIL", "holds nothing but silence"),
        ("SIL AA NSN NSN", "2 of 3 phones are unknown"),
        ("AA B D IY NSN G K L M N P", ""),
    ],
)
def test_files_in_which_nothing_is_said_are_told(caplog, phones, told):
    symbols.tell_of("a.json", [symbols.Segment(phone, 0.0, 1.0) for phone in phones.split()])
    assert [told in record.getMessage() for record in caplog.records] == ([True] if told else [])


def test_a_label_as_long_as_a_book_is_no_phone(monkeypatch):
    """Letter by letter it took a minute."""
    read, spell = [], symbols.ipa.to_arpabet
    monkeypatch.setattr(symbols.ipa, "to_arpabet", lambda label: (read.append(label), spell(label))[1])
    found = symbols.parse_textgrid(short_grid("phones", ["b", "ʃ" * 10**6, "t", ""]))
    assert [s.phone for s in found] == ["B", "NSN", "T", "SIL"] and set(read) == {"b", "t"}
