"""Signing letters (DKIM, RFC 6376) with the operator's key: flat in memory, whatever their size.

The one module that knows dkimpy, which is imported only where letters are signed. The library signs
whole messages; here it is given the header and the body's hash, which is taken while the letter is
written, and it does the rest: canonical header, signature, folding.
"""

import base64
import hashlib
import io
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from mailgate.config import Dkim
from mailgate.errors import BadConfig

SIGNATURE_MOST = 2048
"""A signature's header takes no more bytes: of a key of 8192 bits 1368, and its list of names."""

# A letter up to this is written once and kept; a bigger one is written twice, once for its hash.
_KEPT = 256 << 10

_SIGNED = (
    "from", "to", "subject", "date", "message-id", "in-reply-to", "references", "reply-to",
    "mime-version", "content-type", "content-transfer-encoding", "auto-submitted", "mailgate-job",
    "mailgate-phase", "mailgate-exit",
)  # fmt: skip


class Out(Protocol):
    """Where bytes go."""

    def write(self, block: bytes, /) -> object:
        """Take the next bytes, all of them."""


class Signer:
    """Signs letters with one key; may be used by several threads at once."""

    def __init__(self, settings: Dkim) -> None:
        """Read the key.

        Raises
        ------
        BadConfig
            It cannot be read or is none, or dkimpy is not installed.
        """
        self._domain = settings.domain.encode()
        self._selector = settings.selector.encode()
        try:
            self._key = settings.key_file.read_bytes().replace(b"\r\n", b"\n")
        except OSError as error:
            message = f"deliver.dkim.key_file: {settings.key_file}: {error.strerror}"
            raise BadConfig(message) from error
        try:
            self.header(b"From: <>\r\n", b"", datetime.fromtimestamp(0).astimezone())
        except ImportError as error:
            message = "[deliver.dkim] wants the package dkimpy: install mailgate[dkim]"
            raise BadConfig(message) from error
        except Exception as error:
            # Whatever a file holds that is no key makes the library fail in its own ways.
            message = f"deliver.dkim.key_file: {settings.key_file} holds no private RSA key in PEM"
            raise BadConfig(message) from error

    def write(self, compose: Callable[[Out], None], out: Out, *, at: datetime) -> None:
        """Write what ``compose`` writes, its signature before it.

        ``compose`` may be called twice, and writes the same bytes each time: CRLF line ends.
        """
        seen = _Seen()
        compose(seen)
        out.write(self.header(bytes(seen.head), seen.digest(), at))
        if seen.kept is not None:
            out.write(seen.kept.getvalue())
        else:
            compose(out)

    def header(self, head: bytes, body_digest: bytes, at: datetime) -> bytes:
        """Return the DKIM-Signature field of a letter: its header, its body's SHA-256, when.

        Each name is signed once more than it stands there, so that none can be added. There is no
        ``l=``: nothing can be added to the body either.
        """
        import dkim  # noqa: PLC0415 - an optional library
        from dkim.canonicalization import CanonicalizationPolicy  # noqa: PLC0415
        from dkim.crypto import parse_pem_private_key  # noqa: PLC0415

        signer = dkim.DKIM(head + b"\r\n", signature_algorithm=b"rsa-sha256")
        signer.hasher = hashlib.sha256
        present = [name.lower() for name, _ in signer.headers]
        names = [name.encode() for name in _SIGNED]
        signed = [name for name in present if name in names] + names
        policy = CanonicalizationPolicy.from_c_value(b"relaxed/simple")
        fields = [
            (b"v", b"1"),
            (b"a", b"rsa-sha256"),
            (b"c", b"relaxed/simple"),
            (b"d", self._domain),
            (b"q", b"dns/txt"),
            (b"s", self._selector),
            (b"t", str(int(at.timestamp())).encode()),
            (b"h", b" : ".join(signed)),
            (b"bh", base64.b64encode(body_digest)),
            # So long that it begins a line: what stands before it is folded as it will be.
            (b"b", b"0" * 60),
        ]
        key = parse_pem_private_key(self._key)
        value: bytes = signer.gen_header(fields, tuple(signed), policy, b"DKIM-Signature", key)
        return b"DKIM-Signature: " + value


class _Seen:
    """A letter on its way: its header, and the SHA-256 of its body in the "simple" form.

    That form ends in one line end, whatever stood there (RFC 6376 section 3.4.3). ``kept``: the
    whole letter, as long as it is small.
    """

    def __init__(self) -> None:
        self.head = bytearray()
        self.kept: io.BytesIO | None = io.BytesIO()
        self._body = False
        self._hash = hashlib.sha256()
        self._ends = b""

    def write(self, block: bytes, /) -> None:
        if self.kept is not None:
            self.kept.write(block)
            if self.kept.tell() > _KEPT:
                self.kept = None
        if self._body:
            self._feed(block)
            return
        self.head += block
        end = self.head.find(b"\r\n\r\n")
        if end >= 0:
            self._body = True
            self._feed(bytes(self.head[end + 4 :]))
            del self.head[end + 2 :]

    def _feed(self, block: bytes) -> None:
        block = self._ends + block
        text = block.rstrip(b"\r\n")
        self._ends = block[len(text) :]
        if text:
            self._hash.update(text)

    def digest(self) -> bytes:
        self._hash.update(b"\r\n")
        return self._hash.digest()
