"""mailgate queue: list the letters that are not out, or came back; try one again, or drop one."""

from mailgate.cli.looking import spool_of
from mailgate.cli.options import complain, line, parser, whole
from mailgate.config import load_places
from mailgate.model import LetterState
from mailgate.spool import letters, unsent
from mailgate.spool.database import View

_NONE = 1

_NEITHER = {
    None: "there is none, or it is sent",
    LetterState.PLANNED: (
        "it has no words yet; that is tried by itself, at least every 5 minutes while the gateway"
        " runs, and the list tells what is in the way"
    ),
    LetterState.WAITING: "it waits to be sent; only a held one can be dropped",
}


def run(words: list[str]) -> int:
    """Print one line a letter: id, state, recipient, kind, job, tries, next try, last words."""
    made = parser("queue", __doc__)
    made.add_argument("--retry", type=whole, metavar="ID", help="try this letter again now")
    made.add_argument("--drop", type=whole, metavar="ID", help="never send this held letter")
    given = made.parse_args(words)
    config = load_places(given.config)
    with spool_of(config) as connection:
        for letter, act in ((given.retry, unsent.retry_now), (given.drop, unsent.drop)):
            if letter is None:
                continue
            with connection.transaction() as tx:
                if not act(tx, letter):
                    states = {one.id: one.state for one in letters.queue(tx)}
                    complain(f"letter {letter}: {_NEITHER[states.get(letter)]}")
                    return _NONE
        _list(connection.view)
    return 0


def _list(view: View) -> None:
    for letter in letters.queue(view):
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
