# SPDX-License-Identifier: BSD-2-Clause
"""Whether what a loop is asked to open is for its stack, and the sockets for it: what
servers listen on, what connections and datagrams start from."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
from collections.abc import Iterable
from typing import Any

from multistack import _addr
from multistack._socket import Socket, give
from multistack._stack import Stack

FAMILIES = (socket.AF_INET, socket.AF_INET6)


def check_tls(
    ssl: Any = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    **_more: Any,
) -> None:
    """asyncio's own checks, which come before names are looked up."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    if ssl_handshake_timeout is not None and ssl is None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if ssl_shutdown_timeout is not None and ssl is None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def bind_error(address: Any, exc: OSError) -> OSError:
    """In asyncio's words."""
    words = (exc.strerror or os.strerror(exc.errno or errno.EINVAL)).lower()
    return OSError(
        exc.errno, f"error while attempting to bind on address {address!r}: {words}"
    )


def goes(stack: Stack, family: int, address: Any, local_infos: Any) -> bool:
    """Whether a connection goes by the stack; local_infos: of what it is bound to."""
    if family not in FAMILIES or stack.batch == 0:
        return False
    if not stack.reaches(_addr.pack(address, family), "tcp"):
        return False
    local = [i for i in local_infos or () if i[0] == family]
    return not local or any(stack.takes(_addr.pack(i[4], family)) for i in local)


def bind_one(sock: Socket, infos: Any, failed: list[OSError]) -> None:
    """Binds to the first that can be; OSError: none. `failed` takes their errors."""
    for family, _, _, _, address in infos:
        if family != sock.family:
            continue
        try:
            sock.bind(address)
            return
        except OSError as exc:
            failed.append(bind_error(address, exc))
    if failed:
        raise failed.pop()
    raise OSError(f"no matching local address with family={sock.family!r} found")


async def infos_of(
    loop: Any, host: Any, port: Any, family: int, flags: int
) -> list[Any]:
    """The addresses of create_server()'s host, which may be many, each once."""
    hosts: list[Any]
    if host == "":
        hosts = [None]
    elif isinstance(host, str) or not isinstance(host, Iterable):
        hosts = [host]
    else:
        hosts = list(host)
    found = await asyncio.gather(
        *(
            loop._create_server_getaddrinfo(h, port, family=family, flags=flags)
            for h in hosts
        )
    )
    return list(dict.fromkeys(itertools.chain.from_iterable(found)))


def takes(stack: Stack, info: Any) -> bool:
    """Whether a server of this address is the stack's."""
    family, _, _, _, address = info
    return family in FAMILIES and stack.takes(_addr.pack(address, family))


def bound(
    stack: Stack,
    info: Any,
    reuse_address: bool | None,
    reuse_port: bool | None,
    sockets: list[Any],
) -> None:
    """Adds a bound socket to `sockets`, the stack's or the host's; none if this host
    has not the family. OSError: it is there, not bound."""
    family, kind, proto, _, address = info
    ours = takes(stack, info)
    try:
        if ours:
            sock: Any = Socket(stack, family, kind, proto)
        else:
            sock = socket.socket(family, kind, proto)
    except OSError:
        return  # this family is not to be had
    sockets.append(sock)
    if reuse_address or reuse_address is None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind(address)
    except OSError as exc:
        raise bind_error(address, exc) from None


def adopted(stack: Stack, sock: Any) -> Any:
    """The stack's socket in place of one of the host's, if that can be."""
    if (
        not isinstance(sock, socket.socket)
        or sock.family not in FAMILIES
        or sock.type not in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    ):
        return sock
    name = sock.getsockname()
    if not name[1] or not stack.takes(_addr.pack(name, sock.family)):
        return sock
    if sock.type == socket.SOCK_STREAM and sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        return sock
    ours = Socket(stack, sock.family, sock.type)
    if sock.family == socket.AF_INET6:
        only = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    # The descriptor stays, on a socket without the address, until ours is closed:
    # asyncio would own it, and who made it may ask it this or that.
    with socket.socket(sock.family, sock.type) as empty:
        os.dup2(empty.fileno(), sock.fileno(), inheritable=False)
    try:
        ours.bind(name)
    except OSError:
        ours.close()
        raise
    ours._instead_of = sock
    give(sock, ours)
    return ours


# ---- UDP ------------------------------------------------------------------------------


def is_inet(family: int, local: Any, remote: Any) -> bool:
    """Whether there is an address that may be the stack's."""
    return family in (0, *FAMILIES) and any(
        isinstance(a, tuple) and len(a) == 2 for a in (local, remote)
    )


async def udp_socket(
    loop: Any,
    stack: Stack,
    local_addr: Any,
    remote_addr: Any,
    family: int,
    proto: int,
    flags: int,
    broadcast: bool | None,
    reuse_port: bool | None,
) -> Socket | None:
    """None: it is for the host, or for asyncio to say what is wrong."""
    locals_ = await udp_infos(loop, local_addr, family, proto, flags)
    remotes = await udp_infos(loop, remote_addr, family, proto, flags)
    failed = None
    for fam in FAMILIES:
        local, remote = locals_.get(fam), remotes.get(fam)
        if (local_addr and not local) or (remote_addr and not remote):
            continue
        if not udp_goes(stack, fam, local, remote):
            return None
        sock = Socket(stack, fam, socket.SOCK_DGRAM, proto)
        try:
            if broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if local:
                sock.bind(local)
            if remote and broadcast:
                sock.target = remote  # answers come from elsewhere
            elif remote:
                sock.connect(remote)
            return sock
        except OSError as exc:
            sock.close()
            failed = failed or exc
    if failed:
        raise failed
    return None


async def udp_infos(
    loop: Any, addr: Any, family: int, proto: int, flags: int
) -> dict[int, Any]:
    """Of each family the first address."""
    if addr is None or not (isinstance(addr, tuple) and len(addr) == 2):
        return {}
    infos = await loop._ensure_resolved(
        addr,
        family=family,
        type=socket.SOCK_DGRAM,
        proto=proto,
        flags=flags,
        loop=loop,
    )
    found: dict[int, Any] = {}
    for fam, _, _, _, address in infos:
        found.setdefault(fam, address)
    return found


def udp_goes(stack: Stack, family: int, local: Any, remote: Any) -> bool:
    """Whether a socket of these addresses, or None, is the stack's."""
    if local is not None and not stack.takes(_addr.pack(local, family)):
        return False
    return remote is None or stack.reaches(_addr.pack(remote, family), "udp")
