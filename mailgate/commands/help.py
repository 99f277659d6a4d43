"""Tell what can be asked of the gateway: all commands, or one command, or one service."""

from mailgate.commands import registry
from mailgate.commands.call import Call
from mailgate.model import Answer, Identity
from mailgate.saying import Saying
from mailgate.services import Service, takes
from mailgate.settings.kinds import mistyped, nearest
from mailgate.spool.database import Tx

usage = ("help", "help COMMAND", "help SERVICE")
about_a_job = False
at_any_address = True
by_mail_alone = True
meant_by = ("commands", "usage", "info", "man", "?")


def execute(_: Tx, call: Call) -> Answer:
    """Tell of everything, or of the one thing that is named."""
    name = " ".join(call.words).lower()
    if not name:
        return Answer(kind="help", facts={"commands": _commands()})
    if name in registry.names():
        return _help(name)
    theirs = {n: s for n, s in call.services.items() if may_use(s, call.who)}
    if name in theirs:
        return Answer(kind="help-service", facts=_service(theirs[name], call))
    near = mistyped(name, registry.names()) or nearest(name, list(theirs)) or ""
    return Answer(kind="help-unknown", facts={"word": name, "near": near}, wrong=True)


def may_use(service: Service, who: Identity | None) -> bool:
    """Tell whether a service is theirs to use; the operator sees all."""
    return who is None or not service.refusal(who)


def _commands() -> list[dict[str, object]]:
    return [
        {"name": c.name, "usage": c.usage, "summary": _plain(c.summary)} for c in registry.every()
    ]


def _help(name: str) -> Answer:
    command = registry.command(name)
    facts = {"name": name, "usage": command.usage, "text": _paragraphs(command.text)}
    return Answer(kind="help-command", facts=facts)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(_plain(part).split()) for part in text.split("\n\n")]


def _plain(text: str) -> str:
    # The help is Markdown, too: its backquotes say nothing in a mail.
    return text.replace("`", '"')


def _service(service: Service, call: Call) -> dict[str, object]:
    return {
        "name": service.name,
        "summary": service.summary,
        "address": f"{service.name}@{call.config.gateway.address.rpartition('@')[2]}",
        "takes": [{"key": t.key, "what": t.what, "summary": t.summary} for t in takes(service)],
    }


_TREE = Saying("parameters/choice", words=("sl", "upgma"))
_HELP = {"name": "help", "usage": ["help"]}
samples = (
    Answer(kind="help", facts={"commands": [{**_HELP, "summary": "Tell what there is"}]}),
    Answer(kind="help-command", facts={**_HELP, "text": ["Tell what there is."]}),
    Answer(
        kind="help-service",
        facts={
            "name": "align",
            "summary": "Align protein sequences",
            "address": "align@gate.example.org",
            "takes": [
                {"key": "sequences", "what": Saying("inputs/attachment"), "summary": ""},
                {"key": "tree", "what": _TREE, "summary": "how the tree is made"},
            ],
        },
    ),
    Answer(
        kind="help-service",
        facts={
            "name": "true",
            "summary": "Do nothing",
            "address": "true@gate.example.org",
            "takes": [],
        },
    ),
    Answer(kind="help-unknown", facts={"word": "aline", "near": "align"}, wrong=True),
    Answer(kind="help-unknown", facts={"word": "xyzzy", "near": ""}, wrong=True),
)
