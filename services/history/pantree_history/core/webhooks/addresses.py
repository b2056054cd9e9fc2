"""URLs and addresses to which events may be sent."""

import ipaddress
from urllib.parse import urlsplit

# https://www.rfc-editor.org/rfc/rfc6052: the last 32 bits are an IPv4 address.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
# https://www.rfc-editor.org/rfc/rfc9637: for documentation.
_EXAMPLES = ipaddress.IPv6Network("3fff::/20")
# Public by its number, but answers inside of a network of Azure.
_PLATFORM = ipaddress.IPv4Address("168.63.129.16")
# https://www.rfc-editor.org/rfc/rfc1035, section 2.3.4.
_MAX_LABEL = 63
_MAX_NAME = 253


def is_public(address: str) -> bool:
    """Whether an IP address, or one inside of it, is not private, loopback, link-local, multicast or reserved."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found in _LOCAL_NAT64:
            return False
        if found in _NAT64 or found.ipv4_mapped is not None:
            return _is_global(ipaddress.IPv4Address(found.packed[-4:]))
        inner = [one for one in (found.sixtofour, *(found.teredo or ())) if one is not None]
        return _is_global(found) and all(map(_is_global, inner))
    return _is_global(found)


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address in _EXAMPLES):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and address != _PLATFORM


def _is_name(host: str) -> bool:
    name = host.removesuffix(".")
    return len(name) <= _MAX_NAME and all(0 < len(label) <= _MAX_LABEL for label in name.split("."))


def url_problem(url: str, *, allow_http: bool, allow_private: bool) -> str:
    """What a URL must be so that events may be sent there; empty if it is."""
    schemes = ("https", "http") if allow_http else ("https",)
    if not url.isascii() or any(one.isspace() for one in url):
        return "must be ASCII without spaces; encode other characters"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"must be a URL: {error}"
    if parts.scheme not in schemes or not host:
        return f"must be a URL that begins with {' or '.join(f'{one}://' for one in schemes)} and a host"
    if parts.username is not None or parts.password is not None:
        return "must not contain a user or a password"
    if parts.fragment:
        return "must not contain a fragment"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "" if _is_name(host) else f"must have a host whose parts have 1 to {_MAX_LABEL} characters"
    if not allow_private and not is_public(host):
        return "must not be a private, loopback, link-local or reserved address"
    return ""
