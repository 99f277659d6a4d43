"""docs/installing.md, walked from its first command to its last in folders of the test's own."""

import os
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import eventually, free_port, require
from tests.source import CHECKOUT

# The machine's own folders, which are the test's here.
PLACES = (
    "/opt/mailgate",
    "/etc/mailgate",
    "/etc/systemd/system",
    "/var/lib/mailgate",
    "/var/backups",
)
# Only root may do so on a machine of their own; here one user does everything.
USERS = (("runuser -u mailgate -- ", ""), (" -o mailgate -g mailgate", ""))
NOT_RUN = ("useradd ", "userdel ", "journalctl ", "systemctl daemon-reload")


class Machine:
    """What the page makes of one: folders, a configuration, and a daemon that systemd would run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = str(free_port())
        self.log = root / "log"
        self.daemon: subprocess.Popen[bytes] | None = None
        # The page installs from the index; here pip has what the tests have, and nothing to fetch.
        self.environment = os.environ | {
            "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }  # fmt: skip
        for place in ("etc/systemd/system", "var/lib/mailgate"):
            (root / place).mkdir(parents=True)

    def here(self, text: str) -> str:
        """Say it for this machine: its folders, its port, its one user."""
        for place in PLACES:
            text = text.replace(place, f"{self.root}{place}")
        for word, instead in USERS:
            text = text.replace(word, instead)
        return text.replace("8025", self.port)

    def run(self, command: str) -> str:
        """Run one command of the page, and return what it printed."""
        if command.startswith(NOT_RUN):
            return ""
        if command.startswith("systemctl "):
            self._systemctl(command.split()[1:])
            return ""
        done = subprocess.run(
            ["sh", "-c", self.here(command)], cwd=CHECKOUT, env=self.environment, timeout=240,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if " -m venv " in command:
            self._lend()
        return done.stdout

    def _lend(self) -> None:
        (site,) = self.root.glob("opt/mailgate/lib/python*/site-packages")
        (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def _systemctl(self, words: list[str]) -> None:
        if words[0] in {"stop", "disable", "restart"}:
            self.stop()
        if words[0] in {"start", "enable", "restart"}:
            unit = (self.root / "etc/systemd/system/mailgate.service").read_text(encoding="utf-8")
            command = re.search("^ExecStart=(.*)$", unit, re.MULTILINE)
            assert command is not None
            with self.log.open("wb") as log:
                self.daemon = subprocess.Popen(self.here(command[1]).split(), cwd="/", stderr=log)
            eventually(self._ready)

    def _ready(self) -> bool:
        assert self.daemon is not None
        assert self.daemon.poll() is None, self.log.read_text()
        return re.search(r"\bready\b", self.log.read_text()) is not None

    def stop(self) -> None:
        """Stop the daemon as systemd does."""
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            assert self.daemon.wait(60) == 0
            self.daemon = None


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def _page() -> list[tuple[str, str, str]]:
    """Return every code block of the page: its section, its language, its text."""
    text = (CHECKOUT / "docs" / "installing.md").read_text(encoding="utf-8")
    blocks = []
    for section in re.split("^## ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        found = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        blocks += [(title, language, block) for language, block in found]
    return blocks


def _commands(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def test_a_gateway_is_installed_used_upgraded_restored_and_removed_as_the_page_says(
    machine: Machine,
) -> None:
    require("swaks")
    files = iter(["mailgate.toml", "services/count.toml"])
    printed: dict[str, str] = {}
    letters = machine.root / "var/lib/mailgate/outgoing/you@example.org/new"
    for section, language, block in _page():
        if language == "toml" and section == "The configuration":
            file = machine.root / "etc/mailgate" / next(files)
            file.write_text(machine.here(block), encoding="utf-8")
        elif language == "toml":
            _takes_its_place(machine, block)
        else:
            for command in _commands(block):
                printed[command] = machine.run(
                    command.replace("words.txt", f"{machine.root}/words")
                )
                if command.startswith("swaks"):
                    eventually(lambda: list(letters.glob("*")))
    assert next(files, None) is None
    (counted,) = [text for command, text in printed.items() if "accat" in command]
    assert counted.split() == ["2", "2", "8"]
    checks = [text for command, text in printed.items() if "mailgate check -c" in command]
    assert [re.sub(r"\S*/etc", "/etc", text) for text in checks] == [
        "/etc/mailgate/mailgate.toml: in order; services: count\n"
    ]
    left = sorted(str(path.relative_to(machine.root)) for path in machine.root.rglob("*"))
    assert [name for name in left if "mailgate" in name] == []


def _takes_its_place(machine: Machine, block: str) -> None:
    """Put the page's other way out into the configuration; it must be in order."""
    file = machine.root / "etc/mailgate/mailgate.toml"
    text = file.read_text(encoding="utf-8")
    before, _, rest = text.partition("[deliver]")
    file.write_text(before + block + "[trust]" + rest.partition("[trust]")[2], encoding="utf-8")
    machine.run(
        "runuser -u mailgate -- /opt/mailgate/bin/mailgate check -c /etc/mailgate/mailgate.toml"
    )
