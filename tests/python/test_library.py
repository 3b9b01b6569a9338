# SPDX-License-Identifier: BSD-2-Clause
"""What others build against: headers, symbols, pkg-config files, as installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from httpd_server import httpd_path
from netns import need
from worlds import ROOT

HEADERS = sorted((ROOT / "lib" / "include" / "multistack").glob("*.h"))
INCLUDES = [f"-I{ROOT / 'lib' / 'include'}", f"-I{ROOT / 'sys'}"]
WITH_UV = [path.name for path in HEADERS if "<uv.h>" in path.read_text()]
COMPILERS = {
    "c11": ["cc", "-std=c11", "-pedantic-errors", "-Wall", "-Wextra", "-Wshadow"],
    "c11-clang": ["clang-16", "-std=c11", "-pedantic-errors", "-Wall", "-Wextra"],
    "gnu99": ["cc", "-std=gnu99", "-Wall", "-Wextra"],
    "c++11": ["c++", "-std=c++11", "-pedantic-errors", "-Wall", "-Wextra"],
    "c++20": ["c++", "-std=c++20", "-pedantic-errors", "-Wall", "-Wextra"],
    "c++-clang": ["clang++-16", "-std=c++17", "-pedantic-errors", "-Wall"],
}
DECLARED = re.compile(r"^[A-Z]+_EXTERN\b[^;(]*?\b(\w+)\(", re.MULTILINE)


def build_path() -> Path:
    return httpd_path().parents[2]


def libraries() -> list[Path]:
    found = sorted((build_path() / "lib").rglob("libmultistack*.so"))
    assert {"libmultistack.so", "libmultistack-mu.so"} <= {p.name for p in found}
    return found


def run(*argv: object, **env: str) -> str:
    done = subprocess.run(
        [str(a) for a in argv],
        capture_output=True,
        text=True,
        env=os.environ | env,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("how", COMPILERS)
@pytest.mark.parametrize("name", [path.name for path in HEADERS])
def test_a_header_compiles_alone_and_twice(name, how, tmp_path):
    command = COMPILERS[how]
    need(shutil.which(command[0]), f"{command[0]} is missing")
    source = tmp_path / ("one.cc" if "++" in command[0] else "one.c")
    # A translation unit may not be empty.
    source.write_text(
        f"#include <multistack/{name}>\n#include <multistack/{name}>\nint one;\n"
    )
    # What uv.h itself takes.
    more = ["-D_DEFAULT_SOURCE"] if name in WITH_UV else []
    run(*command, "-Werror", "-fsyntax-only", *more, *INCLUDES, source)


def declared() -> set[str]:
    found = [n for path in HEADERS for n in DECLARED.findall(path.read_text())]
    assert len(found) == len(set(found)), "a call is declared twice"
    return set(found)


def exported(library: Path) -> set[str]:
    lines = run("nm", "-D", "--defined-only", library).splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines}


def test_what_is_exported_is_declared_and_the_other_way_round():
    there: set[str] = set()
    for library in libraries():
        symbols = exported(library)
        assert not symbols & there, "two libraries have a symbol"
        there |= symbols
    assert there - declared() == set(), "exported, and in no public header"
    assert declared() - there == set(), "declared, and in no library"


def test_soname_has_the_major_version():
    for library in libraries():
        text = run("readelf", "-d", library)
        assert re.findall(r"\(SONAME\).*\[(.*)\]", text) == [f"{library.name}.0"]


# ---- installed ----------------------------------------------------------------


class Installed:
    """A tree that `meson install` made, somewhere else than it is to be."""

    def __init__(self, top: Path) -> None:
        self.top = top
        meson = shutil.which("meson") or ROOT / ".venv" / "bin" / "meson"
        argv = (meson, "install", "-C", build_path(), "--no-rebuild", "--quiet")
        run(*argv, "--destdir", top)
        (self.pc,) = top.rglob("multistack.pc")
        library = self.pc.parents[1] / "libmultistack.so"
        self.env = {
            "PKG_CONFIG_PATH": str(self.pc.parent),
            "PKG_CONFIG_SYSROOT_DIR": str(top),
            "LD_LIBRARY_PATH": str(library.parent),
        }

    def files(self, pattern: str) -> set[str]:
        return {path.name for path in self.top.rglob(pattern)}

    def flags(self, packages: str) -> list[str]:
        """Those of the system's own headers are no part of the tree."""
        command = ("pkg-config", "--cflags", "--libs", *packages.split())
        said = run(*command, **self.env)
        usr = f"-isystem{self.top}/usr/include"
        return [f.replace("-I", "-isystem") for f in said.split() if f != usr]

    def compile(self, packages: str, sources: list[Path], to: Path) -> None:
        command = ["cc", "-std=gnu11"] if sources[0].suffix == ".c" else ["c++"]
        flags = ["-Wall", "-Wextra", "-Werror", "-Wl,--no-undefined"]
        run(*command, *flags, *sources, "-o", to, *self.flags(packages))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


def test_all_public_headers_are_installed_and_no_others(installed):
    there = {p.name for p in installed.top.rglob("include/multistack/*.h")}
    assert there == {path.name for path in HEADERS}


def test_installed_headers_are_alone(installed):
    """None looks into the tree that it came from."""
    for path in installed.top.rglob("include/multistack/*.h"):
        own = re.findall(r'^#\s*include\s+"(.+)"', path.read_text(), re.MULTILINE)
        assert own == [], path


EXAMPLES = sorted(
    path
    for path in (ROOT / "lib" / "examples").glob("*.c")
    if re.search(r"^main\(", path.read_text(), re.MULTILINE)
)
COMPILE = re.compile(r"Compile: cc (.*) \$\(pkg-config --cflags --libs (.*)\)$", re.M)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_examples_compile_as_they_say(installed, example, tmp_path):
    (line,) = COMPILE.findall(example.read_text())
    sources = [example.parent / name for name in line[0].split()]
    assert example in sources
    installed.compile(line[1], sources, tmp_path / "example")
    done = subprocess.run(
        [tmp_path / "example"],
        capture_output=True,
        text=True,
        env=os.environ | installed.env,
    )
    assert "usage" in (done.stdout + done.stderr).lower()


CXX = """
#include <cstdio>
#include <multistack/link.h>

int
main()
{
	utcp_config_t config = {};
	utcp_t *stack = nullptr;
	utcp_sock_t *sock = nullptr;
	utcp_addr_t any = {};
	msport_t *port = nullptr;
	msport_error_t error = {};

	config.size = sizeof config;
	if (utcp_create(&stack, &config) || utcp_open(stack, 4, &sock))
		return 1;
	any.family = 4;
	if (utcp_bind(sock, &any) || utcp_listen(sock, 1))
		return 2;
	utcp_destroy(stack);
	if (!msport_open(&port, "none0:", nullptr, &error) || !*error.text)
		return 3;
	std::printf("%u %s\\n", msport_abi(), utcp_counter_name(UTCP_CTR_OFO));
	return 0;
}
"""

CXX_MU = """
#include <multistack/mu.h>

int
main()
{
	mu_loop_t *loop = mu_default_loop();
	mu_tcp_t tcp;

	if (mu_tcp_init(loop, &tcp) != UV_ENODEV)
		return 1;
	return mu_loop_close(loop);
}
"""


@pytest.mark.parametrize(
    "package, text, said",
    [
        ("multistack", CXX, " ofo\n"),
        ("multistack-mu", CXX_MU, ""),
    ],
    ids=["utcp", "mu"],
)
def test_a_program_of_cxx_runs_on_what_is_installed(
    installed, package, text, said, tmp_path
):
    (tmp_path / "program.cc").write_text(text)
    installed.compile(package, [tmp_path / "program.cc"], tmp_path / "program")
    env = {k: v for k, v in installed.env.items() if k == "LD_LIBRARY_PATH"}
    assert run(tmp_path / "program", **env, MULTISTACK_DEVICE="").endswith(said)
