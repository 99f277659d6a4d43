"""What servers and gateways have logged, each line with its time, for the report of a failed test."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Of each so many characters, its last.
MOST = 20_000

_live: list[tuple[str, Callable[[], str]]] = []
_said: list[tuple[str, str]] = []


@contextmanager
def witness(name: str, log: Callable[[], str]) -> Iterator[None]:
    """Have ``log()`` told of a test that fails within the block, or while it lasts."""
    one = (name, log)
    _live.append(one)
    try:
        yield
    except BaseException:
        # When the test is reported its folder may be gone.
        _said.append(_asked(one))
        raise
    finally:
        _live.remove(one)


def heard() -> list[tuple[str, str]]:
    """Return what each has logged, of those that have ended by a failure, too; this forgets them."""
    told = [*_said, *map(_asked, _live)]
    _said.clear()
    return told


def ends(files: Iterable[Path]) -> str:
    """Return the last lines of several logs, as far as there are any."""
    found = [f"{path.name}:\n{path.read_text(errors='replace')[-5000:]}" for path in files]
    return "\n".join(found)


def _asked(one: tuple[str, Callable[[], str]]) -> tuple[str, str]:
    name, log = one
    text = ""
    with suppress(OSError):
        text = log()
    return f"log of {name}", text[-MOST:]
