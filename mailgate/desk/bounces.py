"""What mail that came back does: it can have its own letter sent again, or held; nothing else."""

from datetime import timedelta

from mailgate.config import Deliver
from mailgate.deliver.outbox import after_bounce, smaller
from mailgate.model import Bounce, Fate, LetterState
from mailgate.spool import mail, returned
from mailgate.spool.database import Tx


def take(
    tx: Tx, deliver: Deliver, waiting: mail.Waiting, errand: tuple[int, str], bounce: Bounce
) -> str:
    """Do what a message that came back for one letter means, once; return what was done.

    The tag is a secret of whoever has had the letter, and a bounce may be forged all the same: it
    touches a letter that is out, and no other; it takes nothing away. ``errand`` is the number and
    the recipient, ``bounce.TAG``.
    """
    number, recipient = errand
    letter = returned.letter_of(tx, recipient.removeprefix("bounce."))
    if mail.first_act(tx, waiting, number, recipient, waiting.key) is not None:
        done = "duplicate"
    elif letter is None or letter.state is not LetterState.SENT:
        done = "noted: its letter is not out"
    elif bounce.fate is Fate.UNKNOWN:
        if not waiting.released:
            mail.keep_for_operator(tx, number, f"came back for letter {letter.id}: {bounce}")
            return "held"
        done = "noted"
    else:
        done = _acted(tx, deliver, letter, bounce)
    mail.settle(tx, number, reason=f"{done}: {bounce}" if str(bounce) else done)
    return done


def _acted(tx: Tx, deliver: Deliver, letter: returned.Returned, bounce: Bounce) -> str:
    if bounce.fate is Fate.NOTED:
        return "noted"
    pause = after_bounce(deliver.retry, letter.bounces + 1, within=deliver.give_up)
    if bounce.fate is Fate.TEMPORARY and letter.useful and pause is not None:
        returned.again(tx, letter, pause=pause, words=str(bounce))
        return f"sent again in {_seconds(pause)} s"
    limit = smaller(letter.size) if bounce.fate is Fate.TOO_BIG and letter.useful else None
    if limit is not None and returned.too_big(tx, letter, limit=limit, words=str(bounce)):
        return f"composed again in {limit} bytes"
    returned.failed(tx, letter, words=str(bounce))
    return "bounced"


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():g}"
