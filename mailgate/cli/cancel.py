"""mailgate cancel: end a job, by its id or the beginning of one; its sender hears of it."""

from mailgate.cli.looking import spool_of, the_job
from mailgate.cli.options import complain, parser
from mailgate.config import load_places
from mailgate.model import Wish
from mailgate.phases import ACTIVE
from mailgate.spool import jobs, wishes

_NONE = 1


def run(words: list[str]) -> int:
    """Leave the wish; the daemon acts on it. Exit 1 where there is no such job, or it has ended."""
    made = parser("cancel", __doc__)
    made.add_argument("id", metavar="ID", help="the job's id, or its first characters")
    given = made.parse_args(words)
    config = load_places(given.config)
    with spool_of(config) as connection, connection.transaction() as tx:
        job = the_job(tx, given.id)
        if job is None:
            return _NONE
        phase = jobs.phase_of(tx, job)
        if phase not in ACTIVE:
            complain(f"job {job} is {phase} already")
            return _NONE
        wishes.leave(tx, job, Wish.CANCEL)
    print(f"job {job} is {phase}: it will be ended")
    return 0
