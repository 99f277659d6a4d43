"""Replies as the gateway writes them, by a writer of its own: offsets and bytes in plain sight."""

import base64
import binascii
import hashlib
import json
import os
import quopri
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mailgate.client.accat import run

ROOT = Path(__file__).parents[2]
JOB = "k7q2m5xzab3c"
OTHER = "mabcdefghij2"
KEPT_UNTIL = "2026-12-05T14:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Output:
    """A stream, and how its part is written."""

    name: str
    content: bytes
    role: str = "file"
    attached: bool = True
    encoding: str = "base64"
    width: int = 76
    media_type: str = "application/octet-stream"
    naming: str = ""
    sent: bytes | None = None
    """The part's bytes where they are not the content's."""


def stdout(content: bytes, **how) -> Output:
    return Output(name="alignment.fasta", content=content, role="stdout", **how)


def stderr(content: bytes = b"", **how) -> Output:
    return Output(name="stderr.txt", content=content, role="stderr", **how)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A reply to write; ``bytes(result)`` is the mail."""

    outputs: tuple[Output, ...] = ()
    job: str = JOB
    phase: str = "COMPLETED"
    reason: str | None = "exit"
    code: int | None = 0
    signal: int | None = None
    label: str | None = "globins, second try"
    left_out: tuple[str, ...] = ()
    boundary: str = "=_mailgate_7f3a"
    document: dict = field(default_factory=dict)
    json_encoding: str = "base64"
    json_naming: str = 'attachment; filename="job.json"'
    json_type: str = "application/json"
    footer: bytes = b""
    line_end: bytes = b"\r\n"

    def __bytes__(self) -> bytes:
        return self.text.replace(b"\n", self.line_end)

    @property
    def text(self) -> bytes:
        """The mail with LF; contents keep their own line ends only in base64."""
        delimiter = b"--" + self.boundary.encode()
        parts = [_words(), self._job_json()]
        parts += [_part(each) for each in self.outputs if each.attached]
        body = b"".join(delimiter + b"\n" + each + b"\n" for each in parts)
        return self.header + b"\n" + body + self.footer + delimiter + b"--\n"

    @property
    def header(self) -> bytes:
        ended = self.reason is not None
        lines = [
            "From: jobs@gate.example.org",
            "To: ada@example.org",
            f"Subject: [job {self.job}] align: completed",
            "Date: Mon, 23 Nov 2026 09:00:00 +0000",
            "Auto-Submitted: auto-replied",
            "X-Loop: jobs@gate.example.org",
            f"Message-ID: <{self.job}.1@gate.example.org>",
            f"Mailgate-Job: {self.job}",
            f"Mailgate-Phase: {self.phase}",
            *([f"Mailgate-Exit: {self.code}"] if ended else []),
            "MIME-Version: 1.0",
            f'Content-Type: multipart/mixed; boundary="{self.boundary}"',
        ]
        return "".join(line + "\n" for line in lines).encode()

    def _job_json(self) -> bytes:
        document = {
            "mailgate": 1,
            "id": self.job,
            "service": "align",
            "label": self.label,
            "parameters": {"tree": "sl"},
            "phase": self.phase,
            "exit": {"code": self.code, "signal": self.signal},
            "reason": self.reason,
            "errors": [],
            "times": {
                "created": "2026-11-23T08:55:00Z",
                "started": "2026-11-23T08:55:02Z",
                "ended": "2026-11-23T09:00:00Z",
                "kept_until": KEPT_UNTIL,
            },
            "streams": [
                {
                    "role": each.role,
                    "name": each.name,
                    "size": len(each.content),
                    "sha256": hashlib.sha256(each.content).hexdigest(),
                    "attached": each.attached,
                }
                for each in self.outputs
            ],
            "left_out": list(self.left_out),
            **self.document,
        }
        written = json.dumps(document, indent=1).encode() + b"\n"
        return _entity(
            written,
            self.json_encoding,
            media_type=self.json_type,
            disposition=self.json_naming,
        )


def _words() -> bytes:
    return b"Content-Type: text/plain; charset=utf-8\n\nYour job is done.\n"


def _part(output: Output) -> bytes:
    disposition = output.naming or f'attachment; filename="{output.name}"'
    sent = output.content if output.sent is None else output.sent
    return _entity(
        sent,
        output.encoding,
        media_type=output.media_type,
        disposition=disposition,
        width=output.width,
    )


def _entity(
    content: bytes, encoding: str, *, media_type: str, disposition: str, width: int = 76
) -> bytes:
    header = f"Content-Type: {media_type}\n"
    header += f"Content-Disposition: {disposition}\n" if disposition else ""
    header += f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
    return header.encode() + b"\n" + encoded(content, encoding, width)


def encoded(content: bytes, encoding: str, width: int = 76) -> bytes:
    if encoding == "base64":
        plain = base64.b64encode(content)
        if width == 76 and len(content) > 1 << 20:
            return base64.encodebytes(content).rstrip(b"\n")  # at the speed of C
        return b"\n".join(plain[at : at + width] for at in range(0, len(plain), width))
    if encoding == "quoted-printable":
        return quopri.encodestring(content)
    if encoding == "x-uuencode":
        lines = [binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45)]
        return b"begin 644 x\n" + b"".join(lines) + b"`\nend"
    return content


def receipt(job: str = JOB) -> bytes:
    """The receipt: no machine part."""
    return (
        f"From: jobs@gate.example.org\nTo: ada@example.org\nSubject: [job {job}] align: running\n"
        f"Date: Mon, 23 Nov 2026 08:55:00 +0000\nMessage-ID: <{job}.0@gate.example.org>\n"
        "Auto-Submitted: auto-replied\nX-Loop: jobs@gate.example.org\n"
        f"Mailgate-Job: {job}\nMailgate-Phase: QUEUED\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\n\nYour job is waiting.\n"
    ).encode()


def ordinary(number: int = 0) -> bytes:
    """A mail that has nothing to do with any gateway."""
    return (
        f"From: bob@example.com\nTo: ada@example.org\nSubject: lunch {number}\n"
        f"Message-ID: <{number}@example.com>\nDate: Mon, 23 Nov 2026 09:00:00 +0000\n\n"
        "From what I hear, soup.\n"
    ).encode()


def mbox(*mails: bytes) -> bytes:
    """An mboxrd file."""
    written = b""
    for mail in mails:
        quoted = re.sub(rb"(?m)^(>*From )", rb">\1", mail.replace(b"\r\n", b"\n"))
        written += b"From MAILER-DAEMON Mon Nov 23 09:00:00 2026\n" + quoted + b"\n"
    return written


def forwarded(mail: bytes, encoding: str = "7bit", media_type: str = "message/rfc822") -> bytes:
    """A mail that a person sends on as an attachment."""
    inner = encoded(mail, encoding) if encoding == "base64" else mail
    return (
        b"From: ada@example.org\nTo: eve@example.org\nSubject: Fwd: done\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/mixed; boundary="outer"\n\n'
        b"--outer\nContent-Type: text/plain\n\nSee below.\n"
        b"--outer\nContent-Type: " + media_type.encode() + b'; name="done.eml"\n'
        b"Content-Transfer-Encoding: "
        + encoding.encode()
        + b"\nContent-Disposition: attachment\n\n"
        + inner
        + b"\n--outer--\n"
    )


def accat(
    *argv: object, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run accat as a program; ``stdin`` comes through a pipe."""
    return subprocess.run(
        command(*argv),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env=environment(),
    )


def within(*argv: object) -> subprocess.CompletedProcess[bytes]:
    """Run accat within this process, for proofs of many rounds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        kept = [(fd, os.dup(fd)) for fd in (1, 2)]
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            status = run([str(each) for each in argv])
        finally:
            for fd, copy in kept:
                os.dup2(copy, fd)
                os.close(copy)
        return subprocess.CompletedProcess(argv, status, _all(out.fileno()), _all(err.fileno()))


def _all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def command(*argv: object) -> list[str]:
    return [sys.executable, "-m", "mailgate.client.accat", *map(str, argv)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
