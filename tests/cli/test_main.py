"""How the command line answers: exit codes, one-line refusals, notes, tables, the cache folder."""

import contextlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import jax
import numpy as np
import pytest
import skimage.data

from avct_jax import compile_cache, demo, errors, weights_file
from avct_jax.benchmark import throughput
from avct_jax.cli import main
from avct_jax.convert import released
from avct_jax.data.media import video_io
from avct_jax.data.phonemes import recognition, symbols
from avct_jax.data.speech import audio_io, speech_features, voice
from avct_jax.models import system_config


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Where no file lies in a command's way, as demo.mp4 does after `make demo`."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    weights_file.save(path, throughput.random_system(system_config.TINY))
    return str(path)


@pytest.fixture
def short_demo(tmp_path, monkeypatch, tiny):
    """Words of a demo whose sentence is a quarter of a second long."""
    with demo.sentence() as path:
        samples = audio_io.read_audio(path)[2400:6400]
    monkeypatch.setattr(demo, "sentence", lambda: contextlib.nullcontext(samples))
    monkeypatch.setattr(demo, "phonemes", lambda: contextlib.nullcontext(np.full(7, symbols.INDEX["AA"])))
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)  # as with Python 3.14
    return ["demo", "--checkpoint", tiny, "--output", str(tmp_path / "demo.mp4")]


@pytest.mark.parametrize(
    "words", [[], ["sing"], ["animate"], ["bench", "--frames", "0"], ["demo", "--quiet", "--verbose"]]
)
def test_wrong_options_are_refused_in_one_line(words, capsys):
    assert main.main(words) == main.REFUSED
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("avct: ") and shown.err.count("\n") == 1
    assert "--help" in shown.err


@pytest.mark.parametrize(
    "words",
    [["animate", "--image", "a", "--audio", "b", "--stil"], ["demo", "--quie"], ["train", "export", "--ru"]],
)
def test_options_are_written_in_full(words, capsys):
    assert main.main(words) == main.REFUSED
    assert "traceback" not in (said := capsys.readouterr().err.lower())
    assert "unrecognized arguments" in said or "required: --run" in said


@pytest.mark.parametrize("command", ["animate", "demo", "evaluate", "ablate", "convert", "export", "bench"])
def test_help_of_every_command_has_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([command, "--help"])
    assert ended.value.code == 0 and f"avct {command}" in capsys.readouterr().out.split("examples:")[1]


@pytest.mark.parametrize(
    "failure, code, said",
    [
        (errors.UserError("too\nlong; cut it"), main.REFUSED, "avct: too long; cut it\n"),
        (KeyboardInterrupt(), main.INTERRUPTED, "avct: interrupted; nothing was left behind\n"),
    ],
)
def test_expected_failures_are_one_line(failure, code, said, monkeypatch, capsys):
    monkeypatch.setattr(demo, "portrait", lambda: (_ for _ in ()).throw(failure))
    assert main.main(["demo"]) == code
    assert capsys.readouterr().err == said


def test_unexpected_failures_show_a_traceback_and_ask_for_a_report(monkeypatch, capsys):
    monkeypatch.setattr(demo, "portrait", lambda: {}["missing"])
    assert main.main(["demo"]) == main.BUG
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and "report it" in lines[-1]


def test_a_platform_that_is_not_there_is_refused_in_one_line(tmp_path):
    usual = os.environ | {"JAX_PLATFORMS": "rocm", "AVCT_NO_CACHE": "1"}
    command = [sys.executable, "-m", "avct_jax", "demo", "--output", str(tmp_path / "a.mp4")]
    done = subprocess.run(command, env=usual, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (main.REFUSED, "")
    assert done.stderr == "avct: JAX_PLATFORMS is 'rocm', which is not here; unset it\n"


def test_other_programs_64_bits_are_not_taken(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    assert main.main(["--version"]) == 0
    assert os.environ["JAX_ENABLE_X64"] == "0"


def test_debug_shows_where_a_refusal_comes_from(tmp_path, capsys):
    assert main.main(["demo", "--debug", "--output", str(tmp_path / "none" / "a.mp4")]) == main.REFUSED
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and "does not exist; make it first" in lines[-1]


def test_demo_needs_no_package_for_its_portrait():
    np.testing.assert_array_equal(demo.portrait(), skimage.data.astronaut())


def test_demo_speaks_and_verbose_tells_where_time_went(short_demo, capsys):
    assert main.main([*short_demo, "--verbose"]) == 0
    shown = capsys.readouterr()
    assert "7 frames, 0.25 s of sound" in shown.out and video_io.probe(short_demo[-1]).has_audio
    assert all(name in shown.err for name in ("image", "sound", "draw", "encode", "total", "frames/s"))


def test_quiet_shows_nothing(short_demo, capfd):
    assert main.main([*short_demo, "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


def test_the_bundled_sentence_is_short_and_clean():
    with demo.sentence() as path:
        samples = audio_io.read_audio(path)
        assert path.stat().st_size < 200_000
    assert 5 < len(samples) / speech_features.SAMPLE_RATE < 7 and 0.3 < np.abs(samples).max() < 1
    assert voice.silent_frames(samples)[-3:].all() and len(demo.transcript().split()) > 10


def test_the_bundled_phonemes_are_those_of_the_bundled_words():
    pytest.importorskip("pocketsphinx")
    with demo.sentence() as path, demo.phonemes() as phonemes:
        samples, found = audio_io.read_audio(path), symbols.read_segments(phonemes)
    frames = speech_features.frame_count(len(samples))
    aligned = recognition.recognise(samples, transcript=demo.transcript())
    same = symbols.labels_from_segments(found, frames) == symbols.labels_from_segments(aligned, frames)
    assert same.mean() > 0.95  # another release of pocketsphinx may place some otherwise


def test_no_help_names_an_extra_that_is_not_there(capsys):
    project = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    known = set(project["optional-dependencies"])
    for command in ("animate", "demo", "preprocess", "evaluate", "ablate", "convert", "export", "bench"):
        with pytest.raises(SystemExit):
            main.main([command, "--help"])
        assert set(re.findall(r"avct-jax\[([\w-]+)\]", capsys.readouterr().out)) <= known, command


def test_convert_exits_with_2_when_tensors_are_misshapen(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ckpt").write_bytes(b"x")
    found = released.ConversionReport(None, {}, ("kp_detector/kp.bias: missing",), {})
    monkeypatch.setattr(released, "convert", lambda *_, **__: found)
    assert main.main(["convert", "a.ckpt", "--output", "b.safetensors"]) == main.REFUSED
    shown = capsys.readouterr()
    assert "kp.bias: missing" in shown.err and "nothing written" in shown.err and not shown.out


def test_a_closed_pipe_ends_quietly():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "avct_jax", "--help"]
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=usual)
    os.close(write)
    assert (done.returncode, done.stderr) == (main.PIPE_CLOSED, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full"])
def test_streams_that_take_nothing_do_not_undo_what_is_done(streams):
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = f"{shlex.quote(sys.executable)} -m avct_jax --version {streams}"
    done = subprocess.run(["sh", "-c", command], env=usual, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    code = (
        "from avct_jax.cli import main, terminal as t; main._open_streams(); t.show('x' * 99999); t.tell('x')"
    )
    command = f"{shlex.quote(sys.executable)} -u -c {shlex.quote(code)} {streams}"
    done = subprocess.run(["sh", "-c", command], env=usual, capture_output=True)
    assert (done.returncode, done.stderr) in ((0, b""), (0, b"x\n"))


def test_names_that_are_not_utf_8_are_printed():
    code = "import os; from avct_jax.cli import main, terminal; main._open_streams()"
    code += "; name = os.fsdecode(b'l\\xe9\\xc3\\xa9')"
    code += "; terminal.show(name); terminal.note(name)"
    for encoding, shown in (("utf-8", b"l\xe9\xc3\xa9\n"), ("ascii", b"l\xe9\\xe9\n")):
        usual = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=usual)
        assert (done.stdout, done.stderr) == (shown, b"avct: " + shown)


def test_a_closed_terminal_ends_the_command_and_nohup_keeps_it():
    code = "import os, signal\nfrom avct_jax.cli import main\n"
    code += "with main._ending_cleanly(): os.kill(os.getpid(), 1)"
    for ignored, expected in ((False, 129), (True, 0)):
        kind = "SIG_IGN" if ignored else "SIG_DFL"  # the tests themselves may run under nohup
        before = f"import signal; signal.signal(1, signal.{kind})\n"
        assert subprocess.run([sys.executable, "-c", before + code]).returncode == expected


def test_further_signals_do_not_disturb_the_cleaning_up():
    code = """
import os, signal
from avct_jax.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with main._ending_cleanly():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            for number in 3 * (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), number)
            print("clean")
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    print("once")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("clean\nonce\n", 0), done.stderr


@pytest.fixture
def no_cache():
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_compile_cache_is_where_the_variable_says(no_cache, monkeypatch, tmp_path):
    monkeypatch.setenv(compile_cache.FOLDER_VARIABLE, str(tmp_path))
    assert compile_cache.enable() == tmp_path / "xla"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "xla") and (tmp_path / "xla").is_dir()


def test_compile_cache_is_done_without_when_off_or_unwritable(no_cache, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(compile_cache.FOLDER_VARIABLE, str(tmp_path / "file"))
    assert compile_cache.enable() is None and jax.config.jax_compilation_cache_dir is None
    monkeypatch.setenv(compile_cache.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(compile_cache, "ROOM", 2**60)  # on a full disk
    assert compile_cache.enable() is None and jax.config.jax_compilation_cache_dir is None
    monkeypatch.setenv(compile_cache.OFF_VARIABLE, "1")
    assert compile_cache.folder() is None


MENDED = """
import pathlib
import jax, jax.numpy as jnp
from avct_jax import compile_cache
compile_cache.LEAST_SECONDS = 0
folder = compile_cache.enable()
program = jax.jit(lambda x: jnp.sort(x) @ x)
programs = lambda: sorted(folder.glob("jit__lambda-*-cache"))
program(jnp.arange(5.0))
(path,) = programs()
whole = path.read_bytes()
path.write_bytes(whole[: len(whole) // 2])  # as a full disk leaves it
jax.clear_caches()
with compile_cache.mended():
    program(jnp.arange(5.0))
assert [len(p.read_bytes()) > len(whole) // 2 + 9 for p in programs()] == [True]
path.write_bytes(b"")
jax.config.update("jax_compilation_cache_dir", None)
assert compile_cache.enable() == folder and not programs()
"""


def test_a_program_that_cannot_be_read_is_compiled_and_kept_anew(tmp_path):
    named = os.environ | {compile_cache.FOLDER_VARIABLE: str(tmp_path), "JAX_PLATFORMS": "cpu"}
    named.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", MENDED], env=named, capture_output=True, text=True)
    assert done.returncode == 0 and "Error reading" not in done.stderr, done.stderr


def test_missing_embedded_weights_never_look_like_a_bug(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(weights_file.importlib.resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(demo, "sentence", lambda: contextlib.nullcontext(tmp_path / "a.flac"))
    monkeypatch.setattr(demo, "phonemes", lambda: contextlib.nullcontext(np.full(7, symbols.INDEX["AA"])))
    monkeypatch.setattr(demo, "portrait", lambda: np.zeros((64, 64, 3), np.uint8))
    assert main.main(["demo", "--output", str(tmp_path / "a.mp4")]) == main.REFUSED
    assert "no checkpoint at" in capsys.readouterr().err
