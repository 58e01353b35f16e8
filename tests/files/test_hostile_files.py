"""Files that somebody made to harm, or that are something else: one line, in bounded memory and time."""

import ast
import io
import json
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from avct_jax import errors, weights_file
from avct_jax.cli import jobs_file
from avct_jax.cli.commands import animate
from avct_jax.convert import released
from avct_jax.data.clips import clip
from avct_jax.data.dataset import dataset_index
from avct_jax.data.direction import blink_times, cues
from avct_jax.data.faces import head_pose
from avct_jax.data.phonemes import symbols
from avct_jax.files import array_file, torch_pickle
from avct_jax.models import mesh_system, system_config
from avct_jax.models.frozen import inception, vgg

MEMORY = 1 << 30  # bytes that a reader may take, its imports included
MORE = 200 << 20  # bytes beyond what its imports took: who catches MemoryError has not bounded anything
SECONDS = 60  # of processor time
HEAD = b"".join(pickle.dumps(part, protocol=2) for part in (torch_pickle.MAGIC, 1001, {}))
TAIL = pickle.dumps([], protocol=2)
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"


def shared(what, levels=60):
    """Each level holds the one below twice."""
    code = {"list": (b"]", b"(h\x00h\x00e"), "tuple": (b")", b"0h\x00h\x00\x86")}[what]
    return (
        b"\x80\x02" + code[0] + b"q\x00" + levels * ((b"]" if what == "list" else b"") + code[1] + b"q\x00")
    )


def one_number(code):
    """A file of one storage of one number."""
    return HEAD + b"\x80\x02" + code + b"." + pickle.dumps(["0"], protocol=2) + struct.pack("<qf", 1, 2.0)


def named_again(function, count=200_000, times=1000):
    """A list of many pairs of numbers, and a function called with it again and again."""
    pair = b"\x88" if function == b"ctorch\nSize\n" else b"K\x01K\x02\x86"
    listed = b"]q\x01(" + count * pair + b"e"
    return HEAD + b"\x80\x02(" + function + b"q\x00" + listed + times * b"h\x00h\x01\x85R" + b"t."


def keys(numbers):
    """A dict of integers."""
    coded = [pickle.encode_long(number) for number in numbers]
    items = b"".join(b"\x8b" + struct.pack("<i", len(code)) + code + b"N" for code in coded)
    return HEAD + b"\x80\x02}(" + items + b"u."


def tensor(shape, strides):
    numbers = lambda values: b"(" + b"".join(pickle.dumps(v, protocol=2)[2:-1] for v in values) + b"t"
    return TENSOR + b"(" + STORAGE[1:] + b"K\x00" + numbers(shape) + numbers(strides) + b"\x89NtR"


PICKLES = {
    "a memo of 2^30 places": HEAD + b"\x80\x02]r\xff\xff\xff\x3f.",
    "a text of 2^40 bytes": HEAD + b"\x80\x04\x8d" + struct.pack("<q", 2**40) + b"x.",
    "bytes of 2^33 bytes": HEAD + b"\x80\x05\x96" + struct.pack("<q", 2**33) + b"x.",
    "a tuple of tuples as a key": HEAD + b"\x80\x02}" + shared("tuple")[2:] + b"K\x01s.",
    "a set of tuples": HEAD + b"\x80\x04\x8f(" + shared("tuple")[2:] + b"\x90.",
    "a state for a function": HEAD + b"\x80\x02" + TENSOR + b"N}X\x01\x00\x00\x00aK\x01s\x86b.",
    "lists in each other": HEAD + b"\x80\x02" + 300_000 * b"]" + 299_999 * b"a" + b".",
    "a tensor of one number, repeated": one_number(tensor((10**6, 10**6), (0, 0))),
    "many tensors of one number": one_number(b"](" + 30 * tensor((2**14,), (0,)) + b"e"),
    "a tensor outside": one_number(tensor((2,), (1,))),
    "a tensor of no number": one_number(tensor(("a",), (1,))),
    "sizes of one long list": named_again(b"ctorch\nSize\n"),
    "dicts of one long list": named_again(b"ccollections\nOrderedDict\n"),
    "a tensor of a million dimensions": one_number(tensor((1,) * 10**6, (0,) * 10**6)),
    "a storage named by a long list": HEAD + b"\x80\x02(](" + 10**6 * b"N" + b"eq\x00"
    + 1000 * b"h\x00Q" + b"t.",
    "a storage named by a megabyte, again and again": HEAD + b"\x80\x03" + STORAGE[1:].partition(b"X\x01")[0]
    + b"B" + struct.pack("<I", 10**6) + 10**6 * b"a" + b"X\x03\x00\x00\x00cpuK\x01tq\x00("
    + 1000 * b"h\x00Q" + b"t.",
    "tensors of 64 sides, again and again": HEAD + b"\x80\x02(](" + 64 * b"K\x01" + b"eq\x00" + TENSOR
    + b"q\x01" + STORAGE + b"q\x02(" + 200_000 * b"h\x01(h\x02K\x00h\x00h\x00tR" + b"t.",
    "a function of a million arguments": HEAD + b"\x80\x02(" + TENSOR + b"(" + 10**6 * b"N" + b"tRt.",
    "an array of 70 bytes": HEAD + b"\x80\x05\x96" + struct.pack("<Q", 2**31) + b"x.",
    "dicts in each other": HEAD + b"\x80\x02" + 100_000 * b"}K\x01" + b"N" + 100_000 * b"s" + b".",
    "a key of a megabyte, again and again": HEAD + b"\x80\x02}q\x01\x8b" + struct.pack("<i", 10**6)
    + 10**6 * b"\x01" + b"q\x000h\x01" + 200_000 * b"h\x00Ns" + b".",
    "keys of one hash": keys(1 + (2**61 - 1) * (number << 64) for number in range(20_000)),
    "a storage of 2^60 numbers": HEAD + b"\x80\x02" + tensor((1,), (1,)) + b"."
    + pickle.dumps(["0"], protocol=2) + struct.pack("<q", 2**60),
}  # fmt: skip
CHECK = """
import resource, sys
from avct_jax import errors
from avct_jax.files import torch_pickle
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
taken = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = taken()
for path in sys.argv[1:]:
    try:
        torch_pickle.read(path)
        print("read", path)
    except errors.UserError as error:
        assert path in str(error) and "\\n" not in str(error)
        print("refused" if taken() < before + {more} else f"{{taken()}}", path)
"""


def test_pickles_take_no_more_memory_than_their_file(tmp_path):
    paths = []
    for number, content in enumerate(PICKLES.values()):
        paths.append(tmp_path / f"{number}.pth")
        paths[-1].write_bytes(content)
    words = [sys.executable, "-c", CHECK.format(memory=MEMORY, more=MORE, seconds=SECONDS), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True)
    said = [line.split()[0] for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert dict(zip(PICKLES, said, strict=True)) == dict.fromkeys(PICKLES, "refused")


def test_lists_that_are_shared_are_walked_once(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(HEAD + shared("list") + b"." + TAIL)
    found = torch_pickle.read(path)
    assert found[0] is found[1] and len(path.read_bytes()) < 800
    circle = HEAD + b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s." + TAIL  # a dict that holds itself
    path.write_bytes(circle)
    assert list(released.state_dicts(torch_pickle.read(path))) == []
    with pytest.raises(errors.UserError, match="holds no network"):
        released.convert(path, tmp_path / "b.safetensors")


def test_tensors_of_one_storage_are_read(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(one_number(b"](" + 9 * tensor((1, 1), (1, 1)) + b"e"))
    assert torch_pickle.read(path) == [np.float32(2.0)] * 9


def test_parts_of_an_archive_do_not_overlap(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("a/data/0", bytes(9999))
        archive.filelist += 9 * [archive.filelist[-1]]
    with pytest.raises(errors.UserError, match="damaged"):
        torch_pickle.read(path)


def header(shape, kind="<f4"):
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"descr": kind, "fortran_order": False, "shape": shape})
    return made.getvalue()


def bomb(path):
    """An .npz of 100 kB that unpacks to 100 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/b.npy", "w") as file:
        file.write(header((25, 10**6)))
        for _ in range(100):
            file.write(bytes(10**6))


ARRAYS = {
    "no file": None,
    "larger than it is": header((10**6, 10**6)),
    "sides below 0": header((-1, 6)),
    "objects": header((1,), "|O") + pickle.dumps(1),
    "a folder of arrays": zipfile.ZipFile,
    "a long header": header((1,)).replace(b"<f4", b"<f4" + b" " * 20),
    "half of it": b"\x93NUMPY\x01",
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "read", [head_pose.read_poses, lambda path: dataset_index.read_mean_face(path.parent)]
)
def test_arrays_that_are_none_are_refused_in_one_line(name, read, tmp_path):
    path, content = tmp_path / "mean_face.npy", ARRAYS[name]
    if content is zipfile.ZipFile:
        np.savez(tmp_path / "a.npz", a=np.zeros(3))
        (tmp_path / "a.npz").rename(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.UserError) as refused:
        read(path)
    assert "\n" not in str(refused.value) and "mean_face.npy" in str(refused.value)


@pytest.mark.parametrize("read", [vgg.load, inception.load, clip.load, array_file.read_npz])
def test_archives_that_unpack_to_too_much_are_refused(read, tmp_path, monkeypatch):
    monkeypatch.setattr(array_file, "MOST_BYTES", 10**7)
    bomb(tmp_path / "a.npz")
    if read is clip.load:
        monkeypatch.setattr(clip.Clip, "_fields", ("a/b",))
    if read is vgg.load:
        monkeypatch.setattr(vgg, "_from_keras", lambda arrays, path: dict(arrays)["a/b"])
        read = lambda path: array_file.read_npz(path)
    with pytest.raises(errors.UserError, match="too many"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\x00"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
def test_weights_that_are_none_are_refused_in_one_line(content, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for read in (vgg.load, inception.load):
        with pytest.raises(errors.UserError) as refused:
            read(path)
        assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def audio():
    """What a checkpoint holds: tensors by name, and the header's words."""
    with weights_file.embedded() as path:
        return array_file.read_safetensors(path)


def nested(text):
    return lambda words: words | {"config": text}


def sized(**fields):
    return lambda words: words | {"config": json.dumps(json.loads(words["config"]) | fields)}


TENSORS = {
    "a flat name": lambda known: known | {"mouth_painter": np.zeros(3)},
    "a name and one below": lambda known: known | {f"{next(iter(known))}/more": np.zeros(3)},
    "a deep name": lambda known: known | {"mouth_painter/" + 9999 * "a/" + "b": np.zeros(3)},
    "an empty name": lambda known: known | {"": np.zeros(3)},
    "nothing but zeros": lambda known: {name: value * 0 for name, value in known.items()},
    "NaN": lambda known: {name: value * np.nan for name, value in known.items()},
    "whole numbers": lambda known: {name: value.astype(np.int32) for name, value in known.items()},
}
WORDS = {
    "a deep config": nested("[" * 200_000),
    "a config of a list": nested("[]"),
    "no config": nested(""),
    "a huge number": nested('{"mouth_amplitude": 1e400}'),
    "a number of many digits": nested('{"mouth_amplitude": 1' + 5000 * "0" + "}"),
    "a field of another kind": sized(mouth_painter=3),
    "sizes that cannot be": sized(phoneme_net={"width": -8}),
    "sizes beyond memory": sized(phoneme_net={"width": 2**40}),
    "another family": lambda words: words | {"family": "\n"},
    "too deep a network": sized(speech_motion={"encoder_layers": 65}),
    "too long a list": sized(phoneme_net={"dilations": [1] * 65, "ahead": [0] * 65}),
    "a list of another length": sized(mean_motion=[0.0] * 3),
    "another version": lambda words: words | {"version": "9" * 999},
    "a version that colours terminals": lambda words: words | {"version": "\x1b[31m"},
}


@pytest.mark.parametrize("name", [*TENSORS, *WORDS])
def test_checkpoints_that_are_none_are_refused_in_one_line(name, audio, tmp_path):
    tensors, words = audio
    tensors, words = TENSORS.get(name, dict)(tensors), WORDS.get(name, dict)(words)
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, words))
    with pytest.raises(errors.UserError) as refused:
        weights_file.load(path, required=None)
    assert len(str(refused.value)) < 400 and "a.safetensors" in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "fields",
    [
        {"image_size": 4096},
        {"keypoint_detector": {"num_blocks": 65}},
        {"keypoint_detector": {"padding": 65}},
        {"renderer": {"working_downsampling": 65}},
        {"head_motion": {"blocks": [65], "widths": [8]}},
        {"avct": {"window_radius": 257}},
        {"avct": {"feature_size": 4096}},
        {"avct": {"pose_size": 512}},
    ],
)
def test_sizes_that_no_network_has_are_refused_before_one_is_traced(fields):
    with pytest.raises(ValueError, match=r"at most|from 1 to 256"):
        weights_file.config_from_dict(system_config.SystemConfig, fields)


def test_a_mean_of_many_components_is_no_depth():
    fields = {"mean_motion": [0.0] * 80, "speech_motion": {"components": 80}}
    assert len(weights_file.config_from_dict(mesh_system.MeshSystemConfig, fields).mean_motion) == 80


DEEP, LONG = "[" * 200_000, "1" + 400 * "0"
CUE = '[{{"time": {time}, "what": {what}, "value": {value}, "ease": {ease}}}]'
USUAL = {"time": "1", "what": '"mouth"', "value": "1", "ease": '"linear"'}
DIRECTIONS = {
    cues.read: [
        *(DEEP, LONG, '[{"a":' * 9999),
        *(CUE.format(**USUAL | {name: LONG}) for name in USUAL),
        *(CUE.format(**USUAL | {name: "{}"}) for name in USUAL),
        *(CUE.format(**USUAL | {name: "[]"}) for name in USUAL),
    ],
    blink_times.read: [DEEP, f"[{LONG}]", f"[-{LONG}]", "[[]]", "[NaN]", LONG],
}
EVERY_DIRECTION = [(read, text) for read, texts in DIRECTIONS.items() for text in texts]


@pytest.mark.parametrize("read, text", EVERY_DIRECTION, ids=range(len(EVERY_DIRECTION)))
def test_directions_that_are_none_are_refused_in_one_line(read, text, tmp_path):
    assert cues.read(json.loads(CUE.format(**USUAL)))  # which differs in one thing
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(errors.UserError) as refused:
        read(str(tmp_path / "a.json"))
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


NAMED = '{"image": "%s", "audio": "a.wav", "output": "b.mp4"}'
ROWS = [DEEP, LONG, '{"seed": ' + DEEP, '{"seed": ' + LONG + "}", NAMED % r"a\u0000", NAMED % r"\ud800.png"]


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_jobs_that_are_none_are_refused_line_by_line(row, tmp_path):
    usual = '{"image": "a.png", "audio": "a.wav", "output": "a.mp4"}'
    (tmp_path / "a.jsonl").write_text(f"{usual}\n{row}\n")
    found = jobs_file.read(str(tmp_path / "a.jsonl"), animate.Options())
    assert len(found.jobs) == 1 and [line.place for line in found.refused] == ["line 2"]
    assert len(found.refused[0].reason) < 500


@pytest.mark.parametrize("value", [1e300, 1e6, -1e6])
def test_poses_that_no_head_has_are_refused(value, tmp_path):
    """What is finite in 64 bits is not in 32; and a head a kilometre away is in no picture."""
    poses = np.tile([0, 0, 0, 0, 0, 300.0], (5, 1))
    poses[2, 3] = value
    np.save(tmp_path / "a.npy", poses)
    for read, given in ((head_pose.read_poses, tmp_path / "a.npy"), (head_pose.from_array, poses)):
        with pytest.raises(errors.UserError, match=r"finite|the limit is 10000 mm"):
            read(given)


GRID = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n1\n<exists>\n{tiers}\n' + (
    '"IntervalTier"\n"phones"\n0\n1\n{size}\n'
)
TABLE = "timestamp," + ",".join(head_pose.COLUMNS) + "\n"
TEXTS = {
    "a.json": [
        *("[" * 200_000, '[{"phones": [{"ph": "AA", "bg": 0, "ed": 1' + 400 * "0" + "}]}]", "1e400", "null"),
        *("", '[{"phones": [{"ph": "AA", "bg": NaN, "ed": 3}]}]', '[{"phones": 3}]', '{"a": 1}'),
    ],
    "a.TextGrid": [
        *(GRID.format(tiers=1, size=10**15), GRID.format(tiers=10**15, size=1), "1.2.3 1", '"' * 99_999),
        *(GRID.format(tiers="1e999", size=1), GRID.format(tiers=1, size="1e999")),
    ],
    "a.csv": [
        TABLE + "".join(f"{time},0,0,0,0,0,250\n" for time in times)
        for times in ((0, 4e15), (0, 1e300), (-4e15, 0))
    ],
}
EVERY_TEXT = [(name, i) for name, texts in TEXTS.items() for i in range(len(texts))]


@pytest.mark.parametrize("name, number", EVERY_TEXT)
def test_texts_that_are_none_are_refused_in_one_line(name, number, tmp_path):
    path = tmp_path / name
    path.write_text(TEXTS[name][number])
    read = head_pose.read_poses if name == "a.csv" else symbols.read_segments
    with pytest.raises(errors.UserError) as refused:
        read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("read", [array_file.read_npy, array_file.read_npz])
def test_a_header_parsed_beside_another_thread_is_read_again(read, tmp_path, monkeypatch):
    """Python 3.11.7 may fail to parse where two threads do at once."""
    np.save(tmp_path / "a.npy", np.arange(3))
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    parse, refused = ast.literal_eval, iter([True, False, True])

    def sometimes(text):
        if next(refused, False):
            raise SystemError("AST constructor recursion depth mismatch (before=90, after=78)")
        return parse(text)

    monkeypatch.setattr(ast, "literal_eval", sometimes)
    found = read(tmp_path / ("a.npy" if read is array_file.read_npy else "a.npz"))
    np.testing.assert_array_equal(found["a"] if isinstance(found, dict) else found, np.arange(3))
