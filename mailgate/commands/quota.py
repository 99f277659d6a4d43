"""Tell what you may have under way and send within a day, and how much of it is used."""

from collections.abc import Iterator

from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.spool import quotas
from mailgate.spool.database import Tx
from mailgate.spool.quotas import Rule
from mailgate.spool.turns import Turns

usage = "quota"
about_a_job = False
by_mail_alone = True
meant_by = ("quotas", "limits")


def execute(tx: Tx, call: Call) -> Answer:
    """Tell the quotas that whoever asks falls under, but those of all people together."""
    if call.words or call.who is None:
        return unfit(call)
    rules = quotas.rules(call.config.quota, call.services.values(), call.who)
    mine = [rule for rule in rules if rule.who is not None]
    rows = [
        {"what": what, "service": rule.service, "used": used, "most": most}
        for rule in mine
        if rule.service is None or not call.services[rule.service].refusal(call.who)
        for what, used, most in _stand(tx, call, rule)
    ]
    return Answer(kind="quota", facts={"rows": rows})


def _stand(tx: Tx, call: Call, rule: Rule) -> Iterator[tuple[str, int, int]]:
    yield from quotas.stand(tx, rule, now=tx.now)
    if rule.quota.running is not None and rule.who is not None:
        turns = Turns(quota=call.config.quota, services=call.services)
        yield "running", turns.running(tx)[turns.share(rule.who, rule.service)], rule.quota.running


_WHATS = ("waiting", "running", "jobs_a_day", "bytes_a_day")
samples = (
    Answer(kind="quota", facts={"rows": []}),
    Answer(
        kind="quota",
        facts={
            "rows": [
                {"what": what, "service": service, "used": 3, "most": 10}
                for what in _WHATS
                for service in (None, "align")
            ]
        },
    ),
)
