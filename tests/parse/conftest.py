"""Mails made on the spot, and the mails of others where they are to be had."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailgate.model import Message
from mailgate.parse.message import read_message

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def corpora() -> Path:
    folder = Path(os.environ.get("MAILGATE_CORPORA", CHECKOUT.parent / "shared" / "corpora"))
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder} (MAILGATE_CORPORA)")
    return folder


@pytest.fixture(scope="session")
def read() -> Callable[..., Message]:
    """Read a mail given as text with LF (sent as CRLF), or as bytes as they stand."""

    def read_it(mail: str | bytes) -> Message:
        raw = mail if isinstance(mail, bytes) else mail.replace("\n", "\r\n").encode("utf-8")
        return read_message(io.BytesIO(raw))

    return read_it


@pytest.fixture
def calls_of() -> Callable[[Callable[[], object]], int]:
    """Count the Python lines that a call executes: its work, whatever else the machine does."""

    def count(work: Callable[[], object]) -> int:
        lines = 0

        def trace(_frame: object, event: str, _argument: object) -> object:
            nonlocal lines
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            work()
        finally:
            sys.settrace(before)
        return lines

    return count
