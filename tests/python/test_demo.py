# SPDX-License-Identifier: BSD-2-Clause
"""The demo's parts; the demo itself is run by `inv test` with --check."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo import packet, traffic, world
from demo.cast import Built

ROOT = Path(__file__).resolve().parents[2]

addresses = st.one_of(
    st.tuples(st.ip_addresses(v=4).map(str), st.ip_addresses(v=4).map(str)),
    st.tuples(st.ip_addresses(v=6).map(str), st.ip_addresses(v=6).map(str)),
)
macs = st.binary(min_size=6, max_size=6)
ports = st.integers(0, 65535)
at_leisure = settings(deadline=None)  # an example may take long on a busy machine


@at_leisure
@given(addresses, macs, macs, ports, ports, st.binary(max_size=1400))
def test_datagram_survives_build_and_parse(addrs, mac1, mac2, sport, dport, payload):
    src = packet.Endpoint(mac1, addrs[0], sport)
    dst = packet.Endpoint(mac2, addrs[1], dport)
    frame = packet.build(src, dst, payload)
    assert packet.parse(frame) == packet.Datagram(src, dst, payload)


@at_leisure
@given(addresses, st.binary(min_size=1, max_size=64), st.data())
def test_datagram_with_a_flipped_bit_is_refused(addrs, payload, data):
    mac = b"\2\0\0\0\0\1"
    src, dst = (packet.Endpoint(mac, a, 7) for a in addrs)
    frame = bytearray(packet.build(src, dst, payload))
    at = data.draw(st.integers(len(frame) - len(payload), len(frame) - 1))
    frame[at] ^= 1 << data.draw(st.integers(0, 7))
    assert packet.parse(bytes(frame)) is None


@at_leisure
@given(st.binary(max_size=120))
def test_parse_takes_anything(data):
    packet.parse(data)
    packet.parse(data[:12] + b"\x08\x00\x45" + data[12:])


def test_what_is_not_built_is_named_with_the_remedy(tmp_path):
    for below in ("sys/os/user/daemon/multistackd", "lib/examples/udp_echo"):
        (tmp_path / below).parent.mkdir(parents=True)
        (tmp_path / below).touch()
    with pytest.raises(world.WorldError, match=r"multistack-httpd: run `./inv build`"):
        Built.find(tmp_path)


def alive(pid: int) -> bool:
    """Neither gone nor waiting for somebody to notice its end."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")
def test_port_that_somebody_has_can_be_bound_in_its_other_protocol_only():
    with world.World() as made:
        with made.inside(world.SERVER):
            taken = socket.create_server((world.ADDR[world.SERVER][0], 8081))
        with taken:
            assert not traffic.host_can_bind(made, 8081, tcp=True)
            assert traffic.host_can_bind(made, 8081)
        assert traffic.host_can_bind(made, 8081, tcp=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")
def test_what_a_killed_demo_leaves_is_swept_away():
    code = "import time; from demo.world import World\nwith World() as w:"
    code += "\n    w.spawn('server', 'idle', 'sleep', '60')"
    code += "\n    print(w.name, w.processes[0].pid, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        name, pid = child.stdout.readline().split()
        assert name in world.running()
        assert name not in world.sweep()
        child.send_signal(signal.SIGKILL)
    assert name in world.sweep()
    assert name not in world.running()
    assert not Path("/run", name).exists()
    assert not list(Path("/run/netns").glob(f"{name}*"))
    while alive(int(pid)):
        time.sleep(0.01)
