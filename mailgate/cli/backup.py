"""mailgate backup: write a consistent copy of the live spool into an empty folder."""

from pathlib import Path

from mailgate.cli.looking import spool_of
from mailgate.cli.options import complain, parser
from mailgate.config import load_places
from mailgate.spool.backup import backup
from mailgate.spool.store import Folder

_NOT_WHOLE = 74


def run(words: list[str]) -> int:
    """Copy database, mail, letters, inputs and the jobs' folders; exit 73 where it cannot.

    Exit 74 where a mail or an input that is still needed could not be read: each is named.
    """
    made = parser("backup", __doc__)
    made.add_argument(
        "folder", metavar="DIR", type=Path, help="a folder that is empty or not there"
    )
    given = made.parse_args(words)
    config = load_places(given.config)
    with spool_of(config) as connection:
        left_out = backup(connection, Folder(config.gateway.spool), config.run.folder, given.folder)
    if left_out.of_jobs:
        complain(f"{left_out.of_jobs} files that jobs left could not be copied")
    for path in left_out.missing:
        complain(f"{path} cannot be read: the copy is without it")
    if left_out.missing:
        return _NOT_WHOLE
    print(f"{given.folder} holds a copy of the spool: start a gateway with it as [gateway] spool")
    return 0
