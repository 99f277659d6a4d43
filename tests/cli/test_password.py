"""mailgate password: a file of users that is never half written, and tells nobody a password."""

import os
import pty
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mailgate.errors import BadConfig
from mailgate.model import User
from mailgate.users import Users

CONFIG = """
[gateway]
address = "jobs@gate.example.org"
[listen.smtp]
tls_cert = "cert.pem"
tls_key = "key.pem"
users = "users"
[deliver.maildir]
path = "outgoing"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    # No certificate is there yet: that is no reason to have no users.
    (tmp_path / "mailgate.toml").write_text(CONFIG)
    return tmp_path / "mailgate.toml"


def password(
    config: Path, *words: str, stdin: bytes = b"secret one\n"
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mailgate.cli.main", "password", "-c", config, *words],
        input=stdin,
        capture_output=True,
        check=False,
    )


def test_a_user_that_is_an_address_writes_as_that(config: Path):
    told = password(config, "ada@example.org")
    assert told.returncode == 0, told.stderr
    assert b"may log in, and write as ada@example.org" in told.stdout
    users = Users.read(config.parent / "users")
    ada = User(name="ada@example.org", addresses=("ada@example.org",))
    found = users.check("Ada@Example.org", "secret one")
    assert found is not None
    assert found.user == ada
    assert users.check("ada@example.org", "Secret one") is None
    assert stat.S_IMODE((config.parent / "users").stat().st_mode) == 0o600
    assert b"secret one" not in (config.parent / "users").read_bytes()


def test_a_new_password_keeps_the_addresses_unless_others_are_named(config: Path):
    password(config, "ada", "ada@example.org", "lab@example.org")
    password(config, "bob", "bob@example.org")
    assert password(config, "ADA", stdin="sécret one\r\n".encode()).returncode == 0
    users = Users.read(config.parent / "users")
    assert len(users) == 2
    found = users.check("ada", "sécret one")
    assert found is not None
    assert found.user == User(name="ADA", addresses=("ada@example.org", "lab@example.org"))
    password(config, "ada", "other@example.org")
    again = Users.read(config.parent / "users").check("ada", "secret one")
    assert again is not None
    assert again.user.addresses == ("other@example.org",)


def test_a_deleted_user_logs_in_no_more(config: Path):
    password(config, "ada@example.org")
    assert password(config, "--delete", "Ada@example.org").returncode == 0
    assert not Users.read(config.parent / "users")
    again = password(config, "--delete", "ada@example.org")
    assert (again.returncode, again.stderr.count(b"there is no user")) == (1, 1)


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (["ada"], b"x\n", "name those that the user may write as"),
        (["ada", "example.org"], b"x\n", "no mail address"),
        (["ada", "ada@example.org, eve@example.org"], b"x\n", "no mail address"),
        (["ada", "Ada <ada@example.org>"], b"x\n", "no mail address"),
        (["ada\u00e9@example.org"], b"x\n", "no name to log in with"),
        (["a b", "ada@example.org"], b"x\n", "no name to log in with"),
        (["#ada", "ada@example.org"], b"x\n", "no name to log in with"),
        (["", "ada@example.org"], b"x\n", "no name to log in with"),
        (["ada@example.org"], b"", "8 characters or more"),
        (["ada@example.org"], "sécret7\n".encode(), "a shorter one is soon guessed"),
        (["ada@example.org"], b"x" * 256 + b"\n", "at most 255 bytes"),
        (["ada@example.org"], b"\xff" * 8 + b"\n", "not UTF-8"),
        (["ada@example.org"], b"a\0bcdefgh\n", "NUL"),
    ],
)
def test_a_slip_changes_nothing(config: Path, words: list[str], stdin: bytes, told: str):
    done = password(config, *words, stdin=stdin)
    assert done.returncode == 64
    assert told in done.stderr.decode()
    assert not (config.parent / "users").exists()


def test_without_a_place_for_users_the_key_is_named(config: Path):
    config.write_text(CONFIG.replace('users = "users"\n', ""))
    done = password(config, "ada@example.org")
    assert done.returncode == 78
    assert b'[listen.smtp] has no key "users"' in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ada secret ada@example.org", ":2: the second word is no hash"),
        ("ada", ":2: a user, a hash and an address do not all stand here"),
    ],
)
def test_a_file_that_cannot_be_read_is_not_written_over(config: Path, line: str, told: str):
    file = config.parent / "users"
    file.write_text(f"# mine\n{line}\n")
    done = password(config, "bob@example.org")
    assert done.returncode == 78
    assert told in done.stderr.decode()
    assert file.read_text() == f"# mine\n{line}\n"
    with pytest.raises(BadConfig, match=re.escape(told)):
        Users.read(file)


def test_users_that_are_made_at_once_are_all_there(config: Path):
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: password(config, f"u{n}@example.org"), range(6)))
    assert [one.returncode for one in done] == [0] * 6
    assert len(Users.read(config.parent / "users")) == 6
    assert sorted(path.name for path in config.parent.iterdir()) == ["mailgate.toml", "users"]


def test_the_file_stays_with_its_owner(config: Path):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    (config.parent / "spool").mkdir()
    os.chown(config.parent / "spool", 65534, 65534)
    password(config, "ada@example.org")
    assert (config.parent / "users").stat().st_uid == 65534
    os.chown(config.parent / "users", 1, 1)
    password(config, "bob@example.org")
    assert (config.parent / "users").stat().st_uid == 1


@pytest.mark.parametrize(("again", "status"), [("secret one", 0), ("sceret one", 64)])
def test_a_terminal_is_asked_twice_and_shows_nothing(config: Path, again: str, status: int):
    words = [sys.executable, "-m", "mailgate.cli.main", "password", "-c", str(config), "a@b.org"]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, words)
    shown = b""
    for prompt, typed in ((b"New password of a@b.org: ", "secret one"), (b"Again: ", again)):
        while prompt not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, f"{typed}\n".encode())
    _, came = os.waitpid(child, 0)
    os.set_blocking(terminal, False)
    with suppress(OSError):
        shown += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(came) == status
    assert b"cret" not in shown
    assert (config.parent / "users").exists() == (status == 0)
