# SPDX-License-Identifier: BSD-2-Clause
"""A world of two machines: namespaces, a cable between them, processes.

All that a demo leaves behind is named after its process, which holds a lock
as long as it lives. So the next run knows what a killed one left, and clears
it away.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
RUN_DIR = Path("/run")
PREFIX = "ms-demo-"
IFNAME = "eth0"
CLIENT, SERVER = "client", "server"
ADDR = {CLIENT: ("10.99.0.1", "fd00:99::1"), SERVER: ("10.99.0.2", "fd00:99::2")}

# A guest without KVM takes five seconds to start Python, a busy one a minute.
PATIENCE_S = 120.0

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong]
_libc.prctl.restype = ctypes.c_int
_libc.setns.argtypes = [ctypes.c_int, ctypes.c_int]
_libc.setns.restype = ctypes.c_int


def _setns(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, _CLONE_NEWNET):
            raise WorldError(f"cannot enter {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(fd)


class WorldError(Exception):
    """Something could not be made; the text says what and what to do."""


def die_with_parent() -> None:
    """The calling process is killed when its parent ends, however it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def sh(*argv: str, timeout: float = PATIENCE_S) -> str:
    """Runs a command; its output. WorldError with its words if it fails."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise WorldError(
            f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


class Process:
    """A child whose output goes to a file that can be read at any time."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        with log.open("wb") as out:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def alive(self) -> bool:
        return self._child.poll() is None

    def end(self) -> str:
        """How it ended and what it said last; "" while it lives."""
        if self.alive():
            return ""
        code = self._child.returncode
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with status {code}"
        )
        return "\n".join([f"{self.name} {how}", *self.output().splitlines()[-5:]])

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(
        self, ready: Callable[[], bool], what: str, timeout: float = PATIENCE_S
    ) -> None:
        """Until ready() holds. WorldError, with the log, if it never does."""
        end = time.monotonic() + timeout
        while not ready():
            if not self.alive():
                raise WorldError(f"{self.name} ended at once:\n{self.output().strip()}")
            if time.monotonic() > end:
                raise WorldError(
                    f"{self.name}: {what} did not happen:\n{self.output().strip()}"
                )
            time.sleep(0.02)

    def wait_for_text(self, text: str, timeout: float = PATIENCE_S) -> None:
        self.wait_for(lambda: text in self.output(), f"'{text}'", timeout)

    def wait_for_end(self, timeout: float = PATIENCE_S) -> None:
        """WorldError, with the log, if it goes on."""
        end = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > end:
                raise WorldError(f"{self.name} does not end:\n{self.output().strip()}")
            time.sleep(0.02)

    def wait(self, timeout: float) -> int:
        """Until it ends by itself; the exit status."""
        return self._child.wait(timeout)

    def stop(self, sig: int = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Signals, waits, and insists; the exit status."""
        if self.alive():
            self._child.send_signal(sig)
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()


class World:
    """Two namespaces joined by veth; everything is undone on exit. queues: of
    the veth; 0 leaves it to the kernel. checksums: as on a wire, computed by
    who sends."""

    def __init__(self, queues: int = 0, checksums: bool = True) -> None:
        self.queues = queues
        self.checksums = checksums
        self.name = f"{PREFIX}{os.getpid()}"
        self.dir = RUN_DIR / self.name
        self.processes: list[Process] = []
        self._lock = -1

    def netns(self, side: str) -> str:
        return f"{self.name}-{side}"

    def __enter__(self) -> World:
        try:
            self._build()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clear()

    def _build(self) -> None:
        self.dir.mkdir(mode=0o755)
        self._lock = os.open(
            self.dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for side in (CLIENT, SERVER):
            sh("ip", "netns", "add", self.netns(side))
        queues = ("numtxqueues", str(self.queues), "numrxqueues", str(self.queues))
        ends = [
            (IFNAME, "netns", self.netns(side), *(queues if self.queues else ()))
            for side in (SERVER, CLIENT)
        ]
        sh("ip", "link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
        for side in (CLIENT, SERVER):
            ns = ("ip", "-n", self.netns(side))
            v4, v6 = ADDR[side]
            sh(*ns, "link", "set", "lo", "up")
            sh(*ns, "addr", "add", f"{v4}/24", "dev", IFNAME)
            sh(*ns, "addr", "add", f"{v6}/64", "dev", IFNAME, "nodad")
            sh(*ns, "link", "set", IFNAME, "up")
            if self.checksums:
                # A veth leaves them to whoever puts the frame on a wire, and
                # XDP looks at frames before anybody has.
                self.call(side, "ethtool", "-K", IFNAME, "tx", "off")

    def call(
        self, side: str, *argv: str, timeout: float = PATIENCE_S, ok: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on one side. ok: failing is a WorldError."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.netns(side), *argv],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if ok and done.returncode:
            raise WorldError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
        return done

    @contextmanager
    def inside(self, side: str) -> Iterator[None]:
        """Sockets made in this block live on that side, and stay there."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(Path("/run/netns", self.netns(side)))
            try:
                yield
            finally:
                _setns(Path(f"/proc/self/fd/{here}"))
        finally:
            os.close(here)

    def spawn(
        self,
        side: str,
        name: str,
        *argv: str,
        uid: int = 0,
        groups: Sequence[int] = (),
        env: dict[str, str] | None = None,
    ) -> Process:
        """Starts a process on one side; as user uid, in these groups and with
        no privilege, if that is not 0."""
        run = ["nsenter", f"--net=/run/netns/{self.netns(side)}", "--"]
        if uid:
            also = ",".join(map(str, groups))
            run += ["setpriv", f"--reuid={uid}", f"--regid={uid}"]
            run += [f"--groups={also}" if also else "--clear-groups"]
            run += ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
            run += ["--pdeathsig=KILL", "--"]
        if env:
            run += ["env", *(f"{k}={v}" for k, v in env.items())]
        process = Process(name, [*run, *argv], self.dir / f"{name}.log")
        self.processes.append(process)
        return process

    def _clear(self) -> None:
        for process in reversed(self.processes):
            process.stop()
        self.processes.clear()
        _remove(self.name)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _remove(name: str) -> None:
    """Everything that a demo of this name made, as far as it exists."""
    for side in (CLIENT, SERVER):
        ns = f"{name}-{side}"
        if not Path("/run/netns", ns).exists():
            continue
        pids = subprocess.run(
            ["ip", "netns", "pids", ns], capture_output=True, text=True, check=False
        )
        for pid in pids.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", ns], capture_output=True, check=False)
    shutil.rmtree(RUN_DIR / name, ignore_errors=True)


def _names() -> set[str]:
    found = {p.name for p in RUN_DIR.glob(f"{PREFIX}*")}
    for ns in (
        Path("/run/netns").glob(f"{PREFIX}*") if Path("/run/netns").is_dir() else ()
    ):
        found.add(ns.name.rsplit("-", 1)[0])
    return found


def running() -> dict[str, int]:
    """The demos that live now: name, process."""
    return {n: int(n.removeprefix(PREFIX)) for n in _names() if _is_held(n)}


def sweep() -> list[str]:
    """Removes what demos that were killed left behind; their names."""
    stale = sorted(n for n in _names() if not _is_held(n))
    for name in stale:
        _remove(name)
    return stale


def _is_held(name: str) -> bool:
    try:
        fd = os.open(RUN_DIR / name / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return _is_starting(name)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return _is_starting(name)


def _is_starting(name: str) -> bool:
    """Whether its process lives and has had no time yet to take its lock."""
    try:
        age = time.time() - (RUN_DIR / name).stat().st_mtime
    except FileNotFoundError:
        age = 0.0
    return age < 5 and Path("/proc", name.removeprefix(PREFIX)).exists()


def preflight(needed: Sequence[str]) -> list[str]:
    """What is in the way of a demo here, each with its remedy."""
    wrong: list[str] = []
    if sys.platform != "linux":
        return [
            f"This demo needs Linux (network namespaces, XDP); this is {sys.platform}."
        ]
    packages = {"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux"}
    packages |= {"ping": "iputils-ping"}
    for tool in needed:
        if shutil.which(tool) is None:
            wrong.append(
                f"No `{tool}` here: apt-get install {packages.get(tool, tool)}"
            )
    if os.geteuid() != 0:
        wrong.append(
            "It makes network namespaces and attaches to an interface, which takes root:\n"
            "    sudo ./inv demo\n"
            "(the stacks themselves run as ordinary users)."
        )
    elif not wrong:
        wrong += _try_netns()
    return wrong


def _try_netns() -> list[str]:
    name = f"{PREFIX}{os.getpid()}-{CLIENT}"
    try:
        sh("ip", "netns", "add", name)
        sh("ip", "-n", name, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    except WorldError as e:
        return [
            f"No network namespaces here: {e}\n"
            "In a container, start it with --privileged (or --cap-add NET_ADMIN,SYS_ADMIN,BPF\n"
            "and an unconfined seccomp profile)."
        ]
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return []
