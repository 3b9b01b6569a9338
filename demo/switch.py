# SPDX-License-Identifier: BSD-2-Clause
"""What the switch knows, asked as its administrator."""

from __future__ import annotations

from typing import Any

import multistack
from demo.world import IFNAME


class Switch:
    """The switch behind a device string, "daemon@/path:" or "kmod:", which is
    that of the calling thread's namespace."""

    def __init__(self, control: str) -> None:
        self._control = multistack.Control(control)

    def close(self) -> None:
        self._control.close()

    def kind(self) -> str:
        """How the interface is attached: "xdp native", ..."""
        return next((n.kind for n in self._control.list_nics() if n.name == IFNAME), "")

    def interface(self) -> dict[str, int]:
        """The interface's counters, since it was attached."""
        return self._control.stats(nic=IFNAME)

    def ports(self) -> list[dict[str, Any]]:
        """Each open port: label, user, claims, counters."""
        tuples = self._control.list_tuples()
        found = []
        for p in sorted(self._control.list_ports(), key=lambda p: p.id):
            numbers = {
                (str(t.tuple.proto), t.tuple.port) for t in tuples if t.port_id == p.id
            }
            found.append(
                {
                    "label": p.label,
                    "user": p.uid,
                    "claims": ", ".join(f"{name} {n}" for name, n in sorted(numbers)),
                    "counters": self._control.stats(port_id=p.id),
                }
            )
        return found

    def drops(self) -> dict[str, int]:
        """All that was dropped on the interface, by reason."""
        return {
            k: v for k, v in self.interface().items() if k.startswith("drop_") and v
        }

    @staticmethod
    def meaning() -> dict[str, str]:
        return multistack.counter_texts()
