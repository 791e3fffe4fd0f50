"""The types a configuration value can have. Each checks text and says in LXD's words why it refuses.

A type is an object with a `name` (for the reference page) and `check(value)`, which raises Invalid.
The empty string is never handed to a check: it means "unset".
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lightervisor.config import sizes
from lightervisor.errors import Invalid

_CONTROL = re.compile("[\0-\x08\n-\x1f\x7f-\x9f]")  # terminals obey those above 127, too
TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")


class ValueType(Protocol):
    """What a key's value must look like."""

    @property
    def name(self) -> str:
        """One word for the reference page."""
        ...

    @property
    def has_lines(self) -> bool:
        """Whether a value may have several lines; else it may have no control characters but tabs."""
        ...

    def check(self, value: str, /) -> None:
        """Raise Invalid unless the value has this type."""
        ...


@dataclass(frozen=True)
class Checked:
    """A type made of a name and a function that raises Invalid."""

    name: str
    check: Callable[[str], None]
    has_lines: bool = False


def refuse(text: str) -> Invalid:
    """The error of a value, with the whole sentence given."""
    return Invalid("value", text=text)


def is_true(value: str | None) -> bool:
    """LXD's reading of a boolean: true, 1, yes, on in any case; anything else is false."""
    return (value or "").lower() in TRUE


def _check_bool(value: str) -> None:
    if value.lower() not in TRUE + FALSE:
        raise refuse(f'Invalid value for a boolean "{value}"')


def _check_text(value: str) -> None:
    if "\0" in value:
        raise refuse("Invalid value: a NUL character is not allowed")


def _check_line(value: str) -> None:
    if _CONTROL.search(value):
        raise refuse(f"Invalid value {value!r}: control characters are not allowed")


def _check_int(value: str, called: str = "an integer") -> None:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", value):
        raise refuse(f'Invalid value for {called} "{value}"')


def integer(low: int | None = None, high: int | None = None, called: str = "an integer") -> Checked:
    """A whole number between two bounds, both allowed; `called` is LXD's word for it in its complaint."""

    def check(value: str) -> None:
        _check_int(value, called)
        if (low is not None and int(value) < low) or (high is not None and int(value) > high):
            top = "" if high is None else f" and {high}"
            raise refuse(f"Invalid value {value!r}: must be a number between {low}{top}")

    return Checked("integer", check)


def one_of(*words: str) -> Checked:
    """One of the given words."""

    def check(value: str) -> None:
        if value not in words:
            raise refuse(f'Invalid value "{value}" (not one of [{" ".join(words)}])')

    return Checked("one of " + ", ".join(words), check)


def list_of(inner: ValueType, separator: str = ",") -> Checked:
    """Several values of one type, with spaces around each tolerated."""

    def check(value: str) -> None:
        for part in value.split(separator):
            try:
                inner.check(part.strip())
            except Invalid as error:
                raise refuse(f'Item "{part.strip()}": {error.sentence()}') from error

    return Checked(f"list of {inner.name}", check)


def matching(name: str, pattern: str, complaint: str) -> Checked:
    """Text that a regular expression matches as a whole."""
    compiled = re.compile(pattern)

    def check(value: str) -> None:
        if not compiled.fullmatch(value):
            raise refuse(complaint.format(value=value))

    return Checked(name, check)


def any_of(name: str, *types: ValueType) -> Checked:
    """A value that one of several types accepts; the complaint is the last type's."""

    def check(value: str) -> None:
        for index, kind in enumerate(types):
            try:
                kind.check(value)
            except Invalid:
                if index == len(types) - 1:
                    raise
            else:
                return

    return Checked(name, check)


def _check_size(value: str) -> None:
    sizes.parse(value)


def cpu_set(value: str) -> set[int] | int:
    """The CPUs of "0-3,7" as a set, or the count in "2". Raises Invalid with LXD's text."""
    if re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    chosen: set[int] = set()
    for part in value.split(","):
        found = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise refuse("Invalid CPU limit syntax")
        chosen |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    return chosen


def _check_cpu(value: str) -> None:
    cpu_set(value)


def _check_address(value: str, version: int | None, *, network: bool) -> None:
    complaint = f'Not an IP{f"v{version}" if version else ""} {"network" if network else "address"} "{value}"'
    try:
        parsed = ipaddress.ip_interface(value) if network else ipaddress.ip_address(value)
    except ValueError as error:
        raise refuse(f"invalid CIDR address: {value}" if network else complaint) from error
    if network and "/" not in value:
        raise refuse(f"invalid CIDR address: {value}")
    if version and parsed.version != version:
        raise refuse(complaint)


def address(version: int | None = None) -> Checked:
    """An IP address, of one version or any."""
    return Checked(
        f"IPv{version} address" if version else "address", lambda v: _check_address(v, version, network=False)
    )


def subnet(version: int | None = None) -> Checked:
    """An address with a prefix length, as 10.0.0.1/24."""
    return Checked(f"IPv{version} subnet" if version else "subnet", lambda v: _check_address(v, version, network=True))


def not_yet(inner: Checked, *harmless: str) -> Checked:
    """A type of which only these values are taken so far: an ignored promise would be worse than a refusal."""

    def check(value: str) -> None:
        inner.check(value)
        if value.lower() not in harmless:
            raise refuse(f"Invalid value {value!r}: not supported by this server yet")

    return Checked(inner.name, check)


def _check_uint32(value: str) -> None:
    complaint = f'Invalid value for uint32 "{value}": strconv.ParseUint: parsing "{value}"'
    if not re.fullmatch(r"[0-9]+", value):
        raise refuse(f"{complaint}: invalid syntax")
    if len(value) > 10 or int(value) >= 1 << 32:
        raise refuse(f"{complaint}: value out of range")


def _check_unix_id(value: str) -> None:
    if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) >= (1 << 32) - 1:  # which means "none" to the kernel
        raise refuse("Invalid value for a UNIX ID")


UnixId = Checked("id", _check_unix_id)
Bool = Checked("bool", _check_bool)
Int = Checked("integer", _check_int)
Uint32 = Checked("integer", _check_uint32)
Text = Checked("string", _check_line)
Blob = Checked("blob", _check_text, has_lines=True)
Size = Checked("size", _check_size)
CpuSet = Checked("CPU count or set", _check_cpu)
Address = address()
AddressOrSubnet = any_of("address or subnet", address(), subnet())
MacAddress = matching(
    "MAC address",
    r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}",
    "Invalid MAC address, must be 6 bytes of hex separated by colons",
)
Percentage = matching("percentage", r"[0-9]{1,3}%", "Invalid percentage {value!r}")
Expiry = matching("expiry", r"([0-9]+[MHdwmy])( [0-9]+[MHdwmy])*", "Invalid expiry expression {value!r}")
