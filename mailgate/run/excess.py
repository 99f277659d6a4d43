"""Jobs that wrote more than their service allows: how that is told, and what is cleared away."""

import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mailgate.model import DISK_FULL, Exit, Plan, Reason, Stream
from mailgate.run.files import remove_tree
from mailgate.run.jobdir import Folder
from mailgate.saying import Saying

FULL = 1 << 18
"""With less than this free (bytes) a command cannot write what it wants to."""

CLEARED = Saying("outputs/cleared")
"""Stands among what is left out of an answer."""


def doubts(streams: Sequence[Stream], plan: Plan, *, full: bool) -> list[Saying]:
    """Say of which outputs the end may be missing.

    ``full``: the disk was seen full while the command ran.
    """
    if full:
        return [DISK_FULL]
    if plan.disk is None:
        return []
    # The system counts blocks of 512 bytes.
    most = max(plan.disk // 512, 1) * 512
    why = Saying("outputs/its-end", most=plan.disk)
    return [
        Saying("outputs/left-out", name=one.name, why=why) for one in streams if one.size >= most
    ]


def told(end: Exit, plan: Plan) -> Exit:
    """Return the end in words where it came of writing too much: a file, or all files together."""
    if plan.disk is None or not is_over(end, plan):
        return end
    return replace(end, words=Saying("ends/wrote-too-much", most=plan.disk))


def is_over(end: Exit, plan: Plan) -> bool:
    """Tell whether it ended for what it wrote, against a limit of its service."""
    return plan.disk is not None and end.reason is Reason.SIGNAL and end.signal == signal.SIGXFSZ


def clear(folder: Folder, *, full: Path) -> bool:
    """Remove what an ended job wrote, but its standard output and error (in a thread).

    Only where it lies on the same disk as the file ``full``, which cannot grow any more: on
    another nothing would be gained. Tell whether it was removed.

    Raises
    ------
    OSError
        Something cannot be removed.
    """
    if folder.jobs.stat().st_dev != full.stat().st_dev:
        return False
    for place in (folder.work, folder.named):
        remove_tree(place)
    return True


def was_cleared(folder: Folder) -> bool:
    """Tell whether `clear` was here: no command can begin without these folders."""
    return not folder.work.exists() and not folder.named.exists() and folder.out.exists()
