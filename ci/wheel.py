# SPDX-License-Identifier: BSD-2-Clause
"""The packages that are handed out: dist/*.tar.gz, and of it dist/*.whl.

The wheel runs wherever its libc does: no compiler, no library of ours or of others
has to be there. That is looked at: it is installed into an empty environment, and
used where the libraries that it was built with are hidden.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ci.steps import BUILD, ROOT, Count, Step, StepFailed

DIST = ROOT / "dist"
SCRATCH = BUILD / "dist"
# What auditwheel puts into the wheel; hidden when it is tried.
CARRIED = ("libbpf", "libcap-ng", "libelf", "libmnl", "libxdp")
COMPILERS = ("cc", "gcc", "clang-16", "ld", "as")
# git asks whose a checkout is; root's tests are of anybody's.
ANYBODYS = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
LOOP = """
import multistack
multistack.EventLoop("tap:ms1,local=10.9.1.2/24,host=10.9.1.1").close()
"""
TRIAL = """
set -e
for f in $HIDE; do mount --bind /dev/null "$f"; done
mount -t tmpfs none /run
cd "$FOLDER"
"$BIN/multistack" --version
"$BIN/multistackd" --version
"$BIN/multistack-load" -V
"$BIN/multistack" bench -t 0.02
"$BIN/python" -c "$LOOP"
echo 'It works' > page
"$BIN/multistack" serve . -i tap:ms0,local=10.9.0.2/24,host=10.9.0.1 -l 10.9.0.2:80 &
curl -sS --fail --retry 20 --retry-delay 1 --retry-all-errors http://10.9.0.2/page
kill $!
wait $! || true
"""


def _sdist(step: Step) -> Path:
    """Of what is committed."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    code = f"import mesonpy; print(mesonpy.build_sdist({str(DIST)!r}))"
    step.run([sys.executable, "-c", code], env=ANYBODYS)
    (made,) = DIST.glob("*.tar.gz")
    return made


def _wheel(step: Step, sdist: Path) -> Path:
    """Compiled from it, for any Python from 3.10 on, with all that it needs."""
    tree = SCRATCH / sdist.name.removesuffix(".tar.gz")
    shutil.rmtree(tree, ignore_errors=True)
    step.run(["tar", "-xzf", sdist, "-C", SCRATCH])
    raw = SCRATCH / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir()
    env = {"CC": "ccache cc"} if shutil.which("ccache") else {}
    code = f"import mesonpy; mesonpy.build_wheel({str(raw)!r})"
    step.run([sys.executable, "-c", code], cwd=tree, env=env)
    (made,) = raw.glob("*.whl")
    # meson-python names the Python that builds it; the limited API is of an older one.
    step.run(["wheel", "tags", "--remove", "--python-tag", "cp310", made])
    (made,) = raw.glob("*.whl")
    step.run(["auditwheel", "repair", "--wheel-dir", raw / "whole", made])
    (made,) = (raw / "whole").glob("*.whl")
    return _with_notices(step, made)


def _with_notices(step: Step, wheel: Path) -> Path:
    """With the licences of what auditwheel put into it, as the distribution that it
    is from tells them."""
    step.run(["wheel", "unpack", "--dest", wheel.parent, wheel])
    (tree,) = (p for p in wheel.parent.iterdir() if p.is_dir())
    (licenses,) = tree.glob("*.dist-info/licenses")
    for library in tree.glob("*.libs/*.so*"):
        name = next(n for n in CARRIED if library.name.startswith(n))
        (path,) = sorted(Path("/usr/lib").glob(f"*-linux-gnu/{name}.so.[0-9]"))
        notice = _notice(step, path)
        shutil.copyfile(notice, licenses / f"{name}.txt")
    step.run(["wheel", "pack", "--dest-dir", DIST, tree])
    (made,) = DIST.glob("*.whl")
    return made


def _notice(step: Step, library: Path) -> Path:
    """The copyright file of a library's package."""
    for path in (library, Path("/", *library.parts[2:])):  # /usr/lib may be /lib
        said = step.run(["dpkg-query", "--search", path], ok=(0, 1))
        notice = Path("/usr/share/doc", said.partition(":")[0], "copyright")
        if notice.exists():
            return notice
    raise StepFailed(f"{library}: no package's, or one without its licence")


def _try(step: Step, wheel: Path) -> None:
    """In an empty environment, without what it was built with."""
    place = SCRATCH / "venv"
    shutil.rmtree(place, ignore_errors=True)
    step.run([sys.executable, "-m", "venv", place])
    step.run([place / "bin" / "pip", "install", "--quiet", wheel])
    libraries = Path("/usr/lib").glob("*-linux-gnu/*.so.*")
    hidden = [p for p in libraries if p.name.split(".so")[0] in CARRIED]
    hidden += [Path(p) for p in map(shutil.which, COMPILERS) if p]
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HIDE": " ".join({str(p.resolve()) for p in hidden}),
        "BIN": place / "bin",
        "FOLDER": place,
        "LOOP": LOOP,
    }
    bare = ["env", "-i", *(f"{name}={value}" for name, value in env.items())]
    step.run([*bare, "unshare", "--mount", "--net", "sh", "-c", TRIAL], timeout_s=120)


def packages(step: Step) -> Count:
    """Makes both and tries the wheel (as root, who can hide things)."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    if not (ROOT / ".git").exists():
        raise StepFailed("a source package is made of a git checkout; this is none")
    wheel = _wheel(step, _sdist(step))
    if "-cp310-abi3-manylinux" not in wheel.name:
        raise StepFailed(f"{wheel.name} is not for Python 3.10 and later on any Linux")
    if os.geteuid() != 0:
        return Count(1, skipped=["the wheel is tried by root only"], note=wheel.name)
    _try(step, wheel)
    return Count(passed=1, note=wheel.name)
