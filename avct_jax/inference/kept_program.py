"""Jitted functions that are traced once for all processes, and compiled while their inputs are still read.

JAX keeps what was compiled, but finds it by the traced program, and to trace takes longer than to draw the
first frames. Here the traced program (StableHLO) is kept beside it, in a file whose name says what it was
traced of: the package's source, the function's configuration, shapes and versions.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import flax
import jax
import jaxlib.version

from avct_jax import compile_cache, errors
from avct_jax.files import atomic_write

SUFFIX = ".stablehlo"
DIGEST = hashlib.sha256().digest_size  # bytes in front of a program
# Programs of some 300 kernels, each a loop over pixels: XLA's older way to write loops compiles them in 60%
# of the time, and they run as fast (docs/benchmarks.md). Convolutions and products are a library's in both.
QUICKLY = {"cpu": {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}}
SOURCES = ("*.py", "layers/**/*.py", "models/**/*.py", "inference/**/*.py")  # all that is ever traced

_log = logging.getLogger(__name__)


class KeptProgram:
    """A function of arrays in nested containers, compiled at its first call of each shape; as jax.jit."""

    def __init__(self, function: Callable[..., Any], name: str, about: Any = None):
        """Take a function.

        Args:
          function: pure, of arrays.
          name: of its files.
          about: whatever of its configuration decides the program, besides shapes; its repr is what counts.
        """
        self._function, self._name, self._about = function, name, about
        self._jitted = jax.jit(function)
        self._programs: dict[Any, Any] = {}
        self._flats: dict[Any, Any] = {}

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        leaves, tree = jax.tree.flatten(args)
        program = self._programs.get(key := _key(leaves, tree)) or self._begin(key, leaves, tree)
        return self._jitted(*args) if (ready := program.result()) is None else ready(*leaves)

    def begin(self, *args: Any) -> None:
        """Begin to compile it for such arguments, arrays or their shapes, in a thread of its own."""
        leaves, tree = jax.tree.flatten(args)
        if (key := _key(leaves, tree)) not in self._programs:
            self._begin(key, leaves, tree, apart=True)

    def shapes(self, *args: Any) -> Any:
        """Return the shapes of what it gives for such arguments, without tracing it where it is known.

        What is traced here is not traced again where it is compiled.
        """
        leaves, tree = jax.tree.flatten(args)
        folder = _folder()
        exported = _load(self._path(folder, leaves, tree)) if folder else None
        if exported is None:
            return self._flat(leaves, tree).eval_shape(*map(_struct, leaves))
        return jax.tree.unflatten(exported.out_tree, list(map(_struct, exported.out_avals)))

    def _begin(self, key: Any, leaves: list[Any], tree: Any, *, apart: bool = False) -> Any:
        future: concurrent.futures.Future = concurrent.futures.Future()
        self._programs[key] = future
        shapes = list(map(_struct, leaves))
        if apart and _folder():
            _threads().submit(self._make, future, shapes, tree)
        else:
            self._make(future, shapes, tree)
        return future

    def _make(self, future: Any, shapes: list[Any], tree: Any) -> None:
        """Compile; None is the answer where plain jit has to do."""
        try:
            exported = self._exported(shapes, tree)
            future.set_result(exported and _compiled(jax.jit(exported.call).lower(*shapes)))
        except Exception as error:  # what is kept is of no use here
            _log.info("%s is compiled anew: %s", self._name, error)
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)
            raise

    def _exported(self, leaves: list[Any], tree: Any) -> Any:
        """The traced program, from its file or else into it; None where it cannot be had."""
        folder = _folder()
        if folder is None:
            return None
        path = self._path(folder, leaves, tree)
        try:
            return _load(path) or self._export(path, leaves, tree)
        except Exception as error:  # plain jit has to do, and says what is wrong if that fails too
            _log.info("%s is traced anew: %s", self._name, error)
            return None

    def _path(self, folder: pathlib.Path, leaves: list[Any], tree: Any) -> pathlib.Path:
        said = repr((_key(leaves, tree), self._about, _platform(), _settings()))
        return folder / f"{self._name}-{hashlib.sha256((_sources() + said).encode()).hexdigest()}{SUFFIX}"

    def _flat(self, leaves: list[Any], tree: Any) -> Any:
        """The jitted function of the leaves; one for each shape, so that it is traced once."""
        flat = jax.jit(lambda *leaves: self._function(*jax.tree.unflatten(tree, leaves)))
        return self._flats.setdefault(_key(leaves, tree), flat)

    def _export(self, path: pathlib.Path, leaves: list[Any], tree: Any) -> Any:
        from jax import export

        made = export.export(self._flat(leaves, tree), platforms=[_platform()])(*map(_struct, leaves))
        try:
            content = bytes(made.serialize())
            atomic_write.write(path, hashlib.sha256(content).digest() + content)
        except (errors.UserError, ValueError) as error:  # a full disk, or a container that has no name
            _log.info("%s is not kept: %s", self._name, error)
        return made


def named(*kinds: Any) -> None:
    """Let programs that give these NamedTuples be kept."""
    from jax import export

    for kind in kinds:
        name = f"{kind.__module__}.{kind.__qualname__}"
        export.register_namedtuple_serialization(kind, serialized_name=name)


def _folder() -> pathlib.Path | None:
    """Where programs are kept; None: nowhere, or they are of one process among several."""
    return compile_cache.in_use() if jax.process_count() == 1 else None


def _platform() -> str:
    from jax import export

    return export.default_export_platform()


def _compiled(lowered: Any) -> Any:
    if options := QUICKLY.get(_platform()):
        with contextlib.suppress(Exception):  # an XLA that has no such options any more
            return lowered.compile(compiler_options=options)
    return lowered.compile()


def _struct(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _load(path: pathlib.Path) -> Any:
    from jax import export

    try:
        whole = path.read_bytes()
        checksum, content = whole[:DIGEST], whole[DIGEST:]
        if hashlib.sha256(content).digest() != checksum:  # a program of which one number is wrong draws, too
            raise ValueError("its checksum is another")
        return export.deserialize(bytearray(content))
    except OSError:
        return None
    except Exception as error:  # damaged, in whatever way
        _log.info("%s cannot be read, and is made anew: %s", path, error)
        return None


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(2, "compile")


def _key(leaves: list[Any], tree: Any) -> Any:
    return tree, tuple((x.shape, str(x.dtype)) for x in leaves)


def _settings() -> tuple[Any, ...]:
    """What else a traced program hangs on."""
    config: Any = jax.config
    jaxlib_version = jaxlib.__version__  # pyright: ignore[reportPrivateImportUsage] - it has no other
    versions = (jax.__version__, jaxlib_version, flax.__version__)
    return *versions, config.jax_enable_x64, config.jax_default_matmul_precision


@functools.cache
def _sources() -> str:
    """A checksum of the source that is traced."""
    root, found = pathlib.Path(compile_cache.__file__).parent, hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(root.glob(pattern)):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
