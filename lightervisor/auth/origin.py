"""Which host an address stands for, where clients are counted."""

import ipaddress


def origin(address: str) -> str:
    """The address itself, or the /64 of an IPv6 address, as one host owns all of it; other text is left as it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
