"""The commands that people give by mail, given by the operator: ``mailgate status ID``."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from mailgate.cli.looking import spool_of, the_job
from mailgate.cli.options import complain, parser, services_of, text
from mailgate.commands import registry
from mailgate.commands.call import Call
from mailgate.config import Config, load_places
from mailgate.errors import BadConfig
from mailgate.janitor import Janitor, committing
from mailgate.log import escaped
from mailgate.reply.live import LOOKED_AT, runs, with_tail
from mailgate.reply.templates import Templates
from mailgate.reply.told import say_of
from mailgate.run.peek import printed
from mailgate.services import Service
from mailgate.spool import jobs
from mailgate.spool.owned import SHORTEST
from mailgate.spool.reserve import spending
from mailgate.spool.store import Folder as SpoolFolder
from mailgate.wording import speaking

_NONE = 1
# For these the room is given up that is set aside.
_FREES_ROOM = frozenset({"cancel", "destroy"})


def names() -> list[str]:
    """Every command that makes sense on the command line."""
    return [command.name for command in registry.every() if not command.by_mail_alone]


def run(name: str, words: list[str]) -> int:
    """Do it, as the operator, and print what came of it; exit 1 where nothing was done."""
    command = registry.command(name)
    given = _parser(command).parse_args(words)
    config = load_places(given.config)
    done = partial(_done, command, given, config)
    if name in _FREES_ROOM:
        return spending(SpoolFolder(config.gateway.spool), done, then=partial(_swept, config))
    return done()


def _swept(config: Config) -> None:
    """Remove what is destroyed by now, without waiting for the daemon."""
    with spool_of(config) as connection:
        janitor = Janitor(config, SpoolFolder(config.gateway.spool))
        janitor.destroy(connection.view, committing(connection))


def _done(command: registry.Command, given: argparse.Namespace, config: Config) -> int:
    said = [text(word) for word in given.words]
    with spool_of(config) as connection, connection.transaction() as tx:
        job = the_job(tx, given.id, shortest=SHORTEST) if command.about_a_job else None
        if command.about_a_job and job is None:
            return _NONE
        lines = [word for word in said if command.takes_lines and ":" in word]
        call = Call(
            name=command.name,
            words=tuple(word for word in said if word not in lines),
            lines=tuple(lines),
            usage=command.usage,
            who=None,
            config=config,
            services=_services(config),
            about=jobs.fetch(tx, job) if job else None,
        )
        answer = command.execute(tx, call)
    if answer.kind == "status":
        found = printed(config.run.folder, runs(answer.facts), LOOKED_AT)
        answer = replace(answer, facts=with_tail(answer.facts, found))
    templates = Templates(config.gateway.templates)
    with speaking(templates.wording):
        shown = templates.say(say_of(answer), 0)
    if answer.wrong:
        complain(shown.rstrip("\n"))
        return _NONE
    print("\n".join(escaped(line) for line in shown.rstrip("\n").split("\n")))
    return 0


def about(name: str) -> str:
    """Say what a command does, in a line."""
    summary = registry.command(name).summary
    return summary[0].lower() + summary[1:]


def _parser(command: registry.Command) -> argparse.ArgumentParser:
    made = parser(command.name, command.text)
    if command.about_a_job:
        made.add_argument("id", metavar="ID", help="the job's id, or its first characters")
    usage = " | ".join(
        line.removeprefix(command.name).strip() for line in command.usage if " " in line
    )
    if not usage:
        made.set_defaults(words=())
        return made
    what = usage.replace("%", "%%")
    # Without a default argparse names it among what is missing, though it may be.
    made.add_argument(
        "words", metavar="WORD", nargs="*", default=(), help=f"what follows it by mail: {what}"
    )
    return made


def _services(config: Config) -> Mapping[str, Service]:
    """Return the services; none where one of them is broken, which `mailgate check` tells."""
    try:
        return services_of(config)
    except BadConfig:
        return {}
