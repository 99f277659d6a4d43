"""What reading a message came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailgate.model.command import Script
from mailgate.model.job import Staged
from mailgate.model.letter import Bounce
from mailgate.model.request import Request, Unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader made of a message: what it asks of each service, with the inputs it staged.

    ``bounce``: what one says that only came back for a letter of ours. ``confirms``: one of its
    lines is the word alone. Of commands it made a ``script``, or the request to ``service``, which
    is among ``requests`` where it is offered. ``signatures`` name those that it is signed with.
    """

    content: str
    message_id: str | None = None
    references: str | None = None
    subject: str | None = None
    requests: Mapping[str, Request | Unclear] = field(default_factory=dict)
    staged: Mapping[str, Sequence[Staged]] = field(default_factory=dict)
    bounce: Bounce | None = None
    confirms: bool = False
    in_reply_to: str | None = None
    script: Script | None = None
    service: str | None = None
    signatures: Sequence[str] = ()
