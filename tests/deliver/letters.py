"""Letters for the couriers' tests."""

from datetime import UTC, datetime
from pathlib import Path

from mailgate.model import Letter

MAIL = (
    b"From: jobs@gate.mg.test\r\nTo: ann@mg.test\r\nSubject: one\r\n\r\n.dot\r\n\r\n..\r\nend\r\n"
)


def letter(
    content: bytes | Path = MAIL,
    *,
    recipient: str = "ann@mg.test",
    sender: str = "jobs+bounce.x7@gate.mg.test",
    number: int = 7,
) -> Letter:
    """Return a letter whose bytes are ``content``, or lie in that file."""
    stored = isinstance(content, Path)
    return Letter(
        id=number,
        recipient=recipient,
        sender=sender,
        message_id=f"<{number}@gate.mg.test>",
        planned=datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC),
        size=content.stat().st_size if stored else len(content),
        body=None if stored else content,
        file=str(content) if stored else None,
    )
