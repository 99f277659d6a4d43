"""The spool's places on a real disk: who may see them, who may make them."""

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailgate.errors import Permanent
from mailgate.spool.database import Connection
from mailgate.spool.store import Folder, direct
from tests.spool.conftest import SITE


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_spool_that_others_could_read_is_shut(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.root.mkdir()
    folder.root.chmod(0o755)
    with direct(folder, SITE):
        pass
    folder.database.chmod(0o644)
    with direct(folder, SITE):
        pass
    assert (mode(folder.root), mode(folder.database)) == (0o700, 0o600)
    told = capsys.readouterr().err.splitlines()
    assert f"shut path={folder.root} was=0755" in told
    assert f"shut path={folder.database} was=0644" in told


def test_a_spool_is_not_made_by_who_only_asks(folder: Folder) -> None:
    with (
        pytest.raises(Permanent, match="'mailgate serve' makes a spool"),
        direct(folder, SITE, make=False),
    ):
        pass
    assert not folder.root.exists()


@pytest.mark.parametrize("content", [b"", b"x" * 31], ids=["empty", "short"])
def test_a_damaged_secret_is_refused(folder: Folder, content: bytes) -> None:
    folder.make()
    folder.secret.write_bytes(content)
    with pytest.raises(Permanent, match=f"secret has {len(content)} bytes, not 32"):
        folder.make()


def test_the_secret_is_made_once_and_leaves_no_draft(folder: Folder, spool: Connection) -> None:
    made = folder.secret.read_bytes()
    folder.make()
    assert folder.secret.read_bytes() == made
    assert len(made) == 32
    assert not list(folder.root.glob("secret.*"))


def test_a_new_secret_of_a_spool_that_was_there_is_told(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    with direct(folder, SITE):
        pass
    assert "renewed" not in capsys.readouterr().err
    folder.secret.unlink()
    folder.make()
    assert f"renewed path={folder.secret} reason=" in capsys.readouterr().err
    folder.make()
    assert "renewed" not in capsys.readouterr().err


def test_what_a_savepoint_would_take_back_is_not_written_to_a_file(spool: Connection) -> None:
    with spool.transaction() as tx:
        tx.insert("body", message=1, bytes=b"x" * 100_000)
        tx.execute("SAVEPOINT one")
        tx.execute("UPDATE body SET bytes = ? WHERE message = 1", b"y" * 100_000)
        # SQLite's own name for a file that nobody else is to see.
        assert not any("etilqs_" in name for name in open_files())
        tx.execute("RELEASE one")


def open_files() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(link.readlink())
