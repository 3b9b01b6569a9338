# SPDX-License-Identifier: BSD-2-Clause
"""inv lint finds what breaks the design's who-may-include-what, and passes
what keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci import includes

# File, its text, and a part of the fault (nothing: it is fine).
CASES = [
    ("sys/multistack.h", "#include <stdint.h>\n", ""),
    ("sys/multistack.h", "#include <stdio.h>\n", "fixed-width"),
    ("sys/multistack.h", "#if defined(__linux__)\n#endif\n", ""),
    ("sys/core/ms_a.c", '#include "ms_os.h"\n#include "multistack.h"\n', ""),
    ("sys/core/ms_a.c", "#include <string.h>\n", "core includes only itself"),
    ("sys/core/ms_a.c", "#  include <linux/types.h>\n", "core includes only"),
    ("sys/core/ms_a.c", '#include "ms_user.h"\n', "core includes only"),
    ("sys/core/ms_a.c", "#ifdef __FreeBSD__\n#endif\n", "belongs under sys/os/"),
    ("sys/core/ms_a.c", '#include "nowhere.h"\n', "nowhere"),
    ("sys/os/user/a.c", '#include <stdio.h>\n#include "ms_user.h"\n', ""),
    ("sys/os/user/a.c", "#ifdef __linux__\n#endif\n", ""),
    ("sys/os/linux/a.c", '#include "ms_os.h"\n#include <linux/slab.h>\n', ""),
    ("sys/os/linux/a.c", "#include <stdio.h>\n", "Linux's headers"),
    ("sys/os/linux/a.c", '#include "ms_user.h"\n', "Linux's headers"),
    ("sys/os/freebsd/a.c", "#include <sys/mbuf.h>\n", ""),
    ("sys/os/freebsd/a.c", "#include <linux/slab.h>\n", "FreeBSD's headers"),
    ("lib/port/a.c", '#include "ms_user.h"\n#include <poll.h>\n', ""),
    ("lib/utcp/tcp_input.c", "#include <string.h>\n", ""),
    ("lib/utcp/tcp_input.c", "#include <time.h>\n", "without I/O or clock"),
    ("lib/utcp/tcp_input.c", "#include <sys/socket.h>\n", "without I/O"),
    ("lib/utcp/tcp_input.c", "#include <stdio.h>\n", "without I/O"),
    ("lib/utcp/tcp.h", '#include "ip.h"\n', ""),
    ("lib/utcp/ip.h", '#include "stack.h"\n', "does not know the stack"),
    ("lib/include/multistack/mu.h", "#include <uv.h>\n", ""),
    ("lib/include/multistack/utcp.h", "#include <uv.h>\n", "without I/O"),
    ("lib/crypt/a.c", "#include <openssl/evp.h>\n", ""),
    ("lib/crypt/a.c", "#include <time.h>\n", "libcrypto and its own"),
    ("lib/utcp/tcp_input.c", "#include <openssl/evp.h>\n", "without I/O"),
    ("lib/examples/a.c", "#include <multistack/port.h>\n", ""),
    ("lib/examples/a.c", '#include "ms_core.h"\n', "every application"),
    ("bindings/multistack/port.py", "import ctypes\nimport multistack._ffi\n", ""),
    ("bindings/multistack/port.py", "import numpy\n", "nothing else"),
    ("bindings/multistack/port.py", "from scapy.all import IP\n", "nothing else"),
    ("bindings/multistack/_scapy.py", "from scapy.all import IP\n", ""),
    ("bindings/multistack/cli/main.py", "import click\nimport rich.table\n", ""),
    ("bindings/multistack/port.py", "import click\n", "nothing else"),
    ("sys/os/linux/bpf/a.c", "#include <bpf/bpf_helpers.h>\n", ""),
    ("sys/os/linux/a.c", "#include <bpf/bpf_helpers.h>\n", "Linux's headers"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The rooms' own headers, empty."""
    for name in (
        "sys/multistack.h",
        "sys/core/ms_os.h",
        "sys/core/ms_core.h",
        "sys/os/user/ms_user.h",
        "lib/include/multistack/port.h",
        "lib/utcp/ip.h",
        "lib/utcp/stack.h",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(("name", "text", "fault"), CASES)
def test_table_of_rooms(tree: Path, name: str, text: str, fault: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    found = includes.check(tree)
    if not fault:
        assert found == []
        return
    assert [f.path for f in found] == [name]
    assert fault in found[0].text


def test_fault_names_the_line(tree: Path) -> None:
    (tree / "sys/core/ms_core.h").write_text("\n\n#include <stdio.h>\n")
    (found,) = includes.check(tree)
    assert str(found).startswith("sys/core/ms_core.h:3: ")


def test_this_tree_keeps_the_table() -> None:
    assert includes.check(Path(__file__).parents[2]) == []
