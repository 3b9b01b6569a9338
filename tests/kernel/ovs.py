# SPDX-License-Identifier: BSD-2-Clause
"""Open vSwitch's datapath in the kernel, without its daemons: one that holds
interfaces, by generic netlink."""

from __future__ import annotations

import os
import socket
import struct

NETLINK_GENERIC = 16
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2
OVS_DP_CMD_NEW, OVS_DP_CMD_DEL, OVS_VPORT_CMD_NEW = 1, 2, 1
OVS_DP_ATTR_NAME, OVS_DP_ATTR_UPCALL_PID = 1, 2
(
    OVS_VPORT_ATTR_TYPE,
    OVS_VPORT_ATTR_NAME,
    OVS_VPORT_ATTR_UPCALL_PID,
) = (2, 3, 5)
OVS_VPORT_TYPE_NETDEV = 1


def attr(kind: int, data: bytes) -> bytes:
    head = struct.pack("HH", 4 + len(data), kind)
    return head + data + bytes(-len(data) % 4)


class Datapath:
    """Of the namespace that the calling thread is in. OSError as the kernel has
    it: FileNotFoundError where there is no Open vSwitch."""

    def __init__(self, name: str) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        try:
            self._sock.bind((0, 0))
            self.name = name
            self._ask(
                self._family("ovs_datapath"),
                OVS_DP_CMD_NEW,
                self._ovs(0)
                + attr(OVS_DP_ATTR_NAME, name.encode() + b"\0")
                + attr(OVS_DP_ATTR_UPCALL_PID, bytes(4)),
            )
        except BaseException:
            self._sock.close()
            raise

    def add(self, nic: str) -> None:
        """Takes an interface. OSError EBUSY: somebody else has it."""
        self._ask(
            self._family("ovs_vport"),
            OVS_VPORT_CMD_NEW,
            self._ovs(socket.if_nametoindex(self.name))
            + attr(OVS_VPORT_ATTR_NAME, nic.encode() + b"\0")
            + attr(OVS_VPORT_ATTR_TYPE, struct.pack("I", OVS_VPORT_TYPE_NETDEV))
            + attr(OVS_VPORT_ATTR_UPCALL_PID, bytes(4)),
        )

    def close(self) -> None:
        """With all that it holds."""
        self._ask(
            self._family("ovs_datapath"),
            OVS_DP_CMD_DEL,
            self._ovs(0) + attr(OVS_DP_ATTR_NAME, self.name.encode() + b"\0"),
        )
        self._sock.close()

    def _ovs(self, ifindex: int) -> bytes:
        return struct.pack("i", ifindex)

    def _family(self, name: str) -> int:
        answer = self._ask(
            GENL_ID_CTRL,
            CTRL_CMD_GETFAMILY,
            attr(CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0"),
            ack=False,
        )
        at = 20
        while at < len(answer):
            size, kind = struct.unpack_from("HH", answer, at)
            if kind == CTRL_ATTR_FAMILY_ID:
                return int(struct.unpack_from("H", answer, at + 4)[0])
            at += size + -size % 4
        raise OSError("no family in the answer")

    def _ask(self, family: int, command: int, body: bytes, ack: bool = True) -> bytes:
        flags = NLM_F_REQUEST | (NLM_F_ACK if ack else 0)
        version = 2 if family != GENL_ID_CTRL and command == OVS_DP_CMD_NEW else 1
        message = struct.pack("BBH", command, version, 0) + body
        head = struct.pack("IHHII", 16 + len(message), family, flags, 1, 0)
        self._sock.send(head + message)
        answer = self._sock.recv(65536)
        kind = struct.unpack_from("H", answer, 4)[0]
        if kind == NLMSG_ERROR:
            code = -struct.unpack_from("i", answer, 16)[0]
            if code:
                raise OSError(code, os.strerror(code))
        return answer
