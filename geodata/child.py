"""Files from outside are read in a child process that can do little else.

The parent copies the file into a folder of its own, starts the child and waits, but not for long. Before it looks at the file
the child gives up, for good: memory, time, file size and descriptors beyond `Fence`; the network (an empty network namespace,
and no TCP by Landlock); every file but the installation's own and that folder, and the running of programs (Landlock, where the
kernel has it). Python's own openings, sockets and processes are refused by an audit hook besides. What comes back is JSON, never
a pickle, and the parent builds every value from it anew. `Answer.guards` tells which walls stood.

The top of this module is the standard library alone: the child closes the network before it loads anything that could use it.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from routing.errors import JieguanError

HOME = Path(__file__).resolve().parent
MIB = 1 << 20


class UploadTooBig(JieguanError):
    zh = "上传的文件“{path}”有 {size} 字节,上限 {limit}:未读取任何内容。请只上传有改动的图层,或简化、拆分后再传。"
    en = (
        "The uploaded file {path!r} has {size} bytes and the limit is {limit}; nothing of it was read. Upload only the layers that "
        "changed, or simplify or split it."
    )


class UploadTooSlow(JieguanError):
    zh = "读取“{path}”超过 {seconds} 秒仍未结束,已中止,未作任何改动:文件可能过于复杂或有意拖延。请简化后再传。"
    en = (
        "Reading {path!r} had not ended after {seconds} s and was stopped; nothing was changed. The file is too complicated, or means "
        "to be slow. Simplify it and try again."
    )


class UploadOutgrew(JieguanError):
    zh = "读取“{path}”所需的{what}超出上限({limit} 字节),已中止,未作任何改动。请简化或拆分,或改用 GeoPackage(比 GeoJSON 省十倍内存)。"
    en = (
        "Reading {path!r} outgrew its limit ({what}: {limit} bytes) and was stopped; nothing was changed. Simplify or split it, or "
        "use a GeoPackage, which takes a tenth of the memory of a GeoJSON."
    )


class UploadBroke(JieguanError):
    zh = "读取“{path}”时读取程序中断({reason}),未作任何改动:文件可能已损坏。请重新导出后再传。"
    en = "The reader broke down over {path!r} ({reason}); nothing was changed. The file is probably damaged: export it again."


class TooManyLayers(JieguanError):
    zh = "“{path}”有 {count} 个图层,上限 {limit}。请只保留要上传的图层。"
    en = "{path!r} has {count} layers, the limit is {limit}. Keep only those you mean to upload."


class CrsNamesFile(JieguanError):
    zh = "“{path}”的坐标系引用了别的文件({crs}):不予打开。请改用 EPSG 代号声明的坐标系。"
    en = "The coordinate system of {path!r} refers to another file ({crs}), which is not opened. Declare one by its EPSG code."


@dataclass(frozen=True, slots=True)
class Fence:
    """How much a child may use. Bytes and seconds.

    `memory` is address space, of which the libraries take some 335 MiB (116 resident) before the file is looked at.
    """

    upload: int = 256 * MIB
    memory: int = 512 * MIB
    cpu_s: int = 30
    wall_s: float = 45.0
    written: int = 128 * MIB
    """Any one file it writes: a part of a shapefile, or its answer."""
    descriptors: int = 64
    layers: int = 32
    vertices: int = 500_000
    """Of one feature; the largest district outlines we know have 400,000."""
    rows: int = 200_000
    columns: int = 500
    steps: int = 300_000_000
    """Of SQLite's virtual machine, some five seconds."""


FENCE = Fence()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the child said: plain JSON values. `guards`: the walls that stood. `peak`: bytes resident; `cpu_s`: seconds used."""

    layers: tuple[Mapping[str, Any], ...]
    guards: frozenset[str]
    peak: int
    cpu_s: float


# ---- the parent's side -----------------------------------------------------------------------------------------------


def ask(file: Path, shown: str, fence: Fence = FENCE, errors: Callable[[str], type[JieguanError] | None] = lambda _: None) -> Answer:
    """What a file holds. It stands alone in its folder, which the child may write to and the caller deletes.

    `shown`: what people call the file. `errors`: the refusals by name that the child may answer with. Raises those, and
    UploadTooSlow, UploadOutgrew, UploadBroke.
    """
    with tempfile.TemporaryFile() as answer:
        died = _run(file, fence, answer.fileno())
        size = answer.seek(0, os.SEEK_END)
        answer.seek(0)
        said = answer.read(fence.written) if size <= fence.written else b""
    if died is None:
        raise UploadTooSlow(path=shown, seconds=f"{fence.wall_s:g}")
    if died == -signal.SIGXCPU:
        raise UploadTooSlow(path=shown, seconds=fence.cpu_s)
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        reason = signal.Signals(-died).name if died < 0 else f"exit {died}"
        raise UploadBroke(path=shown, reason=reason) from None
    if "error" in told:
        raise _refusal(told, file.name, shown, fence, errors)
    return Answer(tuple(told["layers"]), frozenset(told["guards"]), int(told["peak"]), float(told["cpu_s"]))


def _run(file: Path, fence: Fence, answer: int) -> int | None:
    """Exit status of the child; None where it had to be killed for its time. Nothing of our environment goes along."""
    process = subprocess.Popen(  # noqa: S603  (our own program; the file's name is ours, too)
        command(file, fence), cwd=file.parent, env=environment(file.parent), stdin=subprocess.DEVNULL, stdout=answer,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(fence.wall_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def command(file: Path, fence: Fence) -> list[str]:
    """The child's program: this interpreter without any of its user's settings, this package and no other of its folder."""
    start = f"import sys; sys.path.insert(0, {str(HOME.parent)!r}); from geodata.child import main; main()"
    return [sys.executable, "-I", "-c", start, json.dumps(asdict(fence)), file.name]


def environment(folder: Path) -> dict[str, str]:
    """One thread, no caches, no plugins, no addresses: what the libraries would otherwise take from ours."""
    own = dict.fromkeys(("HOME", "TMPDIR"), str(folder))
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "ARROW_IO_THREADS", "MALLOC_ARENA_MAX"), "1")
    gdal = {"GDAL_DRIVER_PATH": "disable", "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none", "GDAL_HTTP_CONNECTTIMEOUT": "1"}
    rest = {"PROJ_NETWORK": "OFF", "ARROW_DEFAULT_MEMORY_POOL": "system", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return own | single | gdal | rest


def _refusal(
    told: Mapping[str, Any], own: str, shown: str, fence: Fence, errors: Callable[[str], type[JieguanError] | None]
) -> JieguanError:
    """The child's refusal, with the file called as people call it."""
    name, facts = str(told["error"]), {str(k): _named(v, own, shown) for k, v in dict(told["facts"]).items()}
    if name == "MemoryError":
        return UploadOutgrew(path=shown, what="memory", limit=fence.memory)
    if name == "OSError" and facts.get("errno") in (errno.EFBIG, errno.ENOSPC):
        return UploadOutgrew(path=shown, what="disk", limit=fence.written)
    kind = OURS.get(name) or errors(name)
    try:
        return UploadBroke(path=shown, reason=f"{name} {facts.get('reason', '')}".strip()) if kind is None else kind(**facts)
    except (KeyError, IndexError):  # a fact is missing from its sentence
        return UploadBroke(path=shown, reason=name)


OURS: Mapping[str, type[JieguanError]] = {kind.__name__: kind for kind in (TooManyLayers, CrsNamesFile)}


def _named(value: Any, own: str, shown: str) -> Any:
    if isinstance(value, str) and value.startswith(own):
        return shown + value.removeprefix(own)
    return [_named(v, own, shown) for v in value] if isinstance(value, list) else value


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one upload, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="jieguan-upload-") as name:
        yield Path(name)


# ---- the child's side ------------------------------------------------------------------------------------------------

class Unneeded(MetaPathFinder):
    """Not to be found: what pyogrio would load if it could, two seconds and 70 MiB that no reader here uses."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:  # noqa: ARG002
        if name in ("geopandas", "pandas", "matplotlib"):
            raise ModuleNotFoundError(name=name)


def main() -> None:
    """Read one file behind the fence, print what it holds, or why not. `argv`: the fence as JSON, the file's name."""
    fence, name = Fence(**json.loads(sys.argv[1])), sys.argv[2]
    guards: list[str] = []
    status = Path("/proc/self/status").open()  # noqa: SIM115  (behind the walls it could not be opened any more)
    try:
        guards += [*_limited(fence), *_unconnected()]
        sys.meta_path.insert(0, Unneeded())
        _without_database()
        read = _reader()
        guards += _walled(Path.cwd())
        said: dict[str, Any] = {"layers": read(Path(name), fence)}
    except JieguanError as error:
        said = {"error": type(error).__name__, "facts": {k: plain(v) for k, v in error.facts.items()}}
    except MemoryError:
        said = {"error": "MemoryError", "facts": {}}
    except Exception as error:  # noqa: BLE001  (whatever a library raises over a broken file, the parent is told)
        facts = {"reason": str(error)[:200], "errno": getattr(error, "errno", None)}
        said = {"error": type(error).__name__, "facts": facts}
    used = resource.getrusage(resource.RUSAGE_SELF)  # its ru_maxrss would be the parent's: exec does not forget
    peak = next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")), 0)
    said |= {"guards": guards, "peak": peak, "cpu_s": used.ru_utime + used.ru_stime}
    sys.stdout.write(json.dumps(said))
    sys.stdout.flush()
    os._exit(0)  # no library gets to tidy up what a file may have broken


def _without_database() -> None:
    """The readers ask `geodata.db.guard`, which stands alone; the package around it would load SQLAlchemy and two drivers."""
    package = ModuleType("geodata.db")
    package.__path__ = [str(HOME / "db")]
    sys.modules[package.__name__] = package


def plain(value: object) -> Any:
    """A value as JSON knows it; what it does not know, as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


# ---- its walls -------------------------------------------------------------------------------------------------------


def _limited(fence: Fence) -> list[str]:
    """Limits of the kernel, which nothing can raise again. SIGXCPU kills; a file too long raises OSError (EFBIG)."""
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, fence.cpu_s),
        (resource.RLIMIT_AS, fence.memory),
        (resource.RLIMIT_FSIZE, fence.written),
        (resource.RLIMIT_NOFILE, fence.descriptors),
    ):
        resource.setrlimit(limit, (value, value))
    return ["limits"]


NEWNET, NEWUSER = 0x40000000, 0x10000000


def _unconnected() -> list[str]:
    """A network namespace with nothing in it: as root at once, else within a user namespace, where the system allows it.

    Must run while the process has one thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEWNET) == 0:
        return ["netns"]
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEWUSER | NEWNET) != 0:
        return []
    for file, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{file}").write_text(text)  # or we could make no file: our own number would stand for nobody
    return ["netns"]


def _walled(own: Path) -> list[str]:
    """From here on only `own` is written, only it and the installation are read, nothing is run and nothing connects."""
    installed = [Path(p) for p in {sys.prefix, sys.base_prefix, "/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo"}]
    installed += [HOME, HOME.parent / "routing", Path("/etc/ld.so.cache"), Path("/dev/null"), Path("/dev/urandom")]
    there = [p.resolve() for p in installed if p.exists()]
    walls = _landlocked(there, own.resolve())
    _hooked([os.path.realpath(p) for p in (*there, own)])
    return [*walls, "audit"]


class Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr` (linux/landlock.h)."""

    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


CREATE, ADD, RESTRICT = 444, 445, 446
"""System calls, the same numbers on every architecture."""
READ = 1 << 2 | 1 << 3
"""Read files, list folders."""
READ_FILE = 1 << 2
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Version of the interface -> how many rights over files it knows; 16 from version 5 on."""
MAKES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 14
"""Write, remove folders and files, make folders and plain files, truncate."""
SIZES = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}
"""Version -> bytes of Ruleset it knows; 24 from version 6 on."""


def _landlocked(readable: list[Path], own: Path) -> list[str]:
    """Linux 5.13 and later. Executing is among the rights nobody is given; TCP from version 4, signals from 6."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE, None, 0, 1)
    if version < 1:
        return []
    rights = (1 << FS_RIGHTS.get(version, 16)) - 1
    ruleset = Ruleset(rights, 0b11, 0b11)
    rules = libc.syscall(CREATE, ctypes.byref(ruleset), SIZES.get(version, 24), 0)
    for path, allowed in [*((p, READ) for p in readable), (own, (READ | MAKES) & rights)]:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed if path.is_dir() else READ_FILE, at))
        failed = libc.syscall(ADD, rules, 1, rule, 0)
        os.close(at)
        if failed:
            raise OSError(ctypes.get_errno(), "landlock_add_rule")
    if libc.prctl(38, 1, 0, 0, 0) or libc.syscall(RESTRICT, rules, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(rules)
    return ["landlock"]


REFUSED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "pty.", "ctypes.dlopen", "urllib.")


def _hooked(readable: list[str]) -> None:
    """What Python itself may still do. The only wall on a kernel without Landlock, where C libraries are not seen."""
    inside = tuple(root.rstrip("/") + "/" for root in readable)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(REFUSED):
            raise PermissionError(errno.EPERM, f"a reader of uploads may not {event}")
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            real = os.path.realpath(os.fsdecode(arguments[0]))
            if real not in readable and not real.startswith(inside):
                raise PermissionError(errno.EACCES, "a reader of uploads may not open other files")

    sys.addaudithook(hook)


# ---- what it reads ---------------------------------------------------------------------------------------------------

NOT_LAYERS = frozenset({"layer_styles"})
"""QGIS keeps its styles in a table that GeoPackage lists as a layer."""

FOREIGN = re.compile("PARAMETERFILE|EXTENSION|nadgrids|geoidgrids", re.IGNORECASE)
"""In the text of a coordinate system: the ways to name a grid file, which PROJ would open."""


def _reader() -> Callable[[Path, Fence], list[dict[str, Any]]]:
    """The readers, loaded: all that they need is there before the walls go up."""
    import shapely  # noqa: PLC0415  (here, and not before the network is closed)

    import geodata.intake_gdal  # noqa: F401  (which the readers load at the first file)
    from geodata.files import READERS  # noqa: PLC0415
    from geodata.intake import Content, Format, Limits, format_of  # noqa: PLC0415
    from geodata.intake_gpkg import check_header, layers_of, opened  # noqa: PLC0415
    from geodata.intake_zip import shapefiles_in  # noqa: PLC0415

    def names_in(file: Path, kind: Format, limits: Limits) -> Sequence[str | None]:
        if kind is Format.GPKG:
            check_header(file)
            with opened(file, limits) as database:
                return [name for name in layers_of(file, database) if name not in NOT_LAYERS]
        return list(shapefiles_in(file, limits)) or [None] if kind is Format.ZIP else [None]

    def told(file: Path, content: Content) -> dict[str, Any]:
        shapes = content.geometry
        wkb = None if shapes is None else [None if s is None else base64.b64encode(shapely.to_wkb(s)).decode() for s in shapes]
        return {
            "name": content.layer,
            "columns": {name: plain(content.columns.column(name).to_pylist()) for name in content.columns.column_names},
            "count": content.columns.num_rows if shapes is None else len(shapes),
            "geometry": wkb,
            "crs": None if content.crs is None else crs_said(file, content.crs),
            "notes": [[note.code, plain(note.facts)] for note in content.notes],
        }

    def read(file: Path, fence: Fence) -> list[dict[str, Any]]:
        limits = Limits(
            file=fence.upload, json=fence.upload, unpacked=fence.written, vertices=fence.vertices, layer_vertices=4 * fence.vertices,
            rows=fence.rows, columns=fence.columns, sqlite_steps=fence.steps,
        )
        kind = format_of(file, limits)
        names = names_in(file, kind, limits)
        if len(names) > fence.layers:
            raise TooManyLayers(path=file.name, count=len(names), limit=fence.layers)
        return [told(file, READERS[kind](file, name, limits)) for name in names]

    return read


def crs_said(file: Path, crs: Any) -> str:
    """A pyproj CRS by its code, or in WKT where it has none. Raises CrsNamesFile."""
    text: str = crs.to_wkt()
    if FOREIGN.search(text):
        raise CrsNamesFile(path=file.name, crs=crs.name[:80])
    code = None if crs.is_bound else crs.to_authority()
    return ":".join(code) if code else text
