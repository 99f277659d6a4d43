"""mailgate purge: remove what has expired, and what crashes left behind; the daemon does it too."""

from functools import partial

from mailgate.cli.looking import spool_of
from mailgate.cli.options import parser
from mailgate.config import Config, load_places
from mailgate.janitor import Janitor, committing
from mailgate.spool import appointments
from mailgate.spool.reserve import spending
from mailgate.spool.store import Folder


def run(words: list[str]) -> int:
    """Sweep once, and print what went."""
    given = parser("purge", __doc__).parse_args(words)
    config = load_places(given.config)
    return spending(Folder(config.gateway.spool), partial(_purge, config))


def _purge(config: Config) -> int:
    with spool_of(config) as connection:
        janitor = Janitor(config, Folder(config.gateway.spool))
        write = committing(connection)
        # Who purges believes the clock, and the daemon that runs beside goes on by it, too.
        write(appointments.believe)
        print(janitor.sweep(connection.view, write, strays=True))
    return 0
