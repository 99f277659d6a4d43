"""List what can be run here: the services that you may use, and their addresses."""

from mailgate.commands.call import Call, unfit
from mailgate.commands.help import may_use
from mailgate.model import Answer
from mailgate.spool.database import Tx

usage = "services"
about_a_job = False
by_mail_alone = True
meant_by = ("service", "programs", "tools")


def execute(_: Tx, call: Call) -> Answer:
    """List the services of whoever asks."""
    if call.words:
        return unfit(call)
    domain = call.config.gateway.address.rpartition("@")[2]
    theirs = [
        {"name": name, "address": f"{name}@{domain}", "summary": service.summary}
        for name, service in sorted(call.services.items())
        if may_use(service, call.who)
    ]
    return Answer(kind="services", facts={"services": theirs})


samples = (
    Answer(kind="services", facts={"services": []}),
    Answer(
        kind="services",
        facts={
            "services": [
                {
                    "name": "align",
                    "address": "align@gate.example.org",
                    "summary": "Align protein sequences",
                }
            ]
        },
    ),
)
