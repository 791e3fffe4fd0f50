"""The trust password: how it is stored, how it is compared, and how fast it may be guessed.

Stored as LXD does: 32 bytes of salt and 64 bytes of scrypt (N 16384, r 8, p 1), in hexadecimal.
Source: LXD REST API, authentication.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from lightervisor.auth.origin import origin
from lightervisor.errors import Failure

SALT_BYTES, HASH_BYTES = 32, 64
GUESSES, GUESSES_OF_ALL, WINDOW_S = 10, 100, 60.0


class TooManyGuesses(Failure):
    """Wrong secrets came too fast."""

    status, slug = 429, "too-many-guesses"


def hashed(password: str) -> str:
    """A password as it is stored; takes about 50 ms."""
    salt = secrets.token_bytes(SALT_BYTES)
    return (salt + _scrypt(password, salt)).hex()


def matches(password: str, stored: str) -> bool:
    """Whether a password is the one that was stored; takes about 50 ms."""
    try:
        raw = bytes.fromhex(stored)
    except ValueError:
        return False
    if len(raw) != SALT_BYTES + HASH_BYTES:
        return False
    return hmac.compare_digest(_scrypt(password, raw[:SALT_BYTES]), raw[SALT_BYTES:])


def _scrypt(password: str, salt: bytes) -> bytes:
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=1 << 14, r=8, p=1, maxmem=64 << 20, dklen=HASH_BYTES)


class Guesses:
    """Counts wrong secrets by address, and of all addresses together: 10 and 100 a minute.

    An IPv6 address counts with its /64, as one host owns all of it. Memory is bounded by the limit of all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guesses: list[tuple[float, str]] = []

    def admit(self, address: str) -> None:
        """Count a guess as wrong before it is looked at, so that many at once do not slip through.

        Raises TooManyGuesses for one that comes too soon.
        """
        since = self._clock() - WINDOW_S
        self._guesses = [guess for guess in self._guesses if guess[0] > since]
        own = [when for when, whose in self._guesses if whose == origin(address)]
        if len(own) >= GUESSES or len(self._guesses) >= GUESSES_OF_ALL:
            oldest = own[0] if len(own) >= GUESSES else self._guesses[0][0]
            wait_s = max(1, round(oldest - since))
            raise TooManyGuesses(
                "trust password", text="Too many wrong passwords or tokens", remedy=f"try again in {wait_s} s"
            )
        self._guesses.append((self._clock(), origin(address)))

    def forgive(self, address: str) -> None:
        """The guess was right: what this address got wrong before is forgotten."""
        self._guesses = [guess for guess in self._guesses if guess[1] != origin(address)]
