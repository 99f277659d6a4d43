"""A message that came in, as a person would describe it."""

from dataclasses import dataclass
from datetime import datetime

from mailgate.saying import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Where a leaf's encoded bytes lie in the raw mail: offsets [start, end), transfer encoding.

    ``encoding`` is lower-case: ``base64``, ``quoted-printable``, ``x-uuencode``, or ``binary`` for
    everything that is taken as it stands.
    """

    start: int
    end: int
    encoding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One leaf that is not the text: its name as sent, size and SHA-256 once decoded.

    ``damage`` says in words what shows that these are not the bytes that were sent.
    """

    name: str | None
    media_type: str
    size: int
    sha256: str
    slice: Slice
    damage: Words | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A mail as a person would describe it. Every field is total: rubbish gives None or empty.

    ``from_`` holds every From address, bare, in order; ``lines`` is the text the person wrote,
    quotes and signature cut, without line ends. ``content`` is the SHA-256 over decoded text and
    attachments (not headers), by which two mails with one Message-ID are compared. ``gaps`` are the
    places in ``lines`` before which quoted lines stood, in order; the last may be its length.
    ``text_cut``:
    the text was longer than is read, so that ``lines`` must not be taken for a whole body input.
    Nor where ``text_damage`` says what is wrong with the bytes, or where lines with words were
    taken for quotes (``quoted``) or stood below a bare ``--`` (``dashed``); how many ``signed``
    lines stood in a plain signature is only told. ``settings`` are the ``key: value`` lines of the
    quoted ones, which never count; none of a letter of the gateway's.
    """

    message_id: str | None
    from_: tuple[str, ...]
    to: tuple[str, ...]
    subject: str | None
    date: datetime | None
    lines: tuple[str, ...]
    attachments: tuple[Attachment, ...]
    automatic: str | None
    defects: tuple[Words, ...]
    content: str
    gaps: tuple[int, ...] = ()
    text_cut: bool = False
    text_damage: Words | None = None
    quoted: int = 0
    dashed: int = 0
    signed: int = 0
    settings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The lines joined by LF."""
        return "\n".join(self.lines)
