"""The client's address, from what server and proxies tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Optional

# Networks that a request from outside does not come from: who connects from there is a proxy.
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
# Addresses in one header that are looked at.
_MOST = 20
# A longer header is not remembered, and what is longer is no address.
_SHORT = 100


def client_ip(meta: Mapping[str, Any]) -> Optional[str]:
    """The client's address, as one that PostgreSQL's ``inet`` reads; None if there is none.

    That of the connection, unless it is a proxy of our own (a private address, or a socket): then
    the first valid one in X-Forwarded-For, or X-Real-IP. A proxy that appends to a header that the
    client sent makes that one forgeable, so let it set the header.
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
    """The address without port and zone, and whether it is a private one."""
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
