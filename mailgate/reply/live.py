"""What a status answer shows of a job that runs: the last lines that it has printed so far."""

import io
from collections.abc import Callable, Mapping
from typing import cast

from mailgate.model import JobId
from mailgate.phases import Phase
from mailgate.reply.excerpt import tail
from mailgate.reply.layout import COLUMNS

LOOKED_AT = 64 << 10
"""So many bytes at the end of its standard output are looked at."""

Printed = Callable[[JobId, int], bytes]
"""Returns as many bytes of what a running job has printed last; none where there are none."""

_LINES = 10
# What came of a command is indented by four, and a line of an output by two more.
_WIDE = COLUMNS - 6
_RUNS = frozenset({Phase.EXECUTING, Phase.SUSPENDED})


def told(facts: Mapping[str, object], printed: Printed) -> Mapping[str, object]:
    """Return what an answer to commands says, with the last lines of the jobs that it tells of."""
    entries = cast("tuple[Mapping[str, object], ...]", facts["entries"])
    return {**facts, "entries": tuple(_entry(one, printed) for one in entries)}


def _entry(one: Mapping[str, object], printed: Printed) -> Mapping[str, object]:
    if one["say"] != "status":
        return one
    return {**one, "facts": with_tail(cast("Mapping[str, object]", one["facts"]), printed)}


def with_tail(facts: Mapping[str, object], printed: Printed) -> Mapping[str, object]:
    """Return what `status` says, with the last lines of the job if it runs."""
    if facts["phase"] not in _RUNS:
        return facts
    # One more than is looked at: then the first line may be cut, and is left out.
    block = printed(JobId(str(facts["id"])), LOOKED_AT + 1)
    return {**facts, "tail": tail(io.BytesIO(block), lines=_LINES, columns=_WIDE)}
