"""What a letter says of the mail that asked for its job: the inputs in it, and its Subject."""

from mailgate import said
from mailgate.model import Job
from mailgate.reply.draft import Draft
from mailgate.reply.layout import fact
from mailgate.reply.rows import Listing, Used

# So many inputs are named; how many there are besides is said.
_NAMED = 3


def sent_facts(job: Job, draft: Draft) -> dict[str, object]:
    """Return the inputs' names and sizes; the Subject only where the job has no label."""
    used = tuple(
        Used(filename=fact(filename, 60), size=fact(said.size(size)))
        for filename, size in draft.inputs[:_NAMED]
    )
    return {
        "inputs": Listing(rows=used, more=max(0, len(draft.inputs) - _NAMED)),
        "mail_subject": "" if job.label else fact(job.subject or "", 60),
    }
