"""mailgate queue: list the letters that are not out yet; try one again at once, or drop one."""

from mailgate.cli.options import complain, line, parser, spool_of, whole
from mailgate.config import load_places
from mailgate.spool import letters

_NONE = 1


def run(words: list[str]) -> int:
    """Print one line a letter: id, state, recipient, kind, job, tries, next try, last words."""
    made = parser("queue", __doc__)
    made.add_argument("--retry", type=whole, metavar="ID", help="try this letter again now")
    made.add_argument("--drop", type=whole, metavar="ID", help="never send this held letter")
    given = made.parse_args(words)
    config = load_places(given.config)
    with spool_of(config) as connection:
        if given.retry is not None:
            with connection.transaction() as tx:
                found = letters.retry_now(tx, given.retry)
            if not found:
                complain(f"no letter {given.retry} waits or is held")
                return _NONE
        if given.drop is not None:
            with connection.transaction() as tx:
                found = letters.drop(tx, given.drop)
            if not found:
                complain(f"no letter {given.drop} is held")
                return _NONE
        for letter in letters.queue(connection.view):
            line(
                letter.id,
                f"{letter.state:<7}",
                letter.recipient,
                letter.kind,
                letter.job,
                f"{letter.tries} tries",
                letter.next_try,
                letter.last_words,
            )
    return 0
