"""Every decision taken about a mail, with its time."""

from collections.abc import Iterator
from datetime import datetime

from mailgate.log import without_keys
from mailgate.spool import codec
from mailgate.spool.database import Row, View, moment

Decision = tuple[datetime, str]


def explain(view: View, key: str) -> list[Decision]:
    """Return what was decided about the mails of this Message-ID (or SHA-256), oldest first.

    Of one of our own letters: what became of it.
    """
    noted = list(_noted(view, key))
    told = {sentence for _, sentence in noted}
    found = [
        decision
        for message in view.all("SELECT * FROM message WHERE key = ? ORDER BY id", key)
        for decision in _message(view, message)
        # What is on hold still was noted when it was put there.
        if decision[1].replace("HELD for", "held: for", 1) not in told
    ]
    for letter in view.all("SELECT * FROM letter WHERE message_id = ?", key):
        found += _own(view, letter)
    # Taken and held in one moment: first it was taken.
    decisions = [(at, without_keys(sentence)) for at, sentence in (*found, *noted)]
    return sorted(decisions, key=lambda decision: decision[0])


def _noted(view: View, key: str) -> Iterator[Decision]:
    for row in view.all("SELECT * FROM event WHERE key = ? ORDER BY id", key):
        yield moment(row["at"]), f"{row['verb']}: {row['detail']}" if row["detail"] else row["verb"]


def _message(view: View, message: Row) -> Iterator[Decision]:
    who = message["address"] or message["sender"] or "<>"
    known = f", known by {_known(message)}" if message["how"] else ""
    yield (
        moment(message["taken"]),
        f"accepted as message {message['id']}: through {message['door']}, {message['size']} bytes,"
        f" from {who}{known}",
    )
    for errand in view.all("SELECT * FROM errand WHERE message = ? ORDER BY id", message["id"]):
        at = moment(errand["done"] or message["taken"])
        reason = f": {errand['reason']}" if errand["reason"] else ""
        yield at, f"{errand['state']} for {errand['recipient']}{reason}"
    for job in view.all("SELECT id FROM job WHERE message = ?", message["id"]):
        for row in view.all("SELECT * FROM event WHERE job = ? ORDER BY id", job["id"]):
            yield moment(row["at"]), f"job {job['id']} {row['verb']} {row['detail']}".rstrip()
    for letter in _letters(view, message["id"]):
        yield from _letter(view, letter, message["key"])


def _own(view: View, letter: Row) -> Iterator[Decision]:
    """Tell what is known of one letter, asked for by its own Message-ID."""
    mail = view.one("SELECT key FROM message WHERE id = ?", letter["message"])
    of, value = _about(letter, mail["key"] if mail else "")
    name = f"letter {letter['id']} ({letter['kind']}) to {letter['recipient']}"
    about = f"job {value}" if of == "job" else f"mail {value}"
    yield moment(letter["planned"]), f"{name} is about {about}"
    yield from _letter(view, letter, value)
    for row in view.all(
        f"SELECT * FROM event WHERE {of} = ? AND detail || ' ' GLOB ? ORDER BY id",
        value,
        f"letter={letter['id']} *",
    ):
        yield moment(row["at"]), f"{row['verb']}: {row['detail']}"
    if letter["sent"] is None and not letter["tries"]:
        at = letter["composed"] or letter["planned"]
        words = f": {letter['last_words']}" if letter["last_words"] else ""
        yield moment(at), f"{name} {letter['state']}, not tried yet{words}"


def _about(letter: Row, key: str) -> tuple[str, str]:
    """Return what a letter is about: the column of the events that tell of it, and its value."""
    return ("job", letter["job"]) if letter["job"] else ("key", key)


def _letters(view: View, message: int) -> list[Row]:
    """Return the letters that a message caused: its answer, and those about its jobs."""
    return view.all(
        "SELECT * FROM letter WHERE job IS NULL AND message = ? UNION"
        " SELECT * FROM letter WHERE kind = 'commands' AND message = ? UNION"
        " SELECT letter.* FROM job CROSS JOIN letter ON letter.job = job.id AND"
        " letter.message = job.message WHERE job.message = ? ORDER BY id",
        message,
        message,
        message,
    )


def _known(message: Row) -> str:
    """Say how the sender is known, and by what."""
    if message["vouched"]:
        return f"{message['how']} ({message['vouched']})"
    return "the trusted pipe" if message["door"] == "pipe" else str(message["how"])


def _letter(view: View, letter: Row, key: str) -> Iterator[Decision]:
    name = f"letter {letter['id']} ({letter['kind']}) to {letter['recipient']}"
    yield moment(letter["planned"]), f"{name} planned as {letter['message_id']}"
    if letter["sent"] is not None:
        yield moment(letter["sent"]), f"{name} sent: {letter['last_words'] or 'delivered'}"
    elif letter["tries"]:
        of, value = _about(letter, key)
        last = view.one(
            f"SELECT MAX(at) AS at FROM event WHERE {of} = ?"
            " AND verb IN ('deferred', 'held', 'shortened') AND detail GLOB ?",
            value,
            f"letter={letter['id']} *",
        )
        at = (last and last["at"]) or letter["composed"] or letter["planned"]
        yield (
            moment(at),
            f"{name} {letter['state']} after {letter['tries']} tries:"
            f" {codec.worded(letter['last_words'])}",
        )
