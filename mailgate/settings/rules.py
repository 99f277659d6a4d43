"""The tables of a service: what it takes, gives back, may use, and for whom."""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from mailgate.saying import Saying
from mailgate.settings.kinds import boolean, duration, integer, listed, lower, size, text, word
from mailgate.settings.schema import key

_OUTPUT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+ -]{0,98}[A-Za-z0-9_]|[A-Za-z0-9_]")
_EXTENSION = re.compile(r"\*((?:\.[A-Za-z0-9]+)+)")

GENERAL = ("service", "label", "work-limit", "keep", "notify", "reply", "watch", "dry-run")
"""The keys that a request to any service may hold; no parameter or input has such a name."""

RESOURCES = ("cores", "memory")
"""As these, but that a service says how much of them a request may ask for, if any."""


class Origin(StrEnum):
    """Where an input comes from."""

    ATTACHMENT = "attachment"
    BODY = "body"


def _is_glob(value: str) -> bool:
    return bool(value) and "/" not in value and value.isprintable()


def _is_glob_below(value: str) -> bool:
    return value.isprintable() and not {"", ".", ".."} & set(value.split("/"))


def _is_output(value: str) -> bool:
    return _OUTPUT.fullmatch(value) is not None and value.lower() != "job.json"


def _is_allowed(value: str) -> bool:
    local, _, domain = value.partition("@")
    return value == "*" or bool(local and domain and "@" not in domain and _plain(value))


def _is_denied(value: str) -> bool:
    return value != "*" and _is_allowed(value)


def _plain(address: str) -> bool:
    return address.isascii() and address.isprintable() and not set(address) & set(' "\\(),:;<>')


_glob = text('a pattern of a file\'s name without "/", such as "*.fa"', _is_glob)
_glob_below = text('a pattern such as "*.nwk" or "trees/*.nwk", never upwards', _is_glob_below)
_output = text(
    'a file name of letters, digits and "._+ -" that begins and ends with a letter or digit,'
    ' not "job.json"',
    _is_output,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRule:
    """[input.NAME]: a file that a request brings; its path is ``{input:NAME}`` in the command."""

    name: str
    from_: Origin = key(word(Origin), "attachment", doc="an attachment, or the text below the keys")
    match: tuple[str, ...] | None = key(
        listed(_glob, least=1),
        None,
        doc="patterns of the attachment's name, in any case",
        shown="any attachment",
    )
    required: bool = key(boolean(), default=True, doc="false: it may be left out")
    max_size: int | None = key(size(), None, doc="the most bytes, decoded", shown="the door's")

    @property
    def expected(self) -> Saying:
        """What has to be sent for it, as a noun phrase."""
        if self.from_ is Origin.BODY:
            return Saying("inputs/below")
        if self.match:
            return Saying("inputs/named", globs=self.match)
        return Saying("inputs/attachment")

    def sample(self) -> str:
        """Return the name of a file that fits; "" where none could be made up."""
        names = (glob.replace("*", self.name).replace("?", "1") for glob in self.match or ("*",))
        return next((name for name in names if self.takes(name)), "")

    def takes(self, filename: str | None) -> bool:
        """Tell whether an attachment so called fits; one without a name fits where any does."""
        if self.match is None:
            return True
        last = last_part(filename or "").lower()
        return bool(last) and any(fnmatchcase(last, glob.lower()) for glob in self.match)

    def file_name(self, filename: str) -> str:
        """Return our name for its file: the input's, with the extension of the fitting pattern.

        The sender's ``filename`` decides which pattern fits; not a character of it is used.
        """
        if self.from_ is Origin.BODY:
            return f"{self.name}.txt"
        last = last_part(filename).lower()
        fitting = (glob for glob in self.match or () if fnmatchcase(last, glob.lower()))
        extension = _EXTENSION.fullmatch(next(fitting, ""))
        return f"{self.name}{extension[1]}" if extension else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """[output]: what is sent back."""

    stdout: str = key(_output, "stdout.txt", doc="the name that standard output gets in the reply")
    stderr: str = key(_output, "stderr.txt", doc="the name that standard error gets in the reply")
    files: tuple[str, ...] = key(
        listed(_glob_below), [], doc="patterns of the files under work/ that are sent back"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """[limits]: what a job may use, and how long its results stay."""

    work: timedelta | None = key(duration("1s"), None, doc="the longest that the work may take")
    cores: int = key(integer(1, 4096), 1, doc="the cores it gets; {cores} in the command")
    memory: int | None = key(
        size("1 MiB"),
        None,
        doc="the most memory of each of its processes, on a cluster of the whole job; and of each"
        " of the sandbox's /tmp, /var/tmp and /dev/shm, which are 1 GiB without it",
    )
    cores_max: int | None = key(
        integer(1, 4096),
        None,
        doc="the most that a request may ask for",
        shown="as many as `cores`",
    )
    memory_max: int | None = key(
        size("1 MiB"), None, doc="the most that a request may ask for", shown="as much as `memory`"
    )
    gpus: int = key(integer(0, 4096), 0, doc="the GPUs it gets; the engine local gives none")
    disk: int | None = key(
        size("1 MiB"),
        None,
        doc="the most that it may write, in all and so in one file; looked at every 5 seconds",
    )
    keep: timedelta = key(duration("1s"), "14d", doc="how long results stay, from the job's end")
    keep_max: timedelta = key(duration("1s"), "90d", doc="the longest that a request may ask for")

    @property
    def most_cores(self) -> int:
        """The most cores that a request may ask for."""
        return self.cores_max or self.cores

    @property
    def most_memory(self) -> int | None:
        """The most bytes of memory that a request may ask for; None: it may not say."""
        return self.memory_max or self.memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The lists of [access]: whose addresses may use the service."""

    allow: tuple[str, ...] = key(
        listed(lower(text('an address or pattern such as "*@example.org", or "*"', _is_allowed))),
        [],
        doc='addresses that something vouches for; "*" any of them; none: nobody',
    )
    deny: tuple[str, ...] = key(
        listed(lower(text('an address or pattern such as "*@example.org"', _is_denied))),
        [],
        doc="addresses that may not use it, whatever `allow` says, and hear nothing of its jobs;"
        " one without `+` is denied with any `+tag`",
    )

    def admits(self, address: str) -> bool:
        """Tell whether a bare address may use it, known well enough.

        ``*`` alone is any address. Within a pattern it stands for anything but an ``@``:
        ``*@example.org`` is a mailbox of that very domain, and an address with a quoted or doubled
        ``@`` is within no pattern of ``allow``, and denied by any ``deny``.
        """
        word = address.lower()
        if self.denies(word):
            return False
        return any(pattern == "*" or _matches(word, pattern) for pattern in self.allow)

    def denies(self, address: str) -> bool:
        """Tell whether ``deny`` names a bare address: it gets nothing, old jobs included.

        ``ada@`` is ``ada+anything@`` too: at most sites whoever has the one has all the others.
        """
        word = address.lower()
        local, _, domain = word.partition("@")
        whole = f"{local.partition('+')[0]}@{domain}"
        return bool(self.deny) and (
            not _is_simple(word)
            or any(_matches(one, pattern) for pattern in self.deny for one in (word, whole))
        )

    def lists(self, address: str) -> bool:
        """Tell whether a bare address is admitted by more than ``*``: the operator knows it."""
        word = address.lower()
        return self.admits(word) and any(_matches(word, p) for p in self.allow if p != "*")


def _is_simple(address: str) -> bool:
    return address.count("@") == 1 and _plain(address)


def _matches(address: str, pattern: str) -> bool:
    if not _is_simple(address):
        return False
    local, _, domain = address.partition("@")
    mailbox, _, place = pattern.partition("@")
    return fnmatchcase(local, mailbox) and fnmatchcase(domain, place)


def last_part(filename: str) -> str:
    r"""Return what follows the last ``/`` or ``\`` of a sender's name for a file."""
    return re.split(r"[/\\]", filename)[-1]


def folded(name: str) -> str:
    """Return a key's name as it is compared: in one case, ``_`` and blanks as ``-``."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower())
