"""A terminal that a test types into and reads: tmux on a socket of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.daemon import eventually
from tests.servers import require


@dataclass(frozen=True)
class Terminal:
    """One window of 100 columns and 40 lines, in which one program runs."""

    socket: Path

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names for them; what is no name is typed as it stands."""
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        """What stands on the screen; nothing once the program has ended."""
        return self._tmux("capture-pane", "-p", check=False)

    def shows(self, text: str, within: float = 30) -> str:
        """Wait until ``text`` stands on the screen; return the screen."""
        eventually(lambda: text in self.screen(), within, self.screen)
        return self.screen()

    def ended(self, within: float = 30) -> None:
        """Wait until the program has ended."""
        eventually(lambda: not self._tmux("list-panes", check=False), within, self.screen)

    def _tmux(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [require("tmux"), "-S", self.socket, "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            check=check,
            timeout=30,
        )
        return done.stdout


@contextmanager
def terminal(folder: Path, *words: str | Path, **environment: str) -> Iterator[Terminal]:
    """Run a program in a terminal for as long as the block lasts."""
    opened = Terminal(folder / "tmux")
    sizes = ("-x", "100", "-y", "40")
    settings = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
    opened._tmux("new-session", "-d", *sizes, *settings, "--", *map(str, words))
    try:
        yield opened
    finally:
        opened._tmux("kill-server", check=False)
