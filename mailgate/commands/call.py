"""One command of one person (or the operator), with all that it may need to know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mailgate.config import Config
from mailgate.model import Answer, Attachment, Identity, Job
from mailgate.saying import Words
from mailgate.services import Service
from mailgate.spool import wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The mail that a command came by: what letters about it are threaded to.

    ``answered`` are the Message-IDs of the letters that it answers, the nearest first.
    """

    message: int
    message_id: str | None
    references: str | None
    subject: str | None
    answered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command as it is to be done. It may be done: whose job it is, is looked at before.

    ``words`` follow the command's name, without the id of a job; ``lines`` are the ``key: value``
    lines below it. ``who`` is None for the operator, ``origin`` where no mail came. ``about`` is
    the job as it stands, for a command that is about one. ``attached`` came along with the mail.
    """

    name: str
    words: tuple[str, ...]
    who: Identity | None
    config: Config
    services: Mapping[str, Service]
    usage: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    about: Job | None = None
    origin: Origin | None = None
    attached: tuple[Attachment, ...] = ()

    @property
    def job(self) -> Job:
        """The job that the command is about; LookupError if it is about none."""
        if self.about is None:
            message = f"{self.name} is about no job"
            raise LookupError(message)
        return self.about

    @property
    def by(self) -> str:
        """Who gives it, for a job's history: the address, or ``operator``."""
        return self.who.address if self.who else wishes.OPERATOR


# What people write around a value, and would not miss.
_IDLE = frozenset("a about at by for is it job jobs me my of on please that the this to".split())


def meant(call: Call, fits: Callable[[tuple[str, ...]], object], *idle: str) -> str:
    """Return the line that is left without idle words, where it ``fits``; "" where it does not.

    ``idle`` are such words of this command's own. It is only asked about: no guess acts.
    """
    no_matter = _IDLE.union(idle)
    left = tuple(word for word in call.words if word.strip(",;.!").lower() not in no_matter)
    return " ".join((call.name, *left)) if left != call.words and fits(left) else ""


def unfit(call: Call, expected: Words = "", *, near: str = "") -> Answer:
    """Answer that a command does not take these words; ``expected`` is what it takes instead.

    Without it the command's usage is shown. ``near`` is the line that may have been meant.
    """
    if not expected and not near:
        near = meant(call, lambda words: not words and call.name in call.usage)
    facts = {
        "command": call.name,
        "words": " ".join(call.words),
        "near": near,
        "expected": expected,
        "usage": call.usage,
    }
    return Answer(kind="unfit", facts=facts, wrong=True)
