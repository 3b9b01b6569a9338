# SPDX-License-Identifier: BSD-2-Clause
"""sys/multistack.h and the structs of lib/include/multistack/port.h, mirrored.

Names are C's, structs without their ms_ (`ms_cmd_bind` is `CmdBind`). What the
fields mean stands there. tests/python/test_abi.py compares everything here
with what the compiler makes of the headers, both ways.
"""

from __future__ import annotations

from ctypes import (
    Structure,
    c_char,
    c_int,
    c_int32,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from enum import IntEnum

MS_ABI_VERSION = 1
MS_REGION_MAGIC = 0x4D53524E
MS_IFNAME_BYTES = 16
MS_CACHE_LINE = 64

MS_RINGS_MAX = 64
MS_SLOTS_MIN = 8
MS_SLOTS_MAX = 65536
MS_BUF_BYTES_MIN = 2048
MS_BUF_BYTES_MAX = 65536
MS_FRAME_BYTES_MAX = 65568
MS_FRAME_SLOTS_MAX = 40

MS_SLOT_MORE = 0x0001
MS_SLOT_CSUM_PARTIAL = 0x0002
MS_SLOT_CSUM_OK = 0x0004
MS_SLOT_TAP_RX = 0x0010
MS_SLOT_TAP_TX = 0x0020
MS_SLOT_TAP_DROP = 0x0040

MS_GSO_NONE = 0
MS_GSO_TCP4 = 1
MS_GSO_UDP = 5
MS_GSO_TCP6 = 4

MS_GONE_NIC = 1
MS_GONE_DAEMON = 2

MS_CMD_INFO = 1
MS_CMD_PORT_CREATE = 2
MS_CMD_QUEUE_ATTACH = 3
MS_CMD_BIND = 4
MS_CMD_UNBIND = 5
MS_CMD_ROUTE = 6
MS_CMD_SYNC = 7
MS_CMD_STATS = 8
MS_CMD_TAP = 9
MS_CMD_HANDOVER = 10
MS_CMD_ATTACH = 11
MS_CMD_DETACH = 12
MS_CMD_LIST = 13
MS_CMD_MAX = 14

MS_FEATURE_GSO_TCP = 1 << 0
MS_FEATURE_GSO_UDP = 1 << 1
MS_FEATURE_CSUM_TX = 1 << 2
MS_FEATURE_CSUM_RX = 1 << 3
MS_FEATURE_HOST = 1 << 4

MS_ROUTE_REACHABLE = 1
MS_ROUTE_PENDING = 2
MS_ROUTE_LOCAL = 3

MS_TAP_PORT = 1
MS_TAP_NIC = 2
MS_TAP_REFUSED = 1 << 0
MS_TAP_NO_OTHERS = 1 << 1

MS_HANDOVER_OFFER = 1
MS_HANDOVER_ACCEPT = 2

MS_ATTACH_GENERIC = 1 << 0
MS_ATTACH_FORCE = 1 << 1

MS_LIST_NICS = 1
MS_LIST_PORTS = 2
MS_LIST_TUPLES = 3


class Counter(IntEnum):
    """MS_CTR_*; the name of a counter in `Port.stats()` is its lower case."""

    RX_FRAMES = 0
    RX_BYTES = 1
    TX_FRAMES = 2
    TX_BYTES = 3
    TX_LOCAL = 4
    TX_HOST = 5
    RX_SEEN = 6
    RX_HOST = 7
    RX_WAKEUPS = 8
    TX_SYNCS = 9
    DROP_RX_FULL = 10
    DROP_RX_SLOT = 11
    DROP_RX_LONG = 12
    DROP_RX_GONE = 13
    DROP_RX_NOHOST = 14
    DROP_TX_SLOT = 15
    DROP_TX_SHORT = 16
    DROP_TX_LONG = 17
    DROP_TX_ETHER = 18
    DROP_TX_MAC = 19
    DROP_TX_VLAN = 20
    DROP_TX_HEADER = 21
    DROP_TX_FRAGMENT = 22
    DROP_TX_UNBOUND = 23
    DROP_TX_FOREIGN = 24
    DROP_TX_OFFLOAD = 25
    DROP_TX_NIC = 26
    DROP_TX_NOHOST = 27
    DROP_NOMEM = 28
    TAP_FRAMES = 29
    TAP_LOST = 30
    BAD_HEAD = 31


MS_CTR_MAX = len(Counter)


class Slot(Structure):
    _fields_ = [
        ("buf", c_uint32),
        ("len", c_uint16),
        ("flags", c_uint16),
        ("gso_type", c_uint8),
        ("reason", c_uint8),
        ("gso_size", c_uint16),
        ("csum_start", c_uint16),
        ("csum_offset", c_uint16),
    ]


class Ring(Structure):
    _fields_ = [
        ("num_slots", c_uint32),
        ("buf_bytes", c_uint32),
        ("is_rx", c_uint16),
        ("index", c_uint16),
        ("slots_ofs", c_uint32),
        ("pad0", c_uint8 * (MS_CACHE_LINE - 16)),
        ("tail", c_uint32),
        ("doze", c_uint32),
        ("lost", c_uint32),
        ("gone", c_uint32),
        ("pad1", c_uint8 * (MS_CACHE_LINE - 16)),
        ("head", c_uint32),
        ("wake", c_uint32),
        ("pad2", c_uint8 * (MS_CACHE_LINE - 8)),
    ]


class Region(Structure):
    _fields_ = [
        ("magic", c_uint32),
        ("abi", c_uint16),
        ("size", c_uint16),
        ("bytes", c_uint64),
        ("tx_rings", c_uint16),
        ("rx_rings", c_uint16),
        ("slots", c_uint32),
        ("buf_bytes", c_uint32),
        ("bufs", c_uint32),
        ("extra_bufs", c_uint32),
        ("port_id", c_uint32),
        ("ring_ofs", c_uint64),
        ("ring_stride", c_uint64),
        ("bufs_ofs", c_uint64),
        ("route_gen", c_uint32),
        ("reserved", c_uint32),
    ]


class Tuple(Structure):
    _fields_ = [
        ("addr", c_uint8 * 16),
        ("port_be", c_uint16),
        ("proto", c_uint8),
        ("family", c_uint8),
    ]


class CmdInfo(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("abi", c_uint32),
        ("features", c_uint32),
        ("num_nics", c_uint32),
        ("num_ports", c_uint32),
        ("pad", c_uint32),
        ("num_tuples", c_uint64),
    ]


class CmdPortCreate(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("nic", c_char * MS_IFNAME_BYTES),
        ("tx_rings", c_uint16),
        ("rx_rings", c_uint16),
        ("slots", c_uint32),
        ("buf_bytes", c_uint32),
        ("extra_bufs", c_uint32),
        ("label", c_char * 16),
        ("region_bytes", c_uint64),
        ("port_id", c_uint32),
        ("features", c_uint32),
        ("mtu", c_uint32),
        ("mac", c_uint8 * 6),
        ("vlan", c_uint16),
        ("pad", c_uint32),
    ]


class CmdQueueAttach(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("is_rx", c_uint16),
        ("index", c_uint16),
    ]


class CmdBind(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("tuple", Tuple),
        ("holder", c_uint32),
    ]


class CmdRoute(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("dst", Tuple),
        ("src", Tuple),
        ("src_mac", c_uint8 * 6),
        ("dst_mac", c_uint8 * 6),
        ("mtu", c_uint32),
        ("gen", c_uint32),
        ("state", c_uint32),
        ("pad", c_uint32),
    ]


class CmdSync(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("is_rx", c_uint16),
        ("index", c_uint16),
    ]


class CmdStats(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("num", c_uint32),
        ("nic", c_char * MS_IFNAME_BYTES),
        ("port_id", c_uint32),
        ("pad", c_uint32),
        ("counter", c_uint64 * MS_CTR_MAX),
    ]


class CmdTap(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("scope", c_uint32),
        ("port_id", c_uint32),
        ("snap_bytes", c_uint32),
        ("flags", c_uint32),
        ("pad", c_uint32),
    ]


class CmdHandover(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("op", c_uint32),
        ("token", c_uint8 * 16),
        ("moved", c_uint32),
        ("pad", c_uint32),
    ]


class CmdAttach(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("nic", c_char * MS_IFNAME_BYTES),
        ("kind", c_char * 16),
        ("options", c_char * 128),
        ("vlan", c_uint16),
        ("queues", c_uint16),
        ("pad", c_uint32),
    ]


class CmdList(Structure):
    _fields_ = [
        ("size", c_uint32),
        ("what", c_uint32),
        ("cursor", c_uint64),
        ("port_id", c_uint32),
        ("uid", c_uint32),
        ("pid", c_int32),
        ("num", c_uint32),
        ("tuple", Tuple),
        ("nic", c_char * MS_IFNAME_BYTES),
        ("label", c_char * 16),
        ("tx_rings", c_uint16),
        ("rx_rings", c_uint16),
        ("slots", c_uint32),
        ("mtu", c_uint32),
        ("features", c_uint32),
        ("mac", c_uint8 * 6),
        ("vlan", c_uint16),
    ]


class Error(Structure):
    """msport_error_t"""

    _fields_ = [
        ("code", c_int),
        ("text", c_char * 320),
    ]


class Options(Structure):
    """msport_options_t"""

    _fields_ = [
        ("tx_rings", c_uint16),
        ("rx_rings", c_uint16),
        ("slots", c_uint32),
        ("buf_bytes", c_uint32),
        ("extra_bufs", c_uint32),
        ("label", c_char * 16),
    ]


class View(Structure):
    """msport_view_t; VIEW_FORMAT is the same for struct.unpack."""

    _fields_ = [
        ("data", c_void_p),
        ("len", c_uint32),
        ("flags", c_uint16),
        ("gso_type", c_uint8),
        ("reason", c_uint8),
        ("gso_size", c_uint16),
        ("csum_start", c_uint16),
        ("csum_offset", c_uint16),
        ("pad", c_uint16),
    ]


VIEW_FORMAT = "@PIHBBHHHH"
