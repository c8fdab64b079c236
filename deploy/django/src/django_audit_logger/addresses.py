"""Finds the client's address in the connection and in the headers of proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Optional

# Private networks: a connection from one of them comes from a proxy.
_OUR_OWN = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
# Most addresses of one header that are checked.
_MOST = 20
# A longer header is not cached, and a longer text is not an address.
_SHORT = 100


def client_ip(meta: Mapping[str, Any]) -> Optional[str]:
    """Returns the client's address in a form that PostgreSQL's ``inet`` reads; None if unknown.

    It is the connection's address. If that is a private address or a socket, the connection comes
    from a proxy: then it is the first valid address in X-Forwarded-For, or X-Real-IP. Let the proxy
    set the header: if it appends to the client's header, the client can forge the address.
    """
    peer = meta.get("REMOTE_ADDR") or ""
    forwarded = meta.get("HTTP_X_FORWARDED_FOR") or meta.get("HTTP_X_REAL_IP") or ""
    return (_remembered if len(forwarded) <= _SHORT else _found)(peer, forwarded)


def _found(connected: str, forwarded: str) -> Optional[str]:
    peer = _address(connected)
    if peer and not peer[1]:
        return peer[0]
    if forwarded:
        for part in forwarded.split(",", _MOST)[:_MOST]:
            address = _address(part) if len(part) <= _SHORT else None
            if address:
                return address[0]
    return peer[0] if peer else None


_remembered = lru_cache(maxsize=4096)(_found)


@lru_cache(maxsize=4096)
def _address(text: str) -> Optional[tuple[str, bool]]:
    """Returns the address without port and zone, and whether it is private."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(address), any(address in network for network in _OUR_OWN)
