"""Finds the client's address in the connection and in the headers of proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Optional, Union

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
# What is known of each kind of header: cached results.
_MOST_RESULTS = 4096

DEFAULT_HEADERS = ("X-Forwarded-For", "X-Real-IP")
# Headers in which proxies name clients, by their lower-case names.
ADDRESS_HEADERS = (
    "x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip", "cf-connecting-ipv6",
    "true-client-ip", "x-client-ip", "x-cluster-client-ip", "fastly-client-ip",
    "x-original-forwarded-for", "x-envoy-external-address", "x-azure-clientip",
)  # fmt: skip
# The bits that ANONYMIZE_IP = True keeps, of addresses of IPv4 and of IPv6.
DEFAULT_BITS = (24, 48)

# What may be an address in a header, perhaps with its port.
_IN_HEADER = re.compile(r'\[[^\]]*\](?::\d+)?|[^\s,;="]+')

_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Proxies = Union[int, Iterable[str], None]
Bits = tuple[int, int]


class Addresses:
    """Finds clients' addresses behind proxies that are trusted.

    ``proxies`` are networks, or how many proxies stand before this server; None is each private network.
    ``headers`` are searched in their order for the first that the request has. Of what is found only the
    first ``bits`` of IPv4 and IPv6 are kept; None keeps all.
    """

    def __init__(
        self,
        proxies: Proxies = None,
        headers: Iterable[str] = DEFAULT_HEADERS,
        bits: Optional[Bits] = None,
    ) -> None:
        self._bits = bits
        self._count = proxies if isinstance(proxies, int) else None
        self._networks: tuple[_Network, ...] = _OUR_OWN
        if proxies is not None and not isinstance(proxies, int):
            self._networks = tuple(ipaddress.ip_network(it, strict=False) for it in proxies)
        self._keys = tuple("HTTP_" + name.upper().replace("-", "_") for name in headers)
        self._cached = lru_cache(maxsize=_MOST_RESULTS)(self._found)

    def client_ip(self, meta: Mapping[str, Any]) -> Optional[str]:
        """Returns the client's address in a form that PostgreSQL's ``inet`` reads; None if unknown.

        It is the connection's address, unless that is a trusted proxy or a socket. Then the header's
        addresses are read from the last, which the proxy itself has added: the first that is not a
        trusted proxy is the client. What is before it, the client may have sent.
        """
        peer = meta.get("REMOTE_ADDR") or ""
        forwarded = ""
        for key in self._keys:
            forwarded = meta.get(key) or ""
            if forwarded:
                if key == "HTTP_FORWARDED":
                    forwarded = ",".join(_forwarded_for(forwarded))
                break
        return (self._cached if len(forwarded) <= _SHORT else self._found)(peer, forwarded)

    def storable(self, value: Any) -> Optional[str]:
        """Returns an address that IP_CALLABLE returned, as it is stored. Raises ValueError if it is none."""
        if value is None or value == "":
            return None
        address = _address(str(value))
        if address is None:
            raise ValueError(f"{value!r} is not an address")
        return self._text(address)

    def in_header(self, value: str) -> str:
        """Returns the value of a header with no more bits of its addresses than are kept."""
        return _IN_HEADER.sub(self._shortened, value)

    def _shortened(self, found: re.Match[str]) -> str:
        address = _address(found.group()) if len(found.group()) <= _SHORT else None
        if address is None:
            return found.group()
        text = self._text(address)
        return f"[{text}]" if found.group().startswith("[") else text

    def _text(self, address: _Address) -> str:
        if self._bits is not None:
            bits = self._bits[address.version == 6]
            address = ipaddress.ip_network((address, bits), strict=False).network_address
        return str(address)

    def _found(self, connected: str, forwarded: str) -> Optional[str]:
        client = self._client(connected, forwarded)
        return None if client is None else self._text(client)

    def _client(self, connected: str, forwarded: str) -> Optional[_Address]:
        nearest = _address(connected)
        parts = [part for part in forwarded.rsplit(",", _MOST)[-_MOST:] if part.strip()]
        if self._count is not None:
            hops = [nearest, *(_address(part) for part in reversed(parts))]
            at = min(self._count, len(hops) - 1)
            # A proxy that names no address leaves the one that named it.
            known = [hop for hop in hops[: at + 1] if hop is not None]
            return known[-1] if known else None
        client = nearest
        if nearest is not None and not self._is_trusted(nearest):
            return nearest
        for part in reversed(parts):
            address = _address(part) if len(part) <= _SHORT else None
            if address is None:
                break
            client = address
            if not self._is_trusted(address):
                break
        return client

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def _address(text: str) -> Optional[_Address]:
    """Returns the address without port and zone, and one of IPv4 within IPv6 as one of IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _forwarded_for(header: str) -> Iterator[str]:
    """Returns the addresses of a ``Forwarded`` header: ``for=192.0.2.60;proto=http, for="[2001:db8::1]"``."""
    for element in header.split(","):
        for pair in element.split(";"):
            name, _, value = pair.partition("=")
            if name.strip().lower() == "for":
                yield value.strip()


client_ip = Addresses().client_ip
