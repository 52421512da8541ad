"""Network addresses as `host:port` text, and ports that are free to listen on."""

from __future__ import annotations

import errno
import ipaddress
import re
import secrets
import socket
from collections.abc import Collection
from typing import NamedTuple

from runtime.errors import BadAddress, PortInUse

MAX_PORT = 65535
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised here, never a default
# Below the range from which the system takes ports for outgoing connections (32768 and up on Linux).
FREE_PORTS = range(20_000, 32_000)
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


class HostPort(NamedTuple):
    """Where a server listens or is reached."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> HostPort:
    """`host:port` or `[v6]:port` to its parts; port 0 means any. Raises BadAddress."""
    host, colon, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not _is_host(host, bracketed=bracketed):
        raise BadAddress(f"'{text[:120]}' is not an address.", hint="Write host:port, for example 127.0.0.1:9370.")
    if not digits.isascii() or not digits.isdigit() or int(digits[:6]) > MAX_PORT:
        raise BadAddress(f"'{text[:120]}': '{digits[:20]}' is not a port.", hint=f"Ports are 0 to {MAX_PORT}.")
    return HostPort(host, int(digits))


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def free_port(host: str = "127.0.0.1", *, avoid: Collection[int] = ()) -> int:
    """A port nobody listens on now, outside the range of outgoing connections. Raises PortInUse if none is found."""
    candidates = [FREE_PORTS.start + secrets.randbelow(len(FREE_PORTS)) for _ in range(200)]
    for port in candidates:
        if port not in avoid and _bind_problem(HostPort(host, port)) is None:
            return port
    raise PortInUse(f"No free port was found on {host} between {FREE_PORTS.start} and {FREE_PORTS.stop - 1}.")


def require_free(listen: HostPort, setting: str) -> None:
    """Raise PortInUse or BadAddress, naming the setting, if this process could not listen there.

    Servers call it before they bind, because gRPC shares a taken port silently where the system lets it.
    """
    problem = _bind_problem(listen)
    if problem is None:
        return
    if problem.errno == errno.EADDRINUSE:
        raise PortInUse(
            f"{listen} ({setting}) is in use by another process.",
            hint=f"Stop that process, or change {setting} in party.toml.",
        )
    raise BadAddress(f"{listen} ({setting}): {problem.strerror or problem}.", hint=f"Change {setting} in party.toml.")


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed or ":" in host:
        try:
            return bracketed and ipaddress.ip_address(host).version == 6
        except ValueError:
            return False
    return _HOST_NAME.fullmatch(host) is not None


def _bind_problem(listen: HostPort) -> OSError | None:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(listen)
        except OSError as problem:
            return problem
    return None
