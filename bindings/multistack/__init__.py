# SPDX-License-Identifier: BSD-2-Clause
"""MultiStack: network stacks of your own beside the host's, on its addresses."""

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

__all__ = [
    "Batch",
    "Control",
    "Feature",
    "Gso",
    "Meta",
    "Nic",
    "Port",
    "PortEntry",
    "Route",
    "RouteState",
    "SlotFlag",
    "SwitchInfo",
    "Tuple",
    "TupleEntry",
    "__version__",
    "counter_texts",
]
