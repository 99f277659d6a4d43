"""Have others told of the job: they get its result, and the mails that `notify` chooses.

Whom the gateway's operator knows is told at once. Others are asked by a letter first, and hear
nothing more unless they agree. Who is told may also give commands about the job, such as
`cancel`, but for `destroy`, `notify` and `watch`. `watch` alone names who is told.
"""

from mailgate.commands import lifetime
from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.parse.general import watcher
from mailgate.phases import ENDED
from mailgate.saying import Saying
from mailgate.spool import watchers, watching
from mailgate.spool.database import Tx
from mailgate.spool.watching import Named

usage = ("watch", "watch bob@example.org")
by_owner_alone = True
meant_by = ("cc", "forward", "share")

_TAKES = Saying("commands/addresses")


def execute(tx: Tx, call: Call) -> Answer:
    """Name them; who may not be told without being asked is asked."""
    found = {word: watcher(word.strip("<>,;")) for word in call.words if word.strip("<>,;")}
    if not all(found.values()):
        people = [who for who in found.values() if who]
        return unfit(call, _TAKES, near=" ".join([call.name, *people]) if people else "")
    if not found:
        known = watchers.named(tx, call.job.id)
        named = {who: Named.TOLD if told else Named.ASKED for who, told in known.items()}
        return Answer(kind="watch", facts=_facts(named))
    if gone := lifetime.gone(call, tx.now):
        return gone
    by = watching.rule(call.config, call.services, call.job.service)
    named = {who: watching.name(tx, call.job, who, by) for who in found.values() if who}
    done = any(
        one in {Named.TOLD, Named.ALREADY, Named.ASKED, Named.LATER} for one in named.values()
    )
    ended = call.job.phase in ENDED
    return Answer(kind="watch", facts=_facts(named, new=True, ended=ended), wrong=not done)


def _facts(named: dict[str, Named], *, new: bool = False, ended: bool = False) -> dict[str, object]:
    people = [{"who": who, "named": str(one)} for who, one in named.items()]
    return {"new": new, "ended": ended, "watchers": people}


samples = (
    Answer(kind="watch", facts=_facts({})),
    *(
        Answer(kind="watch", facts=_facts({"bob@example.org": one}, new=new, ended=ended))
        for new, ended in ((False, False), (True, False), (True, True))
        for one in Named
    ),
)
