"""What the README tells a newcomer to do works as it is printed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest

from tests.servers import eventually, free_port, require
from tests.source import CHECKOUT

PROGRAMS = Path(sys.executable).parent
ENVIRONMENT = os.environ | {"PATH": f"{PROGRAMS}:{os.environ.get('PATH', os.defpath)}"}


def _block(after: str, language: str = "") -> str:
    """Return the README's first code block of a language after some words."""
    _, found, rest = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition(after)
    assert found, f"the README no longer says {after!r}"
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)
    return next(block for written, block in blocks if written == language)


def _shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextmanager
def _serving(folder: Path, command: str) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as file:
        daemon = subprocess.Popen(
            command.split(), cwd=folder, env=ENVIRONMENT, stderr=file, stdin=subprocess.DEVNULL
        )
    try:
        eventually(lambda: " ready " in log.read_text() or daemon.poll() is not None)
        assert daemon.poll() is None, log.read_text()
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0


@pytest.fixture
def newcomer(tmp_path: Path) -> Path:
    """Return a checkout's top as a newcomer has it, with the change that the README asks for."""
    shutil.copytree(CHECKOUT / "etc", tmp_path / "etc")
    config = tmp_path / "etc" / "mailgate.toml"
    trust = _block("let `[trust]`", "toml")
    table, line = trust.strip().splitlines()
    text = config.read_text(encoding="utf-8")
    assert table in text
    config.write_text(text.replace("networks = []", line), encoding="utf-8")
    return tmp_path


def test_a_first_job_goes_as_the_readme_says(newcomer: Path) -> None:
    require("swaks")
    port = str(free_port())
    config = newcomer / "etc" / "mailgate.toml"
    config.write_text(config.read_text().replace("port = 8025", f"port = {port}"))
    commands = _block("gateway of your own").splitlines()
    assert commands[:2] == ["make setup", ". .venv/bin/activate"]
    checked = _shell(commands[2], newcomer)
    assert checked.returncode == 0, checked.stderr
    with _serving(newcomer, commands[3]):
        mail = _block("speaks SMTP").replace("8025", port)
        sent = _shell(mail, newcomer)
        assert sent.returncode == 0, sent.stdout
        eventually(lambda: list(newcomer.glob("spool/outgoing/you@example.org/new/*")))
        assert _shell(mail, newcomer).returncode == 0
        eventually(lambda: len(list(newcomer.glob("spool/outgoing/you@example.org/new/*"))) == 2)
    activate, *count = _block("Maildir folders").splitlines(keepends=True)
    assert activate == ". .venv/bin/activate\n"
    counted = _shell("".join(count), newcomer)
    assert counted.stdout.strip() == "16", counted.stderr
    assert counted.returncode == 0


def test_the_demo_runs_a_real_job_and_leaves_nothing_running(tmp_path: Path) -> None:
    demo = [sys.executable, CHECKOUT / "etc" / "demo" / "demo.py", tmp_path / "demo"]
    run = subprocess.run(demo, capture_output=True, text=True, check=False, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "demo" / "reply.eml").is_file()
    for word in ("taken", "queued", "running", "finished", "reply", "checked", "HBA_HUMAN"):
        assert word in run.stdout
    assert _left_by(tmp_path) == []


def test_a_demo_that_is_stopped_leaves_nothing_running(tmp_path: Path) -> None:
    with _held_demo(tmp_path) as (demo, said):
        demo.send_signal(signal.SIGINT)
        said.read()
        _, complaint = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "stopped" in complaint
    assert _left_by(tmp_path) == []


def test_a_demo_that_is_stopped_while_its_gateway_ends_says_so(tmp_path: Path) -> None:
    with _held_demo(tmp_path) as (demo, said):
        [gateway] = map(int, Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split())
        # The demo waits for somebody who takes its copy of the result.
        reply = tmp_path / "demo" / "reply.eml"
        os.mkfifo(reply)
        assert any("listens" in line for line in said)
        letters = tmp_path / "demo" / "outgoing"
        eventually(lambda: any(b"Mailgate-Exit" in p.read_bytes() for p in letters.glob("*/new/*")))
        os.kill(gateway, signal.SIGSTOP)
        try:
            assert b"alignment" in reply.read_bytes()
            eventually(lambda: _is_told_to_end(gateway))
            demo.send_signal(signal.SIGINT)
        finally:
            os.kill(gateway, signal.SIGCONT)
        said.read()
        _, complaint = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "stopped" in complaint
    assert _left_by(tmp_path) == []


@contextmanager
def _held_demo(folder: Path) -> Iterator[tuple[subprocess.Popen[str], TextIO]]:
    """Run a demo that comes no further than its first words until its output is read."""
    output, full = os.pipe()
    os.set_blocking(full, False)
    with suppress(BlockingIOError):
        while True:
            os.write(full, b"\n" * 4096)
    os.set_blocking(full, True)
    command = [sys.executable, CHECKOUT / "etc" / "demo" / "demo.py", folder / "demo"]
    demo = subprocess.Popen(command, stdout=full, stderr=subprocess.PIPE, text=True)
    os.close(full)
    log = folder / "demo" / "gateway.log"
    with os.fdopen(output, encoding="utf-8") as said:
        try:
            eventually(lambda: log.exists() and " ready " in log.read_text())
            yield demo, said
        finally:
            if demo.poll() is None:
                demo.terminate()
                demo.communicate(timeout=60)


def _is_told_to_end(process: int) -> bool:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"^ShdPnd:\s*(\w+)$", status, re.MULTILINE)
    assert found
    return bool(int(found[1], 16) & 1 << signal.SIGTERM - 1)


def _left_by(folder: Path) -> list[str]:
    """Return every process that still runs with a word of ``folder`` in its command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found
