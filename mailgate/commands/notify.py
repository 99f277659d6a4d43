"""Choose which mails come of the job besides its result.

`start` is a mail when it starts, `progress` one at each quarter of it that is done, `end` the
result alone; `every 7d` is one every seven days, that says how it stands; `none` is nothing but the
result. Several stand on one line. What is chosen takes the place of what was chosen before.
"""

from datetime import timedelta

from mailgate.commands.call import Call, meant, unfit
from mailgate.model import Answer, Notify
from mailgate.parse.amounts import interval
from mailgate.parse.general import OFTEN
from mailgate.phases import ACTIVE
from mailgate.saying import Saying
from mailgate.spool import notices
from mailgate.spool.database import Tx

usage = ("notify start", "notify progress", "notify end", "notify every 7d", "notify none")
by_owner_alone = True
meant_by = ("mail", "tell", "inform", "subscribe")

_TAKES = Saying("commands/notify")
_OFTEN = Saying("commands/every", least=OFTEN, line="notify every 7d")
_LONGEST = timedelta(days=3650)


def execute(tx: Tx, call: Call) -> Answer:
    """Write down what is to be told."""
    wanted = _wanted(call.words)
    if isinstance(wanted, Saying):
        return unfit(call, wanted, near=meant(call, _fits))
    chosen, every = wanted
    if call.job.phase not in ACTIVE:
        return Answer(kind="notify", facts={"ended": call.job.ended}, wrong=True)
    notices.tell(tx, call.job.id, notify=chosen, every=every)
    return Answer(kind="notify", facts={**_SAMPLE, "chosen": sorted(chosen), "every": every})


def _fits(words: tuple[str, ...]) -> bool:
    return not isinstance(_wanted(words), Saying)


def _wanted(given: tuple[str, ...]) -> tuple[frozenset[Notify], timedelta | None] | Saying:
    """Return what is chosen, and how often; or what is expected instead."""
    words = [word.strip(",;").lower() for word in given if word.strip(",;") != "and"]
    chosen, every = frozenset[Notify](), None
    while words:
        word = words.pop(0)
        if word == "every" and words:
            every = _span(words)
            if every is None:
                return _OFTEN
        elif word in set(Notify):
            chosen |= {Notify(word)}
        elif word != "none" or len(given) > 1:
            return _TAKES
    return (chosen, every) if given else _TAKES


def _span(words: list[str]) -> timedelta | None:
    """Take a time off the front of the words: ``7d``, ``7 days``, ``week``."""
    for count in (2, 1):
        try:
            span = interval(" ".join(words[:count]))
        except ValueError:
            continue
        del words[:count]
        return span if OFTEN <= span <= _LONGEST else None
    return None


_SAMPLE: dict[str, object] = {"ended": None, "chosen": [], "every": None}
samples = (
    Answer(kind="notify", facts=_SAMPLE),
    *(Answer(kind="notify", facts={**_SAMPLE, "chosen": [word]}) for word in Notify),
    Answer(kind="notify", facts={**_SAMPLE, "chosen": ["start"], "every": timedelta(days=7)}),
)
