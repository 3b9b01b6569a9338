# SPDX-License-Identifier: BSD-2-Clause
"""Bad input: an error of the right kind that names the thing and the remedy."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import multiprocessing
import os
import resource
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from netns import need, veth
from worlds import (
    ADDRS,
    DaemonWorld,
    HostedWorld,
    PairWorld,
    Stack,
    World,
    eventually,
    udp_frame,
)

import multistack
from multistack import Control, Port, _abi, _ffi

NOBODY = 65534


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    """The errno and the words that a call is refused with."""
    with pytest.raises(OSError) as e:
        call()
    assert e.value.errno and e.value.strerror
    return e.value.errno, e.value.strerror


def _as_nobody(call: Callable[[], Any], pipe: Any) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        call()
        pipe.send((0, "it was allowed"))
    except OSError as e:
        pipe.send((e.errno, e.strerror))
    pipe.close()
    os._exit(0)


def as_nobody(hosted: HostedWorld, call: Callable[[], Any]) -> tuple[int, str]:
    """The same of a process without privileges, in the switch's namespace."""
    need(os.geteuid() == 0, "giving up privileges needs some")
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=_as_nobody, args=(call, theirs))
    with hosted.inside():
        child.start()
    assert ours.poll(30), "no answer of the child"
    answer: tuple[int, str] = ours.recv()
    child.join()
    return answer


# ---- opening ---------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["xdp:", "tc:"])
def test_unknown_interface_in_process(prefix: str) -> None:
    need(os.geteuid() == 0, "attaching needs root")
    code, words = refusal(lambda: Port(prefix + "nosuch0"))
    assert code == errno.ENODEV and "nosuch0" in words


def test_unknown_interface_of_the_switch(hosted: HostedWorld) -> None:
    code, words = refusal(lambda: hosted.open(hosted.control + "nosuch0"))
    assert code == errno.ENODEV and "nosuch0" in words


@pytest.mark.parametrize(
    "device", ["", ":", "daemon:", "daemon@:", "wire:eth0", "pair:p,side=2"]
)
def test_what_is_no_device_string(device: str) -> None:
    code, words = refusal(lambda: Port(device))
    assert code == errno.EINVAL and len(words) > 10


def test_daemon_not_running(tmp_path: Path) -> None:
    code, words = refusal(lambda: Port(f"daemon@{tmp_path}/none.sock:eth0"))
    assert code == errno.ECONNREFUSED
    assert str(tmp_path) in words and "multistackd" in words
    with pytest.raises(ConnectionRefusedError):
        Control(f"daemon@{tmp_path}/none.sock:")


def test_daemon_of_another_abi(tmp_path: Path) -> None:
    path = str(tmp_path / "other.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            conn, _ = listener.accept()
            with conn:
                magic, abi, cmd = struct.unpack_from("=HHI", conn.recv(4096))
                conn.send(
                    struct.pack("=HHIiHH", magic, abi + 1, cmd, -errno.EPROTO, 0, 0)
                )

        thread = threading.Thread(target=answer)
        thread.start()
        code, words = refusal(lambda: Port(f"daemon@{path}:eth0"))
        thread.join()
    assert code == errno.EPROTO
    assert path in words and "ABI" in words and "2" in words


def test_daemon_that_answers_nonsense(tmp_path: Path) -> None:
    path = str(tmp_path / "other.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            conn, _ = listener.accept()
            with conn:
                conn.recv(4096)
                conn.send(os.urandom(100))

        thread = threading.Thread(target=answer)
        thread.start()
        code, words = refusal(lambda: Port(f"daemon@{path}:eth0"))
        thread.join()
    assert code in (errno.EPROTO, errno.ECONNRESET) and path in words


@pytest.mark.parametrize("kind", ["xdp", "tc", "tap"])
def test_no_capability_to_attach_names_it(daemon: DaemonWorld, kind: str) -> None:
    with Control(daemon.control) as control, daemon.inside():
        control.detach("eth0")
        nic = "ms7,local=10.9.0.2/24,host=10.9.0.1" if kind == "tap" else "eth0"
        code, words = as_nobody(daemon, lambda: Port(f"{kind}:{nic}"))
    assert code == errno.EPERM and "CAP_" in words


def test_attach_through_the_switch_needs_the_administrator(hosted: HostedWorld) -> None:
    def attach() -> None:
        with hosted.administer() as control:
            control.attach("lo", hosted.lo_kind)

    code, words = as_nobody(hosted, attach)
    assert code == errno.EPERM and "CAP_NET_ADMIN" in words


def test_out_of_descriptors(hosted: HostedWorld) -> None:
    before = len(hosted_ports(hosted))
    gc.collect()  # what others forgot is not to be closed in the midst of it
    with hosted.inside():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(os.listdir("/proc/self/fd"))
        for more in (0, 2):
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, hard))
            try:
                code, words = refusal(
                    lambda: Port(hosted.device, tx_rings=4, rx_rings=4)
                )
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert code == errno.EMFILE and words
        assert len(os.listdir("/proc/self/fd")) == used, "descriptors leak"
    eventually(
        lambda: len(hosted_ports(hosted)) == before, "the switch has no half port"
    )
    hosted.port().close()


def hosted_ports(hosted: HostedWorld) -> list[multistack.PortEntry]:
    with hosted.administer() as control:
        return control.list_ports()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"tx_rings": 65}, errno.E2BIG),
        ({"rx_rings": 65535}, errno.E2BIG),
        ({"slots": 65537}, errno.E2BIG),
        ({"slots": 1 << 31}, errno.E2BIG),
        ({"buf_bytes": 1 << 20}, errno.E2BIG),
        ({"buf_bytes": 100}, errno.EINVAL),
    ],
)
def test_sizes_out_of_range(world: World, options: dict[str, int], code: int) -> None:
    got, words = refusal(lambda: world.port(**options))
    assert got == code and "65536" in words


# ---- binding -----------------------------------------------------------------------


@pytest.mark.parametrize("addr", ["192.0.2.1", "2001:db8::1"])
def test_address_not_on_this_host(world: World, addr: str) -> None:
    with world.port() as port:
        code, words = refusal(lambda: port.bind(addr, 7000))
        assert code == errno.EADDRNOTAVAIL and addr in words


def kernel_has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("proto", ["udp", "tcp", "sctp"])
def test_port_taken_by_another_port_is_named(
    world: World, family: int, proto: str
) -> None:
    with world.port(label="holder") as holder, world.port() as port:
        if proto == "sctp" and world.kernel and not kernel_has_sctp():
            code, words = refusal(lambda: holder.bind(world.addr[family], 7000, proto))
            assert (
                code == errno.EPROTONOSUPPORT
                and "SCTP" in words
                and "modprobe" in words
            )
            return
        holder.bind(world.addr[family], 7000, proto)
        code, words = refusal(lambda: port.bind(world.addr[family], 7000, proto))
        assert code == errno.EADDRINUSE
        assert str(holder.id) in words and "7000" in words


def test_port_taken_by_itself(world: World) -> None:
    with world.port() as port:
        port.bind(world.addr[4], 7000)
        code, words = refusal(lambda: port.bind(world.addr[4], 7000))
        assert code == errno.EADDRINUSE and "this port" in words


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_port_taken_by_the_host_and_the_other_way(
    hosted: HostedWorld, kind: socket.SocketKind
) -> None:
    proto = "tcp" if kind == socket.SOCK_STREAM else "udp"
    addr = (hosted.addr[4], 7000)
    with hosted.port() as port:
        with hosted.inside():
            ordinary = socket.socket(socket.AF_INET, kind)
        with ordinary:
            ordinary.bind(addr)
            if proto == "tcp":
                ordinary.listen()
            code, words = refusal(lambda: port.bind(*addr, proto))
            assert code == errno.EADDRINUSE
            assert "host" in words and "7000" in words
        port.bind(*addr, proto)
        with hosted.inside():
            ordinary = socket.socket(socket.AF_INET, kind)
        with ordinary:
            assert refusal(lambda: ordinary.bind(addr))[0] == errno.EADDRINUSE
            port.unbind(*addr, proto)
            ordinary.bind(addr)


def test_low_port_needs_the_privilege(hosted: HostedWorld) -> None:
    def bind() -> None:
        with hosted.port() as port:
            port.bind(hosted.addr[4], 80, "tcp")

    code, words = as_nobody(hosted, bind)
    assert code == errno.EACCES and "80" in words and "CAP_NET_BIND_SERVICE" in words
    bind()


def test_whole_protocol_needs_the_privilege(hosted: HostedWorld) -> None:
    def bind() -> None:
        with hosted.port() as port:
            port.bind(hosted.addr[4], 0, 253)

    code, words = as_nobody(hosted, bind)
    assert code == errno.EPERM and "253" in words and "CAP_NET_RAW" in words
    bind()


def test_an_ordinary_user_may_open_bind_and_talk(hosted: HostedWorld) -> None:
    peer = hosted.peer()

    def talk() -> None:
        with hosted.port() as port:
            ours = port.bind(hosted.addr[4], 7000)
            Stack(port).sendto(ours[:2], (peer.addr, peer.port), b"from nobody")

    assert as_nobody(hosted, talk)[0] == 0
    assert peer.recv()[0] == b"from nobody"


def test_nobody_unbinds_what_is_not_theirs(world: World) -> None:
    with world.port() as holder, world.port() as port:
        ours = holder.bind(world.addr[4], 7000)
        assert refusal(lambda: port.unbind(*ours))[0] == errno.EPERM
        free = (world.addr[4], 7001, "udp")
        assert refusal(lambda: port.unbind(*free))[0] == errno.ENOENT
        peer = world.peer()
        peer.sendto(b"x", ours[:2])
        assert Stack(holder).recv()[0] == b"x"


def test_statistics_and_taps_of_strangers_are_refused(hosted: HostedWorld) -> None:
    with hosted.port() as port:
        number = port.id

        def stats() -> None:
            with hosted.port() as other:
                other.stats(port_id=number)

        def tap() -> None:
            with hosted.port() as other:
                other.tap(number)

        def tap_all() -> None:
            with hosted.port() as other:
                other.tap()

        for call in (stats, tap, tap_all):
            assert as_nobody(hosted, call)[0] == errno.EPERM
            call()


# ---- administration ------------------------------------------------------------------


def test_attach_twice_detach_attach(alone: HostedWorld) -> None:
    with alone.administer() as control:
        code, words = refusal(lambda: control.attach("eth0"))
        assert code == errno.EEXIST and "eth0" in words
        with alone.port() as port:
            code, words = refusal(lambda: control.detach("eth0"))
            assert code == errno.EBUSY and "eth0" in words
            control.detach("eth0", force=True)
            with pytest.raises(OSError) as e:
                eventually(lambda: port.wait(1), "the port notices")
            assert e.value.errno == errno.ENETDOWN
        code, words = refusal(lambda: control.detach("eth0"))
        assert code == errno.ENODEV and "eth0" in words
        control.attach("eth0", alone.kind)
        assert [n.name for n in control.list_nics()] == ["eth0"]
        alone.port().close()


def test_attach_of_what_is_not_there_or_nonsense(alone: HostedWorld) -> None:
    with alone.administer() as control:
        for call, code in (
            (lambda: control.attach("nosuch0"), errno.ENODEV),
            (lambda: control.attach("lo", "wire"), errno.EINVAL),
            (
                lambda: control.attach("lo", alone.lo_kind, options={"colour": "red"}),
                errno.EINVAL,
            ),
            (lambda: control.stats(nic="nosuch0"), errno.ENODEV),
        ):
            got, words = refusal(call)
            assert got == code and len(words) > 10


def test_a_second_daemon_at_the_same_socket(daemon: DaemonWorld) -> None:
    import subprocess

    from worlds import daemon_path

    done = subprocess.run(
        daemon.ns.command(
            daemon_path(), "--foreground", "--socket", daemon.daemon.socket
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0 and str(daemon.daemon.socket) in done.stderr
    daemon.port().close()


# ---- losses ----------------------------------------------------------------------------


def test_interface_vanishes_under_traffic(alone: HostedWorld) -> None:
    assert alone.far
    with alone.port() as port:
        ours = port.bind(alone.addr[4], 7000)
        stack = Stack(port)
        frame = stack.frame(ours[:2], (alone.peer_addr[4], 9), bytes(1000))
        for _ in range(10):
            port.send_batch([frame] * 100)
        alone.ns.ip("link", "del", "eth0")

        def lost() -> bool:
            try:
                port.send_batch([frame] * 100)
                port.wait(0.01)
            except OSError as e:
                assert e.errno == errno.ENETDOWN and "eth0" in e.strerror
                return True
            return False

        eventually(lost, "ENETDOWN")
        with alone.inside():
            code, words = refusal(port.reopen)
        assert code == errno.ENODEV and "eth0" in words
        veth(alone.ns, alone.far, ADDRS)
        with alone.administer() as control:
            control.attach("eth0", alone.kind)
        with alone.inside():
            port.reopen()
        peer = alone.peer()
        peer.sendto(b"back", ours[:2])
        assert Stack(port).recv()[0] == b"back"


def test_daemon_killed_and_started_again(daemon: DaemonWorld) -> None:
    with daemon.port() as port:
        ours = port.bind(daemon.addr[4])
        daemon.daemon.kill()
        with pytest.raises(ConnectionResetError):
            eventually(lambda: port.wait(1), "the port notices")
        with pytest.raises(ConnectionResetError) as e:
            port.bind(daemon.addr[4], 7001)
        assert str(daemon.daemon.socket) in e.value.strerror
        assert refusal(port.reopen)[0] == errno.ECONNREFUSED
        daemon.daemon.start()
        port.reopen()
        assert (ours, port.id) in [(t.tuple, t.port_id) for t in port.list_tuples()]
        peer = daemon.peer()
        peer.sendto(b"again", ours[:2])
        assert Stack(port).recv()[0] == b"again"


def test_daemon_stopped_politely(daemon: DaemonWorld) -> None:
    with daemon.port() as port:
        port.bind(daemon.addr[4], 7000)
        daemon.daemon.stop()
        with pytest.raises(ConnectionResetError):
            eventually(lambda: port.wait(1), "the port notices")
    daemon.daemon.start()


@pytest.fixture
def victim(
    hosted: HostedWorld,
) -> Iterator[tuple[multiprocessing.process.BaseProcess, Any]]:
    """A process with a port that holds 7000 and sends without an end."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()

    def live() -> None:
        port = hosted.port(label="victim")
        at = port.bind(hosted.addr[4], 7000)
        frame = udp_frame(
            (port.mac, *at[:2]), (port.mac, hosted.addr[4], 7001), bytes(100)
        )
        theirs.send(port.id)
        while True:
            port.send_batch([frame] * 64)

    child = fork.Process(target=live)
    child.start()
    yield child, ours
    child.kill()
    child.join()


def test_client_killed_gives_all_back_and_harms_nobody(
    hosted: HostedWorld, victim: Any
) -> None:
    child, pipe = victim
    assert pipe.poll(30)
    number = pipe.recv()
    with hosted.port(slots=4096) as port:
        ours = port.bind(hosted.addr[4], 7001)
        assert refusal(lambda: port.bind(hosted.addr[4], 7000))[0] == errno.EADDRINUSE
        assert port.wait(60), "frames of the victim"
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        eventually(
            lambda: number not in [p.id for p in port.list_ports()],
            "the victim's port is gone",
        )
        port.bind(hosted.addr[4], 7000)
        peer, stack = hosted.peer(), Stack(port)
        while port.recv():
            pass
        peer.sendto(b"unharmed", ours[:2])
        data = bytes(100)
        while data == bytes(100):  # the victim's last, which were still on their way
            data = stack.recv()[0]
        assert data == b"unharmed"


def test_client_that_writes_garbage_into_its_rings_harms_nobody(
    hosted: HostedWorld,
) -> None:
    """Indices, slots, everything that is mapped, until it is killed."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()

    def live() -> None:
        port = hosted.port(slots=64, label="hostile", tx_rings=2, rx_rings=2)
        port.bind(hosted.addr[4], 7000)
        words = (ctypes.c_uint32 * (port._bytes // 4)).from_address(port._base)
        head = _abi.Region.ring_ofs.offset // 4  # leave our own library its map
        theirs.send(port.id)
        random = Random(7)
        while True:
            for _ in range(1000):
                words[random.randrange(head + 8, len(words))] = random.getrandbits(32)
            for is_rx in (False, True):
                for ring in (0, 1):
                    with contextlib.suppress(OSError):
                        port.arm(ring, tx=not is_rx)
            for ring in (0, 1):
                with contextlib.suppress(OSError):
                    _ffi.msport_sync(port._handle._ptr, ring)

    child = fork.Process(target=live)
    child.start()
    try:
        assert ours.poll(30)
        number = ours.recv()
        with hosted.port() as port:
            at = port.bind(hosted.addr[4], 7001)
            peer, stack = hosted.peer(), Stack(port)
            for i in range(500):
                peer.sendto(b"to the hostile one", (hosted.addr[4], 7000))
                peer.sendto(b"%d" % i, at[:2])
                assert stack.recv()[0] == b"%d" % i
                stack.sendto(at[:2], (peer.addr, peer.port), b"%d" % i)
                assert peer.recv() == (b"%d" % i, at[:2])
            assert child.is_alive(), "it harmed itself: the test says nothing"
            assert number in [p.id for p in port.list_ports()]
            child.kill()
            child.join()
            eventually(
                lambda: number not in [p.id for p in port.list_ports()],
                "its port is gone",
            )
    finally:
        child.kill()
        child.join()
    assert hosted.well()


def test_the_parents_port_survives_a_child(world: World) -> None:
    """After fork() the child has nothing, and its end is not the port's."""
    with world.port() as port:
        ours = port.bind(world.addr[4], 7000)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                port.stats()
            except PermissionError:
                code = 0
            finally:
                port.close()
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        peer = world.peer()
        peer.sendto(b"x", ours[:2])
        assert Stack(port).recv()[0] == b"x"


def test_a_child_that_lives_on_keeps_no_tuple(world: World) -> None:
    """What the parent closes is free, whatever copies a child has."""
    port = world.port()
    ours = port.bind(world.addr[4], 7000)
    ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ends[1])
        os.read(ends[0], 1)
        os._exit(0)
    os.close(ends[0])
    try:
        port.close()
        with world.port() as other:
            assert other.bind(*ours) == ours
    finally:
        os.close(ends[1])
        os.waitpid(pid, 0)


def test_an_interface_alone_means_the_switch_that_is_there(
    alone: HostedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(alone, DaemonWorld):
        need(not os.path.exists("/dev/multistack"), "the module would be taken")
        monkeypatch.setenv("MULTISTACK_SOCKET", str(alone.daemon.socket))
    with alone.open("eth0") as port, alone.administer() as control:
        assert port.id in [p.id for p in control.list_ports()]


def test_a_pair_end_attached_twice(pair: PairWorld) -> None:
    device = pair.device.replace("pair:p0", "pair:p5")
    code, words = refusal(lambda: Port(device))
    assert code == errno.EBUSY and "attached already" in words
