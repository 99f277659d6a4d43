"""mailgate hold: see what was taken but not acted on, and release or delete it; or hold a job.

A line each, below a heading at a terminal: id (the log's message=), time, sender, Message-ID or
SHA-256, reason.
"""

import sys

from mailgate.cli import commanding
from mailgate.cli.looking import spool_of
from mailgate.cli.options import add_config, complain, line, listing, parser, whole
from mailgate.config import Config, load_places
from mailgate.log import escaped
from mailgate.spool import holds
from mailgate.spool.database import Connection
from mailgate.spool.reserve import spending
from mailgate.spool.store import Folder

_NONE = 1
_HEADING = ("id", "taken", "sender", "Message-ID or SHA-256", "reason")
_ACTIONS = frozenset({"list", "show", "release", "delete", "-h", "--help"})
_DONE = {
    "release": "is released: the daemon reads it and acts on it, at its next start if it is down",
    "delete": "is deleted: it is not acted on, and its bytes go with the next sweep",
}


def run(words: list[str]) -> int:
    """List, show, release or delete held mail; exit 1 where there is none of that id.

    A single word that is none of these is a job's id: that is held.
    """
    if _names_a_job(words):
        return commanding.run("hold", words)
    made = parser("hold", __doc__)
    actions = made.add_subparsers(dest="action", required=True, metavar="list|show|release|delete")
    add_config(actions.add_parser("list", help="every held mail"))
    for name, told in (
        ("show", "its raw bytes on standard output; on a terminal with control characters escaped"),
        ("release", "read it and act on it, whatever it was held for"),
        ("delete", "let it go"),
    ):
        action = actions.add_parser(name, help=told)
        action.add_argument("id", type=whole, metavar="ID")
        add_config(action)
    given = made.parse_args(words)
    config = load_places(given.config)
    folder = Folder(config.gateway.spool)
    if given.action == "delete":
        return spending(folder, lambda: _act(config, given.action, given.id))
    if given.action == "release":
        return _act(config, given.action, given.id)
    with spool_of(config) as connection:
        if given.action == "list":
            return _list(connection)
        return _show(connection, folder, given.id)


def _names_a_job(words: list[str]) -> bool:
    files = {at + 1 for at, word in enumerate(words) if word in {"-c", "--config"}}
    rest = [w for at, w in enumerate(words) if at not in files and not w.startswith(("-c", "--c"))]
    return len(rest) == 1 and rest[0] not in _ACTIONS


def _list(connection: Connection) -> int:
    rows = ((m.id, m.taken, m.sender, m.key, m.reason) for m in holds.held(connection.view))
    listing(_HEADING, rows)
    return 0


def _show(connection: Connection, folder: Folder, message: int) -> int:
    blocks = holds.raw(connection.view, folder, message)
    if blocks is None:
        return _missing(message)
    for block in blocks:
        if sys.stdout.isatty():
            # A stranger's bytes may not drive the operator's terminal.
            text = block.decode("utf-8", "replace").replace("\r\n", "\n")
            print("\n".join(escaped(line) for line in text.split("\n")), end="")
        else:
            sys.stdout.buffer.write(block)
    sys.stdout.flush()
    return 0


def _act(config: Config, action: str, message: int) -> int:
    with spool_of(config) as connection, connection.transaction() as tx:
        act = holds.release if action == "release" else holds.delete
        trouble = act(tx, message)
    if trouble is not None:
        complain(trouble)
        return _NONE
    line(f"mail {message} {_DONE[action]}")
    return 0


def _missing(message: int) -> int:
    complain(f"no mail {message} is held")
    return _NONE
