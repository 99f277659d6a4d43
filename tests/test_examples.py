"""The examples in etc/ work as they stand: in procmail, in a shell as .forward is run, in Postfix."""

import configparser
import os
import re
import shlex
import shutil
import smtplib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailgate import share
from mailgate.config import LmtpDoor, load
from tests.daemon import TRUE
from tests.servers import Postfix, eventually, folder_for_all, postfix, require
from tests.transplant import transplanted

PROGRAM = "/opt/mailgate/bin/mailgate"
CONFIG = "/etc/mailgate/mailgate.toml"

REQUEST = b"""\
Return-Path: <ada@example.org>
Delivered-To: align@gate.example.org
From: Ada <ada@example.org>
To: align@gate.example.org
Subject: globins
Message-ID: <first@example.org>

label: first
"""


PIPED = """\
[gateway]
address = "jobs@gate.example.org"
services = "{services}"
min_free = "1 MiB"
[listen.pipe]
trust = true
[deliver.maildir]
path = "outgoing"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration whose pipe vouches for From."""
    file = tmp_path / "mailgate.toml"
    file.write_text(PIPED.format(services=share.path("etc", "services")))
    return file


@pytest.fixture
def mailgate(tmp_path: Path) -> Path:
    """Return a program ``mailgate`` in a place that a mail server may name."""
    program = tmp_path / "mailgate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mailgate.cli.main "$@"\n')
    program.chmod(0o755)
    return program


def _adapted(example: str, mailgate: Path, config: Path) -> str:
    """Return an example with its two paths adapted, as its reader would."""
    text = share.path("etc", *example.split("/")).read_text(encoding="utf-8")
    assert PROGRAM in text
    assert CONFIG in text
    return text.replace(PROGRAM, str(mailgate)).replace(CONFIG, str(config))


def _taken(config: Path) -> list[tuple[str, str]]:
    """Return sender and recipient of everything that the spool has taken."""
    with closing(sqlite3.connect(load(config).gateway.spool / "spool.db")) as database:
        return database.execute(
            "SELECT message.address, errand.recipient FROM errand JOIN message"
            " ON message.id = errand.message"
        ).fetchall()


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(share.path())}


def test_the_forward_file_hands_mail_to_the_gateway(mailgate: Path, config: Path) -> None:
    line = _adapted("forward/.forward", mailgate, config).strip()
    command = line.removeprefix('"|').removesuffix('"')
    # As local(8) runs it: by the shell, sender and recipient in the environment too.
    extra = {"SENDER": "ada@example.org", "ORIGINAL_RECIPIENT": "align@gate.example.org"}
    run = subprocess.run(
        ["sh", "-c", command], input=REQUEST, env=_environment() | extra, check=False
    )
    assert run.returncode == 0
    assert _taken(config) == [("ada@example.org", "align")]


def test_the_forward_file_says_who_is_refused(mailgate: Path, config: Path) -> None:
    line = _adapted("forward/.forward", mailgate, config).strip()
    command = shlex.split(line.removeprefix('"|').removesuffix('"'))
    mail = REQUEST.replace(b"Delivered-To: align@", b"Delivered-To: nobody@")
    run = subprocess.run(command, input=mail, env=_environment(), check=False)
    assert run.returncode == 65


def _procmail(tmp_path: Path, mailgate: Path, config: Path, mail: bytes) -> int:
    recipe = tmp_path / "procmailrc"
    recipe.write_text(_adapted("procmail/procmailrc", mailgate, config))
    recipe.chmod(0o600)
    # procmail drops the environment; the program brings what it needs.
    mailgate.write_text(mailgate.read_text().replace("exec", f"PYTHONPATH={share.path()} exec"))
    return subprocess.run(
        [require("procmail"), recipe], input=mail, cwd=tmp_path, check=False
    ).returncode


def test_the_procmail_recipe_hands_mail_to_the_gateway(
    tmp_path: Path, mailgate: Path, config: Path
) -> None:
    assert _procmail(tmp_path, mailgate, config, REQUEST) == 0
    assert _taken(config) == [("ada@example.org", "align")]


def test_the_procmail_recipe_gives_a_refused_mail_back(
    tmp_path: Path, mailgate: Path, config: Path
) -> None:
    mail = REQUEST.replace(b"Delivered-To: align@", b"Delivered-To: nobody@")
    assert _procmail(tmp_path, mailgate, config, mail) == 65


def test_postfix_understands_the_pipe(tmp_path: Path, mailgate: Path, config: Path) -> None:
    postconf = require("postconf")
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "master.cf").write_text(_adapted("postfix/master.cf", mailgate, config))
    told = subprocess.run(
        [postconf, "-c", tmp_path, "-Mf"], capture_output=True, text=True, check=True
    )
    assert "--recipient=${recipient}" in told.stdout
    assert told.stderr == ""


def test_postfix_understands_the_transport(tmp_path: Path) -> None:
    postconf = require("postconf")
    for name in ("main.cf", "master.cf"):
        shutil.copy(share.path("etc", "postfix", name), tmp_path / name)
    told = subprocess.run(
        [postconf, "-c", tmp_path, "-n"], capture_output=True, text=True, check=True
    )
    assert "transport_maps = hash:/etc/postfix/transport" in told.stdout
    # Else Postfix hands pipe(8) several recipients at once, which "flags=D" never takes.
    assert "mailgate_destination_recipient_limit = 1" in told.stdout
    # Else who writes to an address that does not exist hears of it after days.
    assert "unverified_recipient_reject_code = 550" in told.stdout
    assert "unused parameter" not in told.stderr
    way = subprocess.run(
        [require("postmap"), "-c", tmp_path, "-q", "gate.example.org"]
        + [f"texthash:{share.path('etc', 'postfix', 'transport')}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert way.stdout.strip() == f"lmtp:[{LmtpDoor().host}]:{LmtpDoor().port}"


@pytest.fixture
def mx() -> Iterator[tuple[Postfix, Path]]:
    """Run a Postfix with the example's lines for the pipe, and its gateway, as user nobody."""
    with transplanted() as opt, folder_for_all("mailgate-gate-") as home:
        config = home / "mailgate.toml"
        (home / "services").mkdir()
        for name in ("first", "second"):
            (home / "services" / f"{name}.toml").write_text(TRUE)
        config.write_text(PIPED.format(services="services"))
        shutil.chown(home, "nobody")
        (home / "transport").write_text("gate.example.org mailgate:\n")
        main = share.path("etc", "postfix", "main.cf").read_text(encoding="utf-8")
        pipe = _adapted("postfix/master.cf", opt / "bin" / "mailgate", config)
        with postfix(
            # Who meets a table that postmap(1) has not made yet dies.
            extra=main.replace("hash:/etc/postfix/transport", f"texthash:{home / 'transport'}"),
            services=pipe.replace("user=mailgate", "user=nobody"),
        ) as running:
            yield running, config


def test_postfix_pipes_a_mail_to_each_recipient_and_keeps_what_cannot_be_taken_now(
    mx: tuple[Postfix, Path],
) -> None:
    running, config = mx
    right = config.read_text()
    config.write_text(right.replace("min_free", "mni_free"))
    recipients = ["first@gate.example.org", "second@gate.example.org"]
    with smtplib.SMTP("127.0.0.1", running.port, timeout=60) as session:
        session.sendmail("ada@example.org", recipients, REQUEST)
        eventually(lambda: running.log().count("status=deferred") == 2)
        config.write_text(right)
        running.flush()
        session.sendmail("ada@example.org", ["nobody@gate.example.org"], REQUEST)
    eventually(lambda: not running.queue() and "status=bounced" in running.log())
    assert sorted(_taken(config)) == [("ada@example.org", "first"), ("ada@example.org", "second")]
    assert len(re.findall("relay=mailgate.*status=sent", running.log())) == 2
    (bounced,) = re.findall("to=<nobody@.*status=bounced (.*)", running.log())
    assert "no service" in bounced


def test_the_largest_mail_of_the_postfix_example_is_the_gateways() -> None:
    text = share.path("etc", "postfix", "main.cf").read_text(encoding="utf-8")
    limit = re.search(r"message_size_limit = (\d+)", text)
    door = load(share.path("etc", "mailgate.toml")).smtp
    assert limit is not None
    assert door is not None
    assert door.max_size <= int(limit[1]) <= door.max_size + (2 << 20)


def test_no_example_is_shipped_unproved() -> None:
    top = share.path("etc")
    shipped = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    here = {"forward/.forward", "procmail/procmailrc", "systemd/mailgate.service"}
    here |= {f"dovecot/{name}" for name in ("README.md", "09-mailgate.conf")}
    here |= {f"postfix/{name}" for name in ("README.md", "main.cf", "master.cf", "transport")}
    here |= {"examples/tree.toml", "examples/blastp.toml"}  # through a cluster, in tests/walk/
    by_the_readme = {"mailgate.toml", "services/align.toml"}
    by_the_readme |= {f"demo/{name}" for name in ("align.py", "demo.py", "globins.fa")}
    assert {name for name in shipped if "__pycache__" not in name} == here | by_the_readme


def test_systemd_has_nothing_to_say_against_the_unit(
    tmp_path: Path, mailgate: Path, config: Path
) -> None:
    unit = tmp_path / "mailgate.service"
    unit.write_text(_adapted("systemd/mailgate.service", mailgate, config))
    told = subprocess.run(
        [require("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False
    )
    assert (told.stdout, told.stderr, told.returncode) == ("", "", 0)


def test_the_systemd_unit_lets_jobs_live_on() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment]  # keys are case-sensitive there
    unit.read(share.path("etc", "systemd", "mailgate.service"))
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["KillMode"] == "process"
    # It drains within ten seconds; systemd must not cut it short.
    assert int(service["TimeoutStopSec"]) > 10
    assert service["RestartPreventExitStatus"] == "78"
    assert service["ExecStart"].split()[1] == "serve"
