"""What a letter says of how a job ended, and of who had it ended."""

from mailgate import said
from mailgate.model import Exit, Job, Reason
from mailgate.reply.layout import cut, fact, printable
from mailgate.saying import Saying
from mailgate.wording import is_that


def end_facts(job: Job, end: Exit, recipient: str, *, by: str) -> dict[str, object]:
    """Return why a job ended, in the engine's words too, and ``by`` whom it was cancelled."""
    # A shell's exit status says what the code or the signal has said.
    status = end.code if end.signal is None else 128 + end.signal
    # And a job is cancelled by TERM, as everybody else's is.
    said_already = [Saying("ends/exit-status", status=status)]
    if end.reason is Reason.CANCELLED:
        said_already.append(Saying("ends/by-signal", name="TERM"))
    words = "" if any(is_that(end.words, one) for one in said_already) else str(end.words)
    return {
        "reason": str(end.reason),
        "by": _by(job, recipient, by),
        "code": end.code if end.code is not None else "",
        "signal": end.signal if end.signal is not None else 0,
        "signal_name": fact(said.signal(end.signal)) if end.signal is not None else "",
        "engine_words": printable(cut(words, 300)).strip(),
    }


def _by(job: Job, recipient: str, by: str) -> str:
    """Say who it was, "" for its owner; who watches a job hears of no other's address."""
    reader = recipient.lower()
    if by.lower() == job.owner.key or ("@" in by and reader not in {job.owner.key, by.lower()}):
        return ""
    return fact(by, 80)
