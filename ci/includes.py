# SPDX-License-Identifier: BSD-2-Clause
"""Who may include what: the design's table, checked.

    python -m ci.includes [DIRECTORY]

Prints each include against the table as FILE:LINE: what, and why not.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Room:
    """What the files of one room may include.

    `files` are patterns of paths, `system` of names in <>, `own` of the paths
    (from the top) that a name in "" or <multistack/> may stand for.
    """

    files: tuple[str, ...]
    system: tuple[str, ...]
    own: tuple[str, ...]
    rule: str


ABI = "sys/multistack.h"
PUBLIC = "lib/include/multistack/*.h"
ANY = ("*",)
# libc without input, output or a clock.
PURE_LIBC = (
    *("stdint.h", "stddef.h", "stdbool.h", "stdalign.h", "stdarg.h"),
    *("inttypes.h", "limits.h", "errno.h", "string.h", "stdlib.h"),
    *("assert.h", "math.h", "float.h"),
)
LINUX = ("linux/*", "asm/*", "net/*", "uapi/*", "generated/*", "crypto/*")
FREEBSD = (
    *("sys/*", "machine/*", "vm/*", "net/*", "netinet/*", "netinet6/*"),
    *("security/*", "opt_*.h", "crypto/*"),
)

UTCP_BELOW = tuple(
    f"lib/utcp/{name}.h" for name in ("util", "mem", "timer", "table", "ip", "tcp")
)

# The first room whose pattern a file matches holds.
ROOMS = (
    Room(
        (ABI,),
        ("stdint.h", "linux/types.h", "sys/types.h"),
        (),
        "the ABI needs only fixed-width types",
    ),
    Room(
        ("sys/core/ms_os.h",),
        (),
        ("sys/os/*/ms_os_impl.h",),
        "the seam includes only ms_os_impl.h, which -I picks",
    ),
    Room(
        ("sys/core/*",),
        (),
        ("sys/core/*.h", ABI),
        "the core includes only itself, multistack.h and ms_os.h",
    ),
    Room(
        ("sys/os/user/*",),
        ANY,
        ("sys/core/*.h", "sys/os/user/*.h", ABI),
        "the user host includes the core, the ABI and its own headers",
    ),
    Room(
        ("sys/os/linux/bpf/*",),
        ("linux/*", "bpf/*"),
        (ABI,),
        "the module's BPF programs include Linux's and libbpf's headers",
    ),
    Room(
        ("sys/os/linux/*",),
        LINUX,
        ("sys/core/*.h", "sys/os/linux/*.h", ABI),
        "the Linux host includes the core, the ABI and Linux's headers",
    ),
    Room(
        ("sys/os/freebsd/*",),
        FREEBSD,
        ("sys/core/*.h", "sys/os/freebsd/*.h", ABI),
        "the FreeBSD host includes the core, the ABI and FreeBSD's headers",
    ),
    Room(
        UTCP_BELOW,
        (*PURE_LIBC, "sys/types.h"),
        (PUBLIC, *UTCP_BELOW),
        "what the stack is made of does not know the stack",
    ),
    Room(
        ("lib/include/*", "lib/utcp/*"),
        (*PURE_LIBC, "sys/types.h"),
        (PUBLIC, "lib/utcp/*.h", ABI),
        "public headers and utcp use libc without I/O or clock",
    ),
    Room(
        ("lib/port/*",),
        ANY,
        (PUBLIC, "lib/port/*.h", "sys/os/user/*.h", "sys/core/*.h", ABI),
        "the port layer includes the ABI and the user host it embeds",
    ),
    Room(
        ("lib/link/*",),
        ANY,
        (PUBLIC, "lib/link/*.h", ABI),
        "link includes the public headers of port and utcp, and its own",
    ),
    Room(
        ("lib/crypt/*",),
        (*PURE_LIBC, "sys/types.h", "openssl/*"),
        (PUBLIC, "lib/crypt/*.h"),
        "crypt includes the stack's public headers, libcrypto and its own",
    ),
    Room(
        ("lib/sim/pcapng.c",),
        (*PURE_LIBC, "stdio.h"),
        (PUBLIC, "lib/sim/*.h"),
        "of the simulator one file writes files",
    ),
    Room(
        ("lib/sim/*",),
        PURE_LIBC,
        (PUBLIC, "lib/sim/*.h"),
        "the simulator includes what every application can, and its own headers",
    ),
    Room(
        ("lib/program/*",),
        ANY,
        (PUBLIC, "lib/program/*.h"),
        "what programs share includes what every application can, and its own headers",
    ),
    Room(
        ("lib/httpd/*",),
        ANY,
        (PUBLIC, "lib/httpd/*.h", "lib/program/*.h"),
        "the server includes what every application can, its own headers, and what"
        " programs share",
    ),
    Room(
        ("lib/load/*",),
        ANY,
        (PUBLIC, "lib/load/*.h", "lib/program/*.h"),
        "the load generator includes what every application can, its own headers, and"
        " what programs share",
    ),
    Room(
        ("lib/msctl/*",),
        ANY,
        (PUBLIC,),
        "the command includes what every application can",
    ),
    Room(
        ("lib/mu/*",),
        ANY,
        (PUBLIC, "lib/mu/*.h"),
        "mu includes utcp, port and libuv",
    ),
    Room(
        ("bindings/speed/*",),
        (*PURE_LIBC, "Python.h", "structmember.h", "time.h"),
        ("lib/include/multistack/batch.h", "bindings/speed/*.h"),
        "what is compiled of the event loop includes Python and the batch, whose"
        " memory it reads; it calls nothing of the library",
    ),
    Room(
        ("lib/examples/*", "demo/*"),
        ANY,
        (PUBLIC, "lib/examples/*.h", "demo/*.h"),
        "examples include what every application can: the public headers",
    ),
)
# Of the public headers two speak libuv.
MU_SPEAKS = {
    ("lib/include/multistack/mu.h", "uv.h"),
    ("lib/include/multistack/mu_uv.h", "uv.h"),
}

# Python of bindings/: the shared library and the standard library; scapy in
# the one module that makes a scapy socket, matplotlib where the simulator draws, and
# what the command is drawn with.
PYTHON_EXTRA = {
    "matplotlib": "bindings/multistack/*sim*.py",
    "scapy": "bindings/multistack/_scapy.py",
    "click": "bindings/multistack/cli/*",
    "rich": "bindings/multistack/cli/*",
}

_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
_CONDITION = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b(.*)")
_SYSTEM_MACRO = re.compile(
    r"\b(__linux__|__linux|linux|__KERNEL__|_KERNEL|LINUX_VERSION_CODE|"
    r"KERNEL_VERSION|__FreeBSD__|__FreeBSD_version|__APPLE__|__NetBSD__|"
    r"__OpenBSD__|_WIN32|__GLIBC__|__unix__)\b"
)
_CONDITION_ALLOWED = ("sys/os/*", ABI)
_SKIP = {"build", ".venv", ".tox", ".git", "results", "dist"}


@dataclass(frozen=True)
class Fault:
    """One line against the table."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    for top in sorted(root.iterdir()):
        if top.name in _SKIP or top.name.startswith("build-"):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            # A link is looked at where it points to.
            if path.is_file() and not path.is_symlink():
                yield path, path.relative_to(root).as_posix()


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, p) for p in patterns)


def _candidates(root: Path, file: Path, name: str) -> Iterator[str]:
    """Paths from the top that an include of ours may stand for."""
    places = [file.parent, root / "lib" / "include", root / "sys"]
    places += [root / "sys" / "core", *sorted((root / "sys" / "os").glob("*"))]
    for place in places:
        path = place / name
        if path.exists():
            yield path.resolve().relative_to(root.resolve()).as_posix()


def _check_include(root: Path, file: Path, rel: str, quote: str, name: str) -> str:
    """The fault of one include line, or nothing."""
    room = next((r for r in ROOMS if _matches(rel, r.files)), None)
    if room is None:
        return ""
    ours = [*_candidates(root, file, name)]
    if quote == '"' or name.startswith("multistack/"):
        if not ours:
            ok = room.rule.startswith("the seam") or _matches(name, room.system)
            return "" if ok else f'"{name}" is nowhere in the tree'
        if any(_matches(path, room.own) for path in ours):
            return ""
    elif _matches(name, room.system) or (rel, name) in MU_SPEAKS:
        return ""
    return f"may not include {name}: {room.rule}"


def _check_c(root: Path, file: Path, rel: str) -> Iterator[Fault]:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        include = _INCLUDE.match(line)
        if include:
            text = _check_include(root, file, rel, *include.groups())
            if text:
                yield Fault(rel, number, text)
        condition = _CONDITION.match(line)
        if condition and not _matches(rel, _CONDITION_ALLOWED):
            macro = _SYSTEM_MACRO.search(condition[1])
            if macro:
                text = f"a condition on {macro[0]} belongs under sys/os/"
                yield Fault(rel, number, text)


def _check_python(file: Path, rel: str) -> Iterator[Fault]:
    known = {*sys.stdlib_module_names, "multistack"}
    tree = ast.parse(file.read_text(encoding="utf-8"), rel)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            if top not in known and not _matches(rel, (PYTHON_EXTRA.get(top, ""),)):
                why = "bindings need the shared library and nothing else"
                lineno = getattr(node, "lineno", 0)
                yield Fault(rel, lineno, f"may not import {name}: {why}")


def check(root: Path) -> list[Fault]:
    """All faults in the tree at `root`."""
    faults: list[Fault] = []
    for path, rel in _files(root):
        if path.suffix in (".c", ".h"):
            faults += _check_c(root, path, rel)
        elif path.suffix == ".py" and rel.startswith("bindings/"):
            faults += _check_python(path, rel)
    return faults


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    faults = check(root)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
