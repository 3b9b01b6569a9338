# SPDX-License-Identifier: BSD-2-Clause
"""libmultistack, loaded and declared: lib/include/multistack/port.h call by call.

Every call raises what it returns as an error: OSError(errno, text) with the
library's own words, in the subclass that Python has for the errno.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from ctypes import (
    CDLL,
    POINTER,
    c_char_p,
    c_int,
    c_size_t,
    c_uint,
    c_uint8,
    c_uint16,
    c_uint32,
    c_void_p,
)
from pathlib import Path
from typing import Any

from multistack import _abi
from multistack._version import __version__

_Check = Callable[[Any, Any, tuple[Any, ...]], Any]


def _candidates() -> list[Path]:
    """Where the library may be, best first: where $MULTISTACK_LIBRARY says and
    nowhere else; in the installed package; in the build tree of a checkout."""
    named = os.environ.get("MULTISTACK_LIBRARY")
    if named:
        return [Path(named)]
    here = Path(__file__).resolve().parent
    tree = here.parents[1]
    return [
        here / "libmultistack.so.0",
        tree / "build/plain/lib/libmultistack.so",
        # Deeper down are those for other systems.
        *sorted(tree.glob("build*/lib/libmultistack.so")),
        *sorted(tree.glob("build*/*/lib/libmultistack.so")),
    ]


def _load() -> tuple[CDLL, Path]:
    tried = _candidates()
    for path in tried:
        if path.exists():
            try:
                return CDLL(str(path)), path
            except OSError as e:
                raise ImportError(f"{path} cannot be loaded: {e}") from e
    raise ImportError(
        "libmultistack.so is not there, looked for as "
        + ", ".join(map(str, tried))
        + "; build it (./inv build), install the wheel, or name it in $MULTISTACK_LIBRARY"
    )


_lib, library_path = _load()


def _declare(
    name: str, restype: Any, check: _Check, *argtypes: Any, lib: CDLL = _lib
) -> Any:
    try:
        f = getattr(lib, name)
    except AttributeError as e:
        raise ImportError(
            f"{library_path} has no {name}(): it is another version than this "
            f"package; rebuild or reinstall both together, or unset $MULTISTACK_LIBRARY"
        ) from e
    f.argtypes = argtypes
    f.restype = restype
    f.errcheck = check
    return f


def _fail(code: int, words: bytes | None) -> OSError:
    text = (words or b"").decode(errors="replace")
    return OSError(-code, text or os.strerror(-code))


def _never(result: Any, _f: Any, _args: tuple[Any, ...]) -> Any:
    """For calls that cannot fail."""
    return result


def _by_err(result: int, _f: Any, args: tuple[Any, ...]) -> int:
    """For calls whose last argument takes the words."""
    if result < 0:
        raise _fail(result, args[-1].text)
    return result


def _by_port(result: int, _f: Any, args: tuple[Any, ...]) -> int:
    """For calls on a port, which has the words."""
    if result < 0:
        raise _fail(result, msport_error(args[0]))
    return result


def _by_code(result: int, _f: Any, args: tuple[Any, ...]) -> int:
    if result < 0:
        raise _fail(result, None)
    return result


_err = POINTER(_abi.Error)
_views = POINTER(_abi.View)
_port_out = POINTER(c_void_p)

msport_abi = _declare("msport_abi", c_uint32, _never)
if msport_abi() != _abi.MS_ABI_VERSION:
    raise ImportError(
        f"{library_path} speaks ABI {msport_abi()}, this package ABI {_abi.MS_ABI_VERSION}; "
        "rebuild or reinstall both together, or unset $MULTISTACK_LIBRARY"
    )

msport_version = _declare("msport_version", c_char_p, _never)
if msport_version() != __version__.encode():
    raise ImportError(
        f"{library_path} is version {msport_version().decode()}, this package "
        f"{__version__}; rebuild or reinstall both together, or unset $MULTISTACK_LIBRARY"
    )

msport_open = _declare(
    "msport_open", c_int, _by_err, _port_out, c_char_p, POINTER(_abi.Options), _err
)
msport_control = _declare("msport_control", c_int, _by_err, _port_out, c_char_p, _err)
msport_attach = _declare("msport_attach", c_int, _by_port, c_void_p, c_char_p)
msport_detach = _declare("msport_detach", c_int, _by_port, c_void_p, c_char_p, c_uint32)
msport_close = _declare("msport_close", None, _never, c_void_p)
msport_reopen = _declare("msport_reopen", c_int, _by_port, c_void_p)
msport_error = _declare("msport_error", c_char_p, _never, c_void_p)

msport_bind = _declare("msport_bind", c_int, _by_port, c_void_p, POINTER(_abi.Tuple))
msport_unbind = _declare(
    "msport_unbind", c_int, _by_port, c_void_p, POINTER(_abi.Tuple)
)
msport_tuple = _declare(
    "msport_tuple", c_int, _by_code, POINTER(_abi.Tuple), c_char_p, c_uint8, c_uint16
)
msport_route = _declare(
    "msport_route", c_int, _by_port, c_void_p, POINTER(_abi.CmdRoute)
)
msport_stats = _declare(
    "msport_stats", c_int, _by_port, c_void_p, POINTER(_abi.CmdStats)
)
msport_counter_name = _declare("msport_counter_name", c_char_p, _never, c_uint)
msport_counter_text = _declare("msport_counter_text", c_char_p, _never, c_uint)
msport_command = _declare(
    "msport_command", c_int, _by_port, c_void_p, c_uint32, c_void_p
)
msport_info = _declare("msport_info", POINTER(_abi.CmdPortCreate), _never, c_void_p)
msport_region = _declare("msport_region", POINTER(_abi.Region), _never, c_void_p)

msport_rx = _declare("msport_rx", c_int, _by_port, c_void_p, c_uint, _views, c_uint)
msport_rx_release = _declare(
    "msport_rx_release", None, _never, c_void_p, c_uint, c_uint
)
msport_rx_swap = _declare(
    "msport_rx_swap", c_int, _by_port, c_void_p, c_uint, c_uint, c_void_p
)
msport_extra = _declare("msport_extra", c_void_p, _never, c_void_p, c_uint)
msport_tx = _declare("msport_tx", c_int, _by_port, c_void_p, c_uint, _views, c_uint)
msport_tx_commit = _declare(
    "msport_tx_commit", c_int, _by_port, c_void_p, c_uint, _views, c_uint
)
msport_sync = _declare("msport_sync", c_int, _by_port, c_void_p, c_uint)
msport_recv = _declare(
    "msport_recv", c_int, _by_port, c_void_p, c_uint, c_void_p, c_size_t
)
msport_send = _declare(
    "msport_send", c_int, _by_port, c_void_p, c_uint, c_char_p, c_size_t
)

msport_fd = _declare("msport_fd", c_int, _by_port, c_void_p, c_int, c_uint)
msport_arm = _declare("msport_arm", c_int, _by_port, c_void_p, c_int, c_uint)
msport_wait = _declare("msport_wait", c_int, _by_port, c_void_p, c_int, c_uint, c_int)
