"""What a mail says to the gateway in commands, once it is read."""

from dataclasses import dataclass
from enum import StrEnum

from mailgate.model.mail import Attachment


class Stop(StrEnum):
    """Why reading ended before the end of what the person wrote."""

    QUOTE = "quote"
    SIGNATURE = "signature"
    QUIT = "quit"
    UNKNOWN = "unknown"
    MANY = "many"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLine:
    """One line and what it was read as: a command, a courtesy, or nothing that is known.

    ``quoted`` is the line on one line, shortened. ``name`` is "" where it is no command; ``near``
    then the known one that may be meant, or "". ``lines`` are the ``key: value`` lines below a
    command that takes such.
    """

    quoted: str
    name: str = ""
    words: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    near: str = ""
    courtesy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A mail's lines as commands, in order.

    ``stop`` is why reading ended early, at the line ``at`` where there is one; ``unread`` lines
    with words are not among ``lines``. ``tags`` are the jobs that the Subject names. If the text
    has no command the last of ``lines`` may be the Subject's words: ``by_subject``. ``attached``
    is what came along, which no command takes.
    """

    lines: tuple[ScriptLine, ...] = ()
    stop: Stop | None = None
    at: str = ""
    unread: int = 0
    tags: tuple[str, ...] = ()
    by_subject: bool = False
    attached: tuple[Attachment, ...] = ()
