"""What is seen of a run: lines and the live one."""

import sys

from avct_jax.train.monitoring import run_progress

PACE = run_progress.Pace(0.5, 16.0, 0.25)


def test_progress_is_a_plain_line_a_report_without_a_terminal(capsys):
    with run_progress.RunProgress("sync", done=0, total=100) as shown:
        shown.advance(9)
        shown.report(10, {"loss": 0.123456}, PACE)
    said = "sync 10/100  0.5 s/step  16 examples/s  25% waiting for data  0:00:45 left  loss 0.1235\n"
    assert capsys.readouterr().err == said


def test_progress_is_a_live_line_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    with run_progress.RunProgress("sync", done=0, total=100) as shown:
        shown.report(10, {"loss": 0.123456}, PACE)
        shown.note("two\nlines")
    said = capsys.readouterr().err
    assert "10/100" in said and "25% waiting for data  0:00:45 left" in said and "avct: two lines" in said


def test_quiet_progress_shows_notes_alone(capsys):
    with run_progress.RunProgress("sync", done=0, total=100, quiet=True) as shown:
        shown.report(10, {"loss": 1.0}, PACE)
        shown.evaluated(10, {"val/loss": 1.0})
        shown.note("stopped")
    assert capsys.readouterr().err == "avct: stopped\n"
