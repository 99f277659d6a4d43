"""What a status answer shows of a job that runs: the last lines that it has printed so far."""

import io
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import cast

from mailgate.model import JobId
from mailgate.phases import Phase
from mailgate.reply.excerpt import tail
from mailgate.reply.layout import COLUMNS

LOOKED_AT = (64 << 10) + 1
"""So many bytes at the end of its standard output are read.

One more than are shown: then the first line may be cut, and is left out.
"""

Printed = Mapping[JobId, bytes]
"""What running jobs have printed last; nothing of a job of which that is not known."""

Read = Callable[[Sequence[JobId], int], Awaitable[Printed]]
"""Reads as many bytes of what each job has printed last; TimeoutError where that takes long."""

_LINES = 10
# What came of a command is indented by four, and a line of an output by two more.
_WIDE = COLUMNS - 6
_RUNS = frozenset({Phase.EXECUTING, Phase.SUSPENDED})


def asked(facts: Mapping[str, object]) -> Iterator[JobId]:
    """Yield the jobs that run of which an answer to commands tells."""
    for one in _entries(facts):
        if one["say"] == "status":
            yield from runs(cast("Mapping[str, object]", one["facts"]))


def told(facts: Mapping[str, object], printed: Printed) -> Mapping[str, object]:
    """Return what an answer to commands says, with the last lines of the jobs that it tells of."""
    return {**facts, "entries": tuple(_entry(one, printed) for one in _entries(facts))}


def _entries(facts: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    return cast("Sequence[Mapping[str, object]]", facts["entries"])


def _entry(one: Mapping[str, object], printed: Printed) -> Mapping[str, object]:
    if one["say"] != "status":
        return one
    return {**one, "facts": with_tail(cast("Mapping[str, object]", one["facts"]), printed)}


def runs(facts: Mapping[str, object]) -> tuple[JobId, ...]:
    """Return the job that `status` tells of, if it runs."""
    return (JobId(str(facts["id"])),) if facts.get("phase") in _RUNS else ()


def with_tail(facts: Mapping[str, object], printed: Printed) -> Mapping[str, object]:
    """Return what `status` says, with the last lines of the job as far as they are known."""
    for job in runs(facts):
        if job in printed:
            return {**facts, "tail": tail(io.BytesIO(printed[job]), lines=_LINES, columns=_WIDE)}
    return facts
