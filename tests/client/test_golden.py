"""The replies that the gateway really writes are read as they stand."""

import email
import email.policy
import json
from pathlib import Path

import pytest

from tests.client.replies import within

FOLDER = Path(__file__).parents[1] / "data" / "replies"
# Parts are not whole by themselves (tests/reply/test_ship.py), nor is text what a library makes of it.
GOLDEN = sorted(
    path
    for path in FOLDER.glob("*.eml")
    if not path.stem.startswith(("result-part-", "result-inline"))
)


def _attachments(path: Path) -> list[bytes]:
    """Return the decoded attachments: job.json first, then the streams."""
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    return [part.get_payload(decode=True) for part in mail.iter_attachments()]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_stream_of_a_golden_reply_comes_out(path: Path, tmp_path: Path) -> None:
    if not (attachments := _attachments(path)):
        assert within(path).returncode == 65
        return
    document, *contents = attachments
    streams = json.loads(document)["streams"]
    ran = within("--no-status", "--extract", tmp_path, path)
    assert ran.returncode == 0
    assert [
        Path(line.split(b"  ")[0].decode()).read_bytes() for line in ran.stdout.splitlines()
    ] == contents
    names = [stream["name"] for stream in streams if stream["attached"]]
    for name, content in zip(names, contents, strict=True):
        assert within("--no-status", "--name", name, path).stdout == content
    listed = within("--no-status", "--list", path).stdout.decode()
    assert all(stream["name"] in listed for stream in streams)


def test_there_are_golden_replies() -> None:
    assert len(GOLDEN) > 10
