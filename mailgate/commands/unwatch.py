"""Have somebody told of the job no more: the one you name, or yourself if you only watch it.

`unwatch` alone, from the job's owner, means everybody who was named.
"""

from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.parse.general import watcher
from mailgate.saying import Saying
from mailgate.spool import watchers
from mailgate.spool.database import Tx

usage = ("unwatch", "unwatch bob@example.org")
meant_by = ("unsubscribe", "unnotify")

_TAKES = Saying("commands/address-or-nothing")


def execute(tx: Tx, call: Call) -> Answer:
    """Strike them out; a watcher can strike out himself alone."""
    words = [word.strip("<>,;") for word in call.words if word.strip("<>,;")]
    if not all(watcher(word) for word in words):
        return unfit(call, _TAKES)
    if call.who is not None and call.who.key != call.job.owner.key:
        if any(word.lower() != call.who.key for word in words):
            return unfit(call, Saying("commands/own-address"))
        words = [call.who.address]
    chosen = words or list(watchers.named(tx, call.job.id))
    gone = [word for word in chosen if watchers.remove(tx, call.job.id, word)]
    return Answer(kind="unwatch", facts={"gone": gone, "named": words}, wrong=not gone)


samples = (
    Answer(kind="unwatch", facts={"gone": [], "named": []}),
    Answer(kind="unwatch", facts={"gone": [], "named": ["bob@example.org"]}),
    Answer(kind="unwatch", facts={"gone": ["bob@example.org"], "named": []}),
)
