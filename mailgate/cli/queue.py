"""mailgate queue: list the letters that are not out, or came back; try one again, or drop one."""

from datetime import UTC, datetime

from mailgate import said
from mailgate.cli.looking import spool_of
from mailgate.cli.options import complain, listing, parser, whole
from mailgate.config import Deliver, load_places
from mailgate.deliver.caps import Caps
from mailgate.model import LetterState
from mailgate.spool import letters, unsent
from mailgate.spool.database import View
from mailgate.spool.due import left
from mailgate.spool.letters import Queued

_NONE = 1
_HEADING = ("id", "state", "recipient", "kind", "job", "tries", "next try", "last words")

_NEITHER = {
    None: "there is none, or it is sent",
    LetterState.PLANNED: (
        "it has no words yet; that is tried by itself, at least every 5 minutes while the gateway"
        " runs, and the list tells what is in the way"
    ),
    LetterState.WAITING: "it waits to be sent; only a held one can be dropped",
}


def run(words: list[str]) -> int:
    """Print one line a letter, below a heading at a terminal."""
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
        _list(connection.view, config.deliver)
    return 0


def _list(view: View, deliver: Deliver) -> None:
    now = datetime.now(UTC)
    caps = Caps(each=deliver.letters_an_hour_each, in_all=deliver.letters_an_hour)
    if caps.on:
        caps.load(left(view, now=now), wall=now, now=now.timestamp())
    rows = (
        (
            letter.id,
            f"{letter.state:<7}",
            letter.recipient,
            letter.kind,
            letter.job,
            "1 try" if letter.tries == 1 else f"{letter.tries} tries",
            letter.next_try,
            _capped(letter, caps, deliver, now) or letter.last_words,
        )
        for letter in letters.queue(view)
    )
    listing(_HEADING, rows)


def _capped(letter: Queued, caps: Caps, deliver: Deliver, now: datetime) -> str:
    """Say why a letter waits that is due: so many have left within the hour."""
    if letter.state is not LetterState.WAITING or not letter.next_try or letter.next_try > now:
        return ""
    if not caps.room(now.timestamp()):
        return (
            f"waits: {said.counted(deliver.letters_an_hour or 0, 'letter')} left within an hour,"
            " the most that [deliver] letters_an_hour lets"
        )
    if letter.recipient.lower() in caps.full():
        return (
            f"waits: {said.counted(deliver.letters_an_hour_each or 0, 'letter')} left for"
            f" {letter.recipient} within an hour, the most that [deliver] letters_an_hour_each lets"
        )
    return ""
