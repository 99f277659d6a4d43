"""What all commands have in common: configuration, slips of the finger, streams, privileges."""

import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import tomllib
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest

from mailgate import __version__
from mailgate.cli import main
from mailgate.model import LetterKind, Plan, Progress
from mailgate.spool import jobs, letters
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, direct
from tests.daemon import TRUE, eventually
from tests.spool.made import a_job, ended

CONFIG = """
[gateway]
address = "jobs@gate.example.org"
min_free = "1 MiB"
[listen.pipe]
trust = true
[deliver.maildir]
path = "outgoing"
"""
MAIL = (
    "From: Zo\u00eb <ada@example.org>\nList-Id: caf\u00e9\nMessage-ID: <1@example.org>\n\n".encode()
)
SITE = Site("jobs", "gate.example.org")
ROOT = str(Path(main.__file__).parents[2])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway that holds one mail."""
    return made(tmp_path)


def made(folder: Path) -> Path:
    (folder / "services").mkdir()
    (folder / "services" / "true.toml").write_text(TRUE)
    file = folder / "mailgate.toml"
    file.write_text(CONFIG)
    with direct(Folder(folder / "spool"), SITE):
        pass
    return file


def told(*words: object) -> int:
    return main._main([str(word) for word in words])


def shell(line: str, *words: object, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of the shell's, where $MAILGATE is the command."""
    return subprocess.run(
        ["sh", "-c", line.replace("$MAILGATE", '"$0" -m mailgate.cli.main'), sys.executable, *map(str, words)],
        input=MAIL, capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": ROOT, **more},
    )  # fmt: skip


# --- what a command needs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["jobs"], ["hold", "list"], ["queue"], ["purge"], ["backup", "copy"], ["explain", "x"],
     ["job", "x"], ["cancel", "x"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_an_operator_looks_into_a_spool_whose_services_and_relay_are_broken(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    monkeypatch.chdir(config.parent)
    (config.parent / "services" / "broken.toml").write_text("command = [")
    relay = '[deliver]\ncourier = "smtp"\n[deliver.smtp]\nuser = "u"\npassword_file = "not here"\n'
    config.write_text(CONFIG + relay)
    assert told(words[0], "-c", config, *words[1:]) in {0, 1}
    assert "broken.toml" not in capsys.readouterr().err


@pytest.mark.parametrize("slip", ["[gateway]\nadress = 1", "[gateway]\naddress='a@b.c'\n[run]\nfoldr = 1",
                                  "[gateway]\naddress='a@b.c'\n[rnu]\nfolder = 'x'"])  # fmt: skip
def test_no_command_takes_another_spool_or_jobs_folder_for_a_slip(
    config: Path, capsys: pytest.CaptureFixture[str], slip: str
) -> None:
    config.write_text(slip)
    assert told("purge", "-c", config) == 78
    assert "there is no such" in capsys.readouterr().err


# --- the command line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["hold", "show", "99999999999999999999999"],
        ["hold", "release", "9223372036854775808"],
        ["hold", "delete", "-1"],
        ["hold", "shred", "1"],
        ["hold"],
        ["queue", "--retry", "9" * 5000],
        ["queue", "--drop", "x"],
        ["jobs", "--last", "99999999999999999999999"],
        ["jobs", "--last", "0"],
        ["jobs", "--nothing"],
        ["cancel", "k7q2m5xzab3c", "k7q2m5xzab3d"],
        ["read", "x"],
        ["serve", "now"],
        ["jbos"],
        ["--nothing"],
        [],
    ],
    ids=lambda words: " ".join(words)[:20] or "no word",
)
def test_a_slip_in_the_command_line_exits_64_whatever_the_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(*words) == 64
    assert "".join(capsys.readouterr()).startswith("mailgate")


def test_a_slip_in_the_mail_servers_line_costs_no_mail() -> None:
    assert told("receive", "--nothing") == 75


@pytest.mark.parametrize(
    "words",
    ["-c FILE hold list", "-cFILE hold list", "--config FILE hold list", "--config=FILE hold list",
     "hold -c FILE list", "hold list -c FILE", "-c nothing hold -c FILE list"],
)  # fmt: skip
def test_the_configuration_is_named_before_or_after_the_command(config: Path, words: str) -> None:
    assert told(*(word.replace("FILE", str(config)) for word in words.split())) == 0


def test_the_version_is_the_packages(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert told("--version") == 0
    assert capsys.readouterr().out == f"mailgate {__version__}\n"


def test_bytes_that_are_no_characters_name_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("explain", "job", "cancel"):
        assert told(name, "-c", config, "\udcff") == 1
    assert told("jobs", "-c", "/\udcff") == 78
    assert "cannot be read" in capsys.readouterr().err


def test_a_command_without_a_job_asks_for_its_id_alone(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("status", "keep"):
        assert told(name, "-c", config) == 64
        assert "required: ID\n" in capsys.readouterr().err


def test_how_long_a_job_is_kept_and_may_run_is_told_as_it_is_written(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with direct(Folder(config.parent / "spool"), SITE) as spool:
        job = a_job(spool)
    assert told("keep", "-c", config, job, "1d") == 0
    assert told("limit", "-c", config, job, "90m") == 0
    told("job", "-c", config, job)
    shown = capsys.readouterr().out
    assert "kept  for=1d by=" in shown
    assert "limited  work=90m by=" in shown


def test_what_a_job_is_given_of_the_machine_is_shown_and_what_of_it_was_asked_for(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(argv=("true",), cores=8, memory=1 << 30, queue="long", asked=("cores",))
    with direct(Folder(config.parent / "spool"), SITE) as spool:
        job = a_job(spool, plan=plan)
    assert told("job", "-c", config, job) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cores", "8", "as", "asked"] in rows
    assert ["memory", "1073741824"] in rows
    assert ["queue", "long"] in rows
    told("job", "-c", config, "--json", job)
    assert json.loads(capsys.readouterr().out)["gpus"] == 0


def test_a_letter_is_explained_by_its_own_message_id(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with direct(Folder(config.parent / "spool"), SITE) as spool:
        job = a_job(spool)
        ended(spool, job)
        (plan,) = letters.planned(spool.view, besides=(), limit=9)
        told("explain", "-c", config, plan.message_id)
        name = f"letter {plan.id} (result) to ada@example.org"
        shown = capsys.readouterr().out
        assert f"{name} is about job {job}\n" in shown
        assert f"{name} PLANNED, not tried yet\n" in shown
        with spool.transaction() as tx:
            tx.execute("UPDATE letter SET tries = 2, last_words = '450 later'")
            tx.note("deferred", job=job, detail=f"letter={plan.id} 450 later")
            tx.note("deferred", job=job, detail=f"letter={plan.id}0 451 another")
    assert told("explain", "-c", config, plan.message_id.strip("<>")) == 0
    shown = capsys.readouterr().out
    assert f"{name} PLANNED after 2 tries: 450 later\n" in shown
    assert f"deferred: letter={plan.id} 450 later\n" in shown
    assert "another" not in shown
    assert "not tried" not in shown


def test_a_job_that_has_ended_is_not_shown_as_if_it_went_on(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with direct(Folder(config.parent / "spool"), SITE) as spool:
        job = a_job(spool)
        with spool.transaction() as tx:
            jobs.progressed(tx, jobs.fetch(tx, job), Progress(percent=99, words="last"))
        told("job", "-c", config, job)
        assert re.search(r"^progress +99", capsys.readouterr().out, re.MULTILINE)
        ended(spool, job)
    told("job", "-c", config, job)
    assert "progress" not in capsys.readouterr().out


def test_a_letter_that_cannot_be_tried_or_dropped_is_told_why(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with direct(Folder(config.parent / "spool"), SITE) as spool, spool.transaction() as tx:
        for message in (1, 2, 3):
            letters.answer(tx, message=message, recipient="a@b", kind=LetterKind.UNCLEAR, facts={})
        for letter in (2, 3):
            letters.composed(tx, letter, size=1, body=b"x", file=None)
        letters.sent(tx, 3, "250")
    told("queue", "-c", config, "--retry", 1)
    assert "letter 1: it has no words yet; that is tried by itself" in capsys.readouterr().err
    told("queue", "-c", config, "--drop", 2)
    assert "letter 2: it waits to be sent; only a held one" in capsys.readouterr().err
    told("queue", "-c", config, "--retry", 3)
    assert "letter 3: there is none, or it is sent" in capsys.readouterr().err
    told("queue", "-c", config, "--retry", 4)
    assert "letter 4: there is none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        (["hold", "list"], ["id", "taken", "sender", "Message-ID or SHA-256", "reason"]),
        (["queue"], ["id", "state", "recipient", "kind", "job", "tries", "next try", "last words"]),
    ],
    ids=["hold", "queue"],
)
def test_a_list_has_a_heading_at_a_terminal_and_none_for_a_program(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], heading: list[str]
) -> None:
    line = 'printf %s "$2" | $MAILGATE receive -c "$1" --recipient true@gate.example.org'
    assert shell(line, config, MAIL.decode()).returncode == 0
    with direct(Folder(config.parent / "spool"), SITE) as spool, spool.transaction() as tx:
        letters.answer(tx, message=1, recipient="a@b", kind=LetterKind.UNCLEAR, facts={})
    assert told(*words, "-c", config) == 0
    (row,) = capsys.readouterr().out.splitlines()
    seen, terminal = pty.openpty()
    with open(terminal, "w") as screen, redirect_stdout(screen):  # noqa: PTH123 - a descriptor
        assert told(*words, "-c", config) == 0
    said = b""
    # What is written in one go is not read in one from a terminal.
    while said.count(b"\n") < 2:
        said += os.read(seen, 10_000)
    above, below = said.decode().splitlines()
    os.close(seen)
    assert re.split("  +", above) == heading
    assert re.split("  +", below) == re.split("  +", row)


# --- streams ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [">/dev/full", ">&-"], ids=["full", "closed"])
def test_an_answer_that_cannot_be_written_is_no_success(where: str) -> None:
    done = shell(f"$MAILGATE --version {where}")
    assert done.returncode == 74
    assert done.stderr.startswith(b"mailgate: standard output cannot be used: ")
    assert b"Traceback" not in done.stderr


def test_a_mail_is_taken_whatever_becomes_of_the_log_and_listed_on_any_terminal(
    config: Path,
) -> None:
    to = "true@gate.example.org"
    # Closed: no file that is opened may become standard error.
    for where in ("2>&-", "2>/dev/full", "2>&- >&-"):
        done = shell(f'$MAILGATE receive -c "$1" --recipient "$2" {where}', config, to)
        assert (done.returncode, done.stderr) == (0, b"")
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = shell('$MAILGATE hold list -c "$1"', config, **ascii_only)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"List-Id: caf\\xe9") == 3


def opened(process: int) -> dict[str, str]:
    """What a process has open, by its number."""
    found = {}
    for number in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            found[number.name] = str(number.readlink())
    return found


def test_no_socket_of_a_daemon_becomes_its_standard_error(config: Path) -> None:
    line = 'exec "$0" -m mailgate.cli.main serve -c "$1" <&- >&- 2>&-'
    environment = {**os.environ, "PYTHONPATH": ROOT}
    with subprocess.Popen(["sh", "-c", line, sys.executable, config], env=environment) as daemon:
        try:
            eventually(lambda: "socket:" in "".join(opened(daemon.pid).values()))
            first = [opened(daemon.pid)[number] for number in "012"]
        finally:
            daemon.kill()
    assert first == [os.devnull] * 3


def test_a_mail_that_does_not_come_is_not_taken(config: Path) -> None:
    done = shell('$MAILGATE receive -c "$1" --recipient true@gate.example.org <&-', config)
    assert done.returncode == 75
    assert b"standard input, which the mail comes by, cannot be read" in done.stderr


# --- other people's files ---------------------------------------------------------------------------

# Once as its owner, so that all is imported; then as somebody who may not even read Python's files.
AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from mailgate.cli import main
file, place = sys.argv[1:]
words = (["hold", "list", "-c", file], ["receive", "-c", file, "--recipient", "true@gate.example.org"])
for command in words:
    main._main(command)
Path(place).chmod(0)
if os.geteuid() == 0:
    os.seteuid(65534)
print(*map(main._main, words))
"""


@pytest.mark.parametrize("place", ["spool", "spool/spool.db"])
def test_a_spool_of_somebody_else_is_told(place: str) -> None:
    # Not in tmp_path, which nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        config = made(folder)
        (folder / "spool").chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY_ELSE, config, folder / place],
            input=MAIL, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": ROOT},
        )  # fmt: skip
        (folder / place).chmod(0o700)
    said = done.stderr.decode()
    assert done.stdout.split()[-2:] == [b"70", b"75"], said
    assert f"mailgate: the spool {folder}/spool cannot be used: " in said
    assert "; be the gateway's user" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", main.names())
def test_every_file_that_is_offered_as_a_command_is_one(name: str) -> None:
    assert callable(main.command(name))
