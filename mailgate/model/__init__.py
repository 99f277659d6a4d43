"""The nouns that pass from room to room, as frozen values."""

from mailgate.model.job import (
    INPUTS,
    Attempt,
    AttemptState,
    Exit,
    Job,
    JobId,
    Mistake,
    NativeId,
    Plan,
    Progress,
    Reason,
    Staged,
    Stream,
    StreamRole,
    Token,
)
from mailgate.model.letter import (
    Answer,
    Letter,
    LetterKind,
    LetterState,
)
from mailgate.model.mail import (
    Attachment,
    Message,
    Slice,
)
from mailgate.model.request import (
    Input,
    Notify,
    Reply,
    Request,
    Taken,
    Unclear,
    Understood,
)
from mailgate.model.who import (
    Envelope,
    How,
    Identity,
)

__all__ = [
    "INPUTS",
    "Answer",
    "Attachment",
    "Attempt",
    "AttemptState",
    "Envelope",
    "Exit",
    "How",
    "Identity",
    "Input",
    "Job",
    "JobId",
    "Letter",
    "LetterKind",
    "LetterState",
    "Message",
    "Mistake",
    "NativeId",
    "Notify",
    "Plan",
    "Progress",
    "Reason",
    "Reply",
    "Request",
    "Slice",
    "Staged",
    "Stream",
    "StreamRole",
    "Taken",
    "Token",
    "Unclear",
    "Understood",
]
