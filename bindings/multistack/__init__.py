# SPDX-License-Identifier: BSD-2-Clause
"""MultiStack: network stacks of your own beside the host's, on its addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multistack._types import (
    Feature,
    Gso,
    Meta,
    Nic,
    PortEntry,
    Route,
    RouteState,
    SlotFlag,
    SwitchInfo,
    Tuple,
    TupleEntry,
    counter_texts,
)
from multistack._version import __version__
from multistack.port import Batch, Control, Port

if TYPE_CHECKING:
    from multistack._cc import Ack, CcEvent, CongestionControl, register_cc
    from multistack._ext import TcpOption, register_option
    from multistack._scapy import ScapyL3Socket, ScapySocket, scapy_on
    from multistack._socket import Socket
    from multistack.loop import EventLoop, EventLoopPolicy, Runner, loop_factory, run

__all__ = [
    "Ack",
    "Batch",
    "CcEvent",
    "CongestionControl",
    "Control",
    "EventLoop",
    "EventLoopPolicy",
    "Feature",
    "Gso",
    "Meta",
    "Nic",
    "Port",
    "PortEntry",
    "Route",
    "RouteState",
    "Runner",
    "ScapyL3Socket",
    "ScapySocket",
    "SlotFlag",
    "Socket",
    "SwitchInfo",
    "TcpOption",
    "Tuple",
    "TupleEntry",
    "__version__",
    "counter_texts",
    "loop_factory",
    "register_cc",
    "register_option",
    "run",
    "scapy_on",
]

# What is not for everybody is imported when it is asked for.
_LATE = {
    "Ack": "_cc",
    "CcEvent": "_cc",
    "CongestionControl": "_cc",
    "EventLoop": "loop",
    "EventLoopPolicy": "loop",
    "Runner": "loop",
    "ScapyL3Socket": "_scapy",
    "ScapySocket": "_scapy",
    "Socket": "_socket",
    "loop_factory": "loop",
    "TcpOption": "_ext",
    "register_cc": "_cc",
    "register_option": "_ext",
    "run": "loop",
    "scapy_on": "_scapy",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = found
    return found
