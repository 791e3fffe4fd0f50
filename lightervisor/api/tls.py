"""TLS that asks for a client certificate and takes any: who is trusted is decided for each request, not here.

Python's `ssl` refuses certificates that no authority has signed and gives no way in between, and LXD's clients sign
their own. So OpenSSL is driven by pyOpenSSL, behind the `wrap_bio` of an `ssl.SSLContext` that event loops call.
What a client shows is still proven: a handshake without the certificate's private key fails.
"""

import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from lightervisor.errors import HostError

_PARTIAL_WRITES = 1  # SSL_MODE_ENABLE_PARTIAL_WRITE: a call for each record
_RECORD = 16 << 10
_BLOCK = 256 << 10
# No renegotiation: a client could make the server sign for ever. No tickets: what was revoked must not be resumed.
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2
# Those of TLS 1.3 in the order of Go's servers: OpenSSL has the slower AES first.
_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


class Context(ssl.SSLContext):
    """The server's side of TLS, at least 1.2. Thread-safe as long as nobody replaces the certificate."""

    def __new__(cls, certificate: Path, key: Path) -> "Context":  # noqa: D102
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read certificate, with what signed it behind it, and key, both PEM. Raises HostError for what is no pair."""
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.set_min_proto_version(SSL.TLS1_2_VERSION)
        self.context.set_options(_OPTIONS)
        self.context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self.context.set_cipher_list(_CIPHERS)
        self.context.set_tls13_ciphersuites(_SUITES)
        self.context.clear_mode(_PARTIAL_WRITES)
        self.context.set_verify(SSL.VERIFY_PEER, _take)
        try:
            leaf, *signers = x509.load_pem_x509_certificates(certificate.read_bytes())
            self.context.use_certificate(leaf)
            for signer in signers:
                self.context.add_extra_chain_cert(signer)
            private: Any = load_pem_private_key(key.read_bytes(), None)
            self.context.use_privatekey(private)
            self.context.check_privatekey()
        except (ValueError, TypeError, SSL.Error) as error:
            cause = f"{certificate} and {key} are not a certificate and its key in PEM"
            raise HostError("server certificate", cause=cause, remedy="mend both, or move both away") from error

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *_: object, **__: object) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # event loops ask for no more than `Session` has
        """One connection's state, with ciphertext going through two buffers of the event loop."""
        return Session(self.context, incoming, outgoing)


def _take(*_: object) -> bool:
    return True


class Session:
    """What event loops use of `ssl.SSLObject`, its errors included."""

    def __init__(self, context: SSL.Context, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._connection = SSL.Connection(context)
        self._connection.set_accept_state()
        self._is_fed = False
        self._certificates: list[bytes] | None = None

    def certificates(self) -> list[bytes]:
        """What the client has shown, in DER, its own first; [] when it has shown none."""
        if self._certificates is None:
            # Not as cryptography's objects: OpenSSL takes what that library refuses.
            leaf = self._connection.get_peer_certificate()
            shown = [] if leaf is None else [leaf, *(self._connection.get_peer_cert_chain() or [])]
            chain = [crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in shown]
            self._certificates = list(dict.fromkeys(chain))
        return self._certificates

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises SSLWantReadError, SSLError."""
        self._fill()
        try:
            self._connection.do_handshake()
        except SSL.Error as error:
            raise self._translated(error) from error
        finally:
            self._flush()

    def read(self, size: int = _BLOCK, buffer: Any = None) -> Any:
        """Plaintext, or its length when it goes into a buffer; empty at the end. Raises SSLWantReadError, SSLError."""
        self._fill()
        try:
            if buffer is None:
                return self._connection.recv(min(size, _RECORD))  # no more comes at once
            return self._connection.recv_into(buffer, size)
        except SSL.ZeroReturnError:
            return b"" if buffer is None else 0
        except SSL.Error as error:
            raise self._translated(error) from error

    def write(self, data: Any) -> int:
        """Encrypt all of it; how much that was. Raises SSLError."""
        try:
            return self._connection.send(data)
        except SSL.Error as error:
            raise self._translated(error) from error
        finally:
            self._flush()

    def unwrap(self) -> None:
        """Say goodbye. Raises SSLWantReadError until the client has done so too."""
        self._fill()
        try:
            is_answered = self._connection.shutdown()
        except SSL.Error as error:
            raise self._translated(error) from error
        finally:
            self._flush()
        if not is_answered:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the client has not said goodbye yet")

    def pending(self) -> int:
        """How much plaintext is there already, in bytes: a record's worth while there may be one not decrypted yet.

        Event loops look here and at `incoming`, which is empty as soon as OpenSSL has been given all.
        """
        return self._connection.pending() or (_RECORD if self._is_fed else 0)

    def getpeercert(self, binary_form: bool = False) -> bytes | dict[str, Any] | None:  # as in `ssl`
        """The client's certificate, only in DER."""
        shown = self.certificates()
        return (shown[0] if shown else None) if binary_form else {}

    def cipher(self) -> tuple[str, str, int] | None:
        """Name of the cipher, version of the protocol, bits."""
        name = self._connection.get_cipher_name()
        return (name, self.version(), self._connection.get_cipher_bits() or 0) if name else None

    def version(self) -> str:
        """The protocol's version, such as "TLSv1.3"."""
        return self._connection.get_protocol_version_name()

    def compression(self) -> None:
        """None: there is none."""

    def _fill(self) -> None:
        while data := self._incoming.read(_BLOCK):
            self._connection.bio_write(data)
            self._is_fed = True
        if self._incoming.eof:
            self._connection.bio_shutdown()

    def _flush(self) -> None:
        try:
            while data := self._connection.bio_read(_BLOCK):
                self._outgoing.write(data)
                if len(data) < _BLOCK:
                    return
        except SSL.WantReadError:
            return

    def _translated(self, error: SSL.Error) -> ssl.SSLError:
        match error:
            case SSL.WantReadError():
                self._is_fed = False
                return ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more is needed from the client")
            case SSL.ZeroReturnError():
                return ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "the client has said goodbye")
            case SSL.SysCallError():
                return ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the client has gone")
            case _:
                reasons = [reason for _, _, reason in error.args[0]] if error.args else []
                return ssl.SSLError(ssl.SSL_ERROR_SSL, ", ".join(reasons) or "TLS failed")
