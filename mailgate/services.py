"""Services: what the operator lets people run by mail, one file ``NAME.toml`` each.

The tables and keys are declared here, in `mailgate.settings.rules` and in
`mailgate.settings.parameters`. `load_all` refuses whatever could only fail later, all mistakes at
once; `plan` binds a clear request to an argv.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mailgate.errors import BadConfig
from mailgate.log import escaped
from mailgate.model import How, Identity, Plan, Reason, Request, Taken
from mailgate.saying import Saying
from mailgate.settings import argv, parameters, toml
from mailgate.settings.argv import Command, Source
from mailgate.settings.kinds import boolean, did_you_mean, integer, listed, one_of, text, word
from mailgate.settings.parameters import Choice, Flag, Parameter, Text, is_yes, read_parameter
from mailgate.settings.quotas import Quota
from mailgate.settings.rules import (
    GENERAL,
    RESOURCES,
    InputRule,
    Limits,
    Lists,
    Origin,
    Output,
    folded,
)
from mailgate.settings.schema import Described, Sheet, describe_table, key
from mailgate.settings.units import said_duration, sendable_size

# jobs+NAME must fit the 64 octets of a local part beside a gateway's own name of 24.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_TAKEN = frozenset({"postmaster", "mailer-daemon"})
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


def _is_queue(value: str) -> bool:
    # A scheduler's command takes what begins with "-" for an option.
    return value.isprintable() and " " not in value and value[:1] not in {"", "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """[retry]: whether a job that ended badly is tried again."""

    times: int = key(integer(0, 100), 0, doc="how often, at most")
    on: tuple[Reason, ...] = key(
        listed(word(Reason, besides=(Reason.CANCELLED, Reason.OUTSIDE))),
        ["lost", "node-failure"],
        doc="the reasons to try again; the engine local tells no memory, node-failure or preempted",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Access(Lists):
    """[access]: who may use the service, and how well he must be known."""

    require: How = key(
        word(How, besides=(How.CLAIMED,)),
        "network",
        doc="the weakest way to know a sender that is enough; here the weakest stands first",
    )

    def knows(self, identity: Identity) -> bool:
        """Whether the identity is known well enough."""
        return identity.how.strength >= self.require.strength and identity.how is not How.CLAIMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service as its file says it; frozen and picklable. ``file`` is the file itself."""

    name: str
    file: Path
    summary: str = key(
        text("one line of text", str.isprintable), "", doc="what it does, in one line"
    )
    command: Command = key(argv.command(), doc="what is run, an argv", example=["true"])
    stdin: str | None = key(
        text("the name of an input"), None, doc="the input that is also the standard input"
    )
    network: bool = key(boolean(), default=False, doc="true: the sandbox lets it out")
    queue: str | None = key(
        text("a queue's name, without blanks and not beginning with -", _is_queue),
        None,
        doc="the queue or partition that the scheduler puts it into; the engine local has none",
        shown="the engine's",
    )
    engine: str | None = key(text("a name"), None, doc="its [run.NAME] table", shown="run.engine")
    inputs: Mapping[str, InputRule]
    parameters: Mapping[str, Parameter]
    output: Output
    limits: Limits
    retry: Retry
    access: Access
    quota: Quota
    quota_all: Quota

    def refusal(self, identity: Identity) -> Saying | None:
        """Say why the identity may not use the service; None if it may.

        Only whom the lists admit hears what is needed.
        """
        who = identity.address
        if not self.access.admits(who):
            return Saying("access/denied", who=who, service=self.name)
        if self.access.knows(identity):
            return None
        how, required = identity.how.words, self.access.require.words
        return Saying("access/too-weak", who=who, how=how, required=required, service=self.name)

    @property
    def used(self) -> tuple[str, ...]:
        """The parameters that the command uses: without a default such a one must be given."""
        return tuple(dict.fromkeys(name for _, name in argv.used(self.command, Source.PARAMETER)))

    @property
    def body_input(self) -> InputRule | None:
        """The input that is the text below the keys, if the service has one."""
        bodies = (rule for rule in self.inputs.values() if rule.from_ is Origin.BODY)
        return next(bodies, None)


def takes(service: Service) -> tuple[Taken, ...]:
    """List what a request to the service may bring: its inputs, then its parameters."""
    inputs = (
        Taken(
            key=rule.name,
            what=rule.expected
            if rule.required
            else Saying("inputs/or-none", expected=rule.expected),
        )
        for rule in service.inputs.values()
    )
    parameters = (_taken(service, one) for one in service.parameters.values())
    return (*inputs, *parameters, *_resources(service.limits))


def _resources(limits: Limits) -> Iterator[Taken]:
    if limits.cores_max is not None:
        what = Saying("parameters/cores", most=limits.cores_max, usual=limits.cores)
        yield Taken(key="cores", what=what)
    if limits.memory_max is not None:
        usual = sendable_size(limits.memory) if limits.memory else None
        most = sendable_size(limits.memory_max)
        what = Saying("parameters/memory", most=most, usual=usual)
        yield Taken(key="memory", what=what)


def _taken(service: Service, parameter: Parameter) -> Taken:
    what = parameter.expected
    if parameter.default is not None:
        what = Saying("parameters/with-default", expected=what, default=parameter.default)
    elif parameter.name not in service.used:
        what = Saying("parameters/or-nothing", expected=what)
    return Taken(key=parameter.name, what=what, summary=parameter.summary)


# --- a job of it ----------------------------------------------------------------------------------


def plan(service: Service, request: Request, folder: Path) -> Plan:
    """Bind a clear request: ``folder`` is the job's ``in/``, which need not exist yet."""
    files = {item.name: file_name(service, item.name, item.filename) for item in request.inputs}
    cores, memory = request.cores or service.limits.cores, request.memory or service.limits.memory
    words = argv.bind(
        service.command,
        parameters={name: _bound(service, request, name) for name in service.used},
        inputs={name: str(folder / file) for name, file in files.items()},
        cores=cores,
    )
    return Plan(
        argv=words,
        stdin=files.get(service.stdin) if service.stdin else None,
        network=service.network,
        stdout=service.output.stdout,
        stderr=service.output.stderr,
        files=service.output.files,
        cores=cores,
        memory=memory,
        gpus=service.limits.gpus,
        queue=service.queue or "",
        asked=request.resources,
        disk=service.limits.disk,
        retry_times=service.retry.times,
        retry_on=frozenset(service.retry.on),
        require=service.access.require,
    )


def file_name(service: Service, name: str, filename: str) -> str:
    """Return our name in ``in/`` for the file of the input ``name``."""
    return service.inputs[name].file_name(filename)


def _bound(service: Service, request: Request, name: str) -> str | None:
    value = request.parameters[name]
    parameter = service.parameters[name]
    if isinstance(parameter, Flag) and parameter.argument:
        return parameter.argument if is_yes(value) else None
    return value


# --- reading --------------------------------------------------------------------------------------


def describe() -> list[Described]:
    """List every key of a service's file, for the docs and the test that keeps them complete."""
    return [
        *describe_table("", Service),
        *describe_table("input.NAME", InputRule),
        *parameters.describe(),
        *describe_table("output", Output),
        *describe_table("limits", Limits),
        *describe_table("retry", Retry),
        *describe_table("access", Access),
        *describe_table("quota", Quota),
        *describe_table("quota.all", Quota),
    ]


def load_all(folder: Path) -> dict[str, Service]:
    """Read every ``*.toml`` of a folder, hidden ones aside; the answer is in the names' order.

    Raises
    ------
    BadConfig
        With every mistake of every file, one a line: ``FILE:LINE: key: what; expected ...``.
    """
    found: dict[str, Service] = {}
    mistakes: list[str] = []
    for file in _files(folder):
        try:
            found[file.stem] = load(file)
        except BadConfig as error:
            mistakes += str(error).splitlines()
    if mistakes:
        raise BadConfig("\n".join(mistakes))
    return found


def _files(folder: Path) -> list[Path]:
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        words = f"{folder}: cannot be read ({error.strerror}); expected the folder of the services"
        raise BadConfig(escaped(words)) from error
    return [file for file in files if file.suffix == ".toml" and not file.name.startswith(".")]


def load(file: Path) -> Service:
    """Read one service's file.

    Raises
    ------
    BadConfig
        With every mistake, one a line.
    """
    if os.path.exists(file) and not os.path.isfile(file):  # noqa: PTH110, PTH113 - they raise nothing
        # Opening a pipe would wait for ever.
        raise BadConfig(escaped(f"{file}: is no file; expected a TOML file"))
    sheet = Sheet(toml.read(file))
    service = _service(sheet, file)
    for check in _CHECKS:
        check(sheet, service)
    sheet.finish()
    return service


def _service(sheet: Sheet, file: Path) -> Service:
    inputs, params = sheet.sections(("input",)), sheet.sections(("parameter",))
    sections = ("input", "parameter", "output", "limits", "retry", "access", "quota")
    service = sheet.table(
        (),
        Service,
        tables=sections,
        name=file.stem,
        file=file.absolute(),
        inputs={name: _input(sheet, name) for name in inputs},
        parameters={name: read_parameter(sheet, name) for name in params},
        output=sheet.table(("output",), Output),
        limits=sheet.table(("limits",), Limits),
        retry=sheet.table(("retry",), Retry),
        access=sheet.table(("access",), Access),
        quota=sheet.table(("quota",), Quota, tables=("all",)),
        quota_all=sheet.table(("quota", "all"), Quota),
    )
    words = argv.with_files_of(file.absolute().parent, service.command)
    return replace(service, command=words)


def _input(sheet: Sheet, name: str) -> InputRule:
    return sheet.table(("input", name), InputRule, name=name)


# --- what no key alone can tell -------------------------------------------------------------------


def _check_name(sheet: Sheet, service: Service) -> None:
    expected = "a name of at most 32 lower-case letters, digits or -, the first no -"
    if service.name in _TAKEN:
        expected = "another name: mail to that address is the operator's"
    elif _NAME.fullmatch(service.name):
        return
    sheet.wrong((), f'the file names the service "{service.name}"', expected)


def _check_names(sheet: Sheet, service: Service) -> None:
    seen = {folded(word): f"the general key {word}" for word in (*GENERAL, *RESOURCES)}
    for table, names in (("parameter", service.parameters), ("input", service.inputs)):
        for name in names:
            place = (table, name)
            if not _WORD.fullmatch(name):
                expected = "a letter, then at most 31 letters, digits, - or _"
                sheet.wrong(place, "is no name for a key", expected)
            if folded(name) in seen:
                sheet.wrong(place, f"reads like {seen[folded(name)]}", "another name")
            seen.setdefault(folded(name), f"{table}.{name}")
    if "manifest" in service.inputs:
        sheet.wrong(("input", "manifest"), "is the name of a file of ours", "another name")


def _check_placeholders(sheet: Sheet, service: Service) -> None:
    place = ("command",)
    for source, names in (
        (Source.PARAMETER, service.parameters),
        (Source.INPUT, service.inputs),
    ):
        for at, name in argv.used(service.command, source):
            if name not in names:
                what = f'there is no {source} "{name}"{did_you_mean(name, list(names))}'
                sheet.wrong((*place, *at), what, f"a [{source}.{name}], or {{{{ for a brace")


def _check_program(sheet: Sheet, service: Service) -> None:
    """Let no mail choose the program: only a closed choice may be a part of its name."""
    first = service.command[0]
    choices = {n for n, parameter in service.parameters.items() if isinstance(parameter, Choice)}
    sources = {p.text for p in first[0] if p.source is not Source.LITERAL}
    if len(first) > 1 or not sources <= choices:
        sheet.wrong(("command", "0"), "is no fixed program", "a program's name or path")
    elif argv.literal(first[0]) == "":
        sheet.wrong(("command", "0"), "is empty", "a program's name or path")


def _check_shell(sheet: Sheet, service: Service) -> None:
    """Let no shell see a word of a mail: what a sender words freely stays out of ``sh -c``."""
    for at, name in argv.read_by_a_shell(service.command):
        if isinstance(service.parameters.get(name), Text):
            what = f"a shell would read the words of {{{name}}} as commands"
            expected = 'them as an argument: "sh", "-c", "tool \\"$1\\"", "sh", "{NAME}"'
            sheet.wrong(("command", *at), what, expected.replace("NAME", name))


def _check_inputs(sheet: Sheet, service: Service) -> None:
    bodies = [rule for rule in service.inputs.values() if rule.from_ is Origin.BODY]
    for rule in bodies[1:]:
        what = f'"body" already is the input {bodies[0].name}'
        sheet.wrong(("input", rule.name, "from"), what, '"attachment"')
    for rule in bodies:
        if rule.match is not None:
            sheet.wrong(("input", rule.name, "match"), "a body has no name", "no such key")
    if service.stdin is not None and service.stdin not in service.inputs:
        near = did_you_mean(service.stdin, list(service.inputs))
        what = f'there is no input "{service.stdin}"{near}'
        sheet.wrong(("stdin",), what, one_of(service.inputs) or "an [input.NAME] of that name")


def _check_numbers(sheet: Sheet, service: Service) -> None:
    output, limits, retry = service.output, service.limits, service.retry
    if output.stdout.lower() == output.stderr.lower():
        sheet.wrong(("output", "stdout"), "is the same name as stderr", "two different names")
    if limits.keep > limits.keep_max:
        most = said_duration(limits.keep_max)
        sheet.wrong(("limits", "keep"), f"is over keep_max, {most}", f"at most {most}")
    if limits.cores > limits.most_cores:
        most = str(limits.most_cores)
        sheet.wrong(("limits", "cores"), f"is over cores_max, {most}", f"at most {most}")
    if limits.memory and limits.memory_max and limits.memory > limits.memory_max:
        most = sendable_size(limits.memory_max)
        sheet.wrong(("limits", "memory"), f"is over memory_max, {most}", f"at most {most}")
    if retry.times and not retry.on:
        sheet.wrong(("retry", "on"), "is empty, but times is not 0", "at least one reason")


_CHECKS: tuple[Callable[[Sheet, Service], None], ...] = (
    _check_name,
    _check_names,
    _check_placeholders,
    _check_program,
    _check_shell,
    _check_inputs,
    _check_numbers,
)
