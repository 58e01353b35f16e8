"""Eight CPU devices, a persistent compile cache, and explicit broadcasting."""

import contextlib
import ctypes
import functools
import gc
import os
import pathlib
import signal
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
# Compiling is what takes time: hardly optimised, half as much.
os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"

import jax
import numpy as np
import pytest

from tests import quick

# Tracing makes millions of objects, few of them rubbish: looking through them all took a tenth of the time.
gc.set_threshold(50_000, 20, 50)

# Of glibc's mallopt (malloc.h): one arena, and what is larger than a megabyte goes back to the system where
# it is freed. Else freed memory lies in thirty arenas, and workers grow to 2.7 GB.
M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
with contextlib.suppress(OSError, AttributeError):
    for option, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, 1 << 20)):
        ctypes.CDLL(None).mallopt(option, value)

jax.devices()  # reads the flags; commands that tests start run as users' do
os.environ["XLA_FLAGS"] = os.environ["XLA_FLAGS"].removesuffix(" --xla_backend_optimization_level=0")

CACHE = pathlib.Path(__file__).parent.parent / ".jax_cache"
os.environ["AVCT_CONFIG_DIR"] = str(CACHE / "config")  # keys that tests make are not the user's
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # to find one takes a quarter of making it
jax.config.update("jax_numpy_rank_promotion", "raise")
quick.compile_small_programs_without_effort()


# Files that take more than ten seconds of CPU, most of it the compiler's: `make test-fast` leaves them out.
SLOW = [
    "ablation",
    "avct",
    "avct_stage",
    "bench",
    "blocks",
    "cpu_conv",
    "evaluate",
    "face_landmarker",
    "face_mesh",
    "head_motion",
    "head_motion_stage",
    "image_augmentation",
    "job_queue",
    "keypoint_inference",
    "loop",
    "losses",
    "main",
    "make_clips",
    "memory",
    "mesh_animator",
    "mesh_run",
    "mouth_crops",
    "mouth_painter",
    "mouth_patches",
    "odd_input",
    "page",
    "page_video",
    "painter_stage",
    "phoneme_net",
    "portrait_teeth",
    "pose_image",
    "protocols",
    "random_warps",
    "redub",
    "reference",
    "renderer_contracts",
    "renderer_stage",
    "scene",
    "sharding",
    "speech_augmentation",
    "speech_motion",
    "stage_contracts",
    "stages",
    "strangers",
    "stream",
    "sync_scorers",
    "sync_stage",
    "tfds_builder",
    "train_end_to_end",
]


# Begun first: files of the paper's sizes, and of steps that take as much (1.3 GB), while nothing else is held
# yet; then those that take longest from beginning to end, lest one worker waits for another's last file.
FIRST = [
    "reference",
    "head_motion",
    "sync_stage",
    "head_motion_stage",
    "train_end_to_end",
    "avct_stage",
    "keypoint_inference",
    "ablation",
    "mesh_animator",
    "odd_input",
    "make_clips",
    "mesh_run",
    "renderer_stage",
]


def pytest_collection_modifyitems(items):
    """Mark what is slow by its file; the longest files first (with --no-loadscope-reorder)."""
    place = {f"test_{name}": number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker("slow")


MOST_MEMORY = 1.2 * 2**30  # bytes of a test process from which on compiled programs are let go
GROWTH = 0.2 * 2**30  # bytes more than after the last time, lest it be done for nothing after every test
_kept = 0.0  # bytes that letting go did not free


@pytest.fixture(autouse=True)
def _memory():
    """Keep the many programs of a thousand tests from filling a small machine."""
    global _kept
    yield
    if _resident() > max(MOST_MEMORY, _kept + GROWTH):
        jax.clear_caches()
        _forget_what_the_package_keeps()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # glibc keeps what was freed
            ctypes.CDLL(None).malloc_trim(0)
        _kept = _resident()


def _forget_what_the_package_keeps():
    """Networks, programs, dictionaries: one command keeps few of them, a thousand tests would keep all."""
    from avct_jax.inference import kept_program
    from avct_jax.marks import signing_key

    kept = kept_program._threads, signing_key._own  # threads at work; what was told once
    for name, module in list(sys.modules.items()):
        if name.startswith("avct_jax."):
            _clear(module, kept)


def _clear(module, kept=()):
    for value in vars(module).values():
        if isinstance(value, functools._lru_cache_wrapper) and value not in kept:
            value.cache_clear()


@pytest.fixture(autouse=True, scope="module")
def _caches(request):
    """What a file of tests keeps for its tests ends with it."""
    yield
    _clear(request.module)


def _resident() -> float:
    """Bytes of memory that this process has; 0 where the system does not tell."""
    statm = pathlib.Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0.0


@pytest.fixture(scope="session", autouse=True)
def _freed_memory_is_given_back():
    """Commands that keep it would have all tests after them keep it."""
    from avct_jax import malloc

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(malloc, "keep_freed", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _signing_key():
    """It is told once, of no test's own, that a key was made."""
    from avct_jax.marks import signing_key

    signing_key.own()


@pytest.fixture(scope="session")
def tiny_variables():
    """Random variables of the TINY system, by part."""
    from avct_jax.models import networks, system_config

    rng = np.random.default_rng(0)

    def draw(path, x):
        names = [p.key for p in path]
        if names[-1] == "var":
            return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
        identity = np.tile([1.0, 0, 0, 1], x.shape[0] // 4) if names[-2:] == ["jacobian", "bias"] else 0
        return (identity + rng.normal(0, 0.1, x.shape)).astype(np.float32)

    shapes = {part: networks.expected(system_config.TINY, part) for part in networks.PARTS}
    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_variables, tmp_path_factory):
    """A TINY system's file."""
    from avct_jax import weights_file
    from avct_jax.models import system_config

    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    weights_file.save(path, weights_file.System(system_config.TINY, tiny_variables))
    return path


@pytest.fixture(autouse=True)
def _no_lines_by_the_clock(monkeypatch):
    """What is told must not hang on how busy the machine is."""
    from avct_jax import progress

    monkeypatch.setattr(progress, "PLAIN_SECONDS", float("inf"))


@pytest.fixture
def usual_interrupt():
    """Ctrl-C as at a terminal: a shell's background jobs, and what they start, are made to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
