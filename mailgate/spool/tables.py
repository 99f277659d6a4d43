"""The spool's tables: the closed sets and impossible combinations stand here as constraints.

peewee declares tables, indexes and connections. The statements themselves are SQL in the modules
beside this one: claims, partial indexes and upserts read better so, and the door's two inserts cost
a fifth of what the query builder takes. Times are seconds since 1970 UTC as REAL.
"""

from enum import StrEnum

from peewee import (
    SQL,
    AutoField,
    BlobField,
    CharField,
    Check,
    CompositeKey,
    FloatField,
    IntegerField,
    Model,
    TextField,
)

from mailgate.model import AttemptState, How, Reason, Wish
from mailgate.model.outlook import Cause
from mailgate.phases import ENDED, Phase
from mailgate.spool.asked import ConfirmationRow, WatcherRow
from mailgate.spool.closed import null_or, one_of
from mailgate.spool.outgoing import LetterBodyRow, LetterRow, ShipmentRow

VERSION = 11
"""The schema's number, kept as SQLite's user_version."""


class ErrandState(StrEnum):
    """Where one message to one recipient of ours is."""

    WAITING = "WAITING"
    PENDING = "PENDING"
    HELD = "HELD"
    DONE = "DONE"


class Errand(StrEnum):
    """What the recipient is to us."""

    REQUEST = "request"
    DENIED = "denied"
    POSTMASTER = "postmaster"
    COMMANDS = "commands"
    CONFIRM = "confirm"
    BOUNCE = "bounce"


class MessageRow(Model):
    """A mail that we answered 250 for; ``file`` names a big one in mail/, small ones lie in body.

    ``address`` and ``how`` are the identity, ``vouched`` what vouches for it, in words; none is
    needed to write to the postmaster or to return a letter of ours. ``origin``: where it came from,
    if nothing vouched for it then.
    """

    id = AutoField()
    taken = FloatField()
    door = CharField()
    peer = TextField(null=True)
    sender = TextField()
    address = TextField(null=True)
    how = CharField(null=True, constraints=[null_or("how", How)])
    vouched = TextField(null=True)
    key = TextField(index=True)
    sha256 = CharField()
    size = IntegerField()
    origin = TextField(null=True)
    file = TextField(null=True)
    purge = FloatField(null=True)
    gone = IntegerField(default=0)

    class Meta:
        table_name = "message"


class BodyRow(Model):
    """The raw bytes of a small mail."""

    message = IntegerField(primary_key=True)
    bytes = BlobField()

    class Meta:
        table_name = "body"


class ErrandRow(Model):
    """One message to one recipient of ours: the unit that acts once.

    ``unread``: it is held because it could not be read, and so never goes by itself. ``later``:
    nothing vouches for its sender, so that it is read when nothing else waits.
    """

    id = AutoField()
    message = IntegerField(index=True)
    kind = CharField(constraints=[one_of("kind", Errand)])
    recipient = TextField()
    state = CharField(constraints=[one_of("state", ErrandState)])
    reason = TextField(null=True)
    released = IntegerField(default=0)
    unread = IntegerField(constraints=[SQL("DEFAULT 0")])
    later = IntegerField(constraints=[SQL("DEFAULT 0")])
    job = CharField(null=True)
    done = FloatField(null=True)

    class Meta:
        table_name = "errand"


class ActRow(Model):
    """A message has acted: its key may not act again for this recipient and identity."""

    recipient = TextField()
    address = TextField()
    key = TextField()
    how = CharField()
    content = CharField()
    errand = IntegerField(index=True)

    class Meta:
        table_name = "act"
        primary_key = CompositeKey("recipient", "address", "key", "how")
        without_rowid = True


class JobRow(Model):
    """A job. ``wish`` is what a command asked for and run has not done yet.

    ``news_every``, in seconds: its owner hears so often where it is, next at ``news_due``.
    ``noticed``: the ``destruction`` that its owner was told of, or need not be. ``given``: an
    attempt at it has not ended.
    """

    id = CharField(primary_key=True)
    service = CharField()
    owner = TextField()
    how = CharField()
    label = TextField(null=True)
    phase = CharField(constraints=[one_of("phase", Phase)])
    parameters = TextField()
    plan = TextField()
    notify = TextField()
    reply = CharField()
    part = IntegerField(null=True)
    created = FloatField()
    queued = FloatField(null=True)
    work_limit = FloatField(null=True)
    keep = FloatField()
    message = IntegerField(index=True)
    subject = TextField(null=True)
    in_reply_to = TextField(null=True)
    refs = TextField(null=True)
    ignored = TextField()
    left_out = TextField(default="[]")
    started = FloatField(null=True)
    ended = FloatField(null=True)
    destruction = FloatField(null=True)
    reason = CharField(null=True, constraints=[null_or("reason", Reason)])
    code = IntegerField(null=True)
    signal = IntegerField(null=True)
    words = TextField(default="")
    progress = FloatField(null=True)
    progress_words = TextField(default="")
    attempts = IntegerField(default=0)
    given = IntegerField(constraints=[SQL("DEFAULT 0")])
    receipt_due = FloatField(null=True)
    news_every = FloatField(null=True)
    news_due = FloatField(null=True)
    noticed = FloatField(null=True)
    wish = CharField(null=True, constraints=[null_or("wish", Wish)])
    held_by = TextField(null=True)

    class Meta:
        table_name = "job"
        constraints = [
            Check(
                f"(phase IN ({', '.join(repr(str(p)) for p in sorted({*ENDED, Phase.ARCHIVED}))}))"
                " = (ended IS NOT NULL AND reason IS NOT NULL)"
            ),
        ]


class InputRow(Model):
    """An input: small ones as bytes, big ones as a staged file until the job starts.

    ``source``: the job whose input of that name it is, until this one has a copy of its own.
    """

    job = CharField()
    n = IntegerField()
    name = TextField()
    file = TextField()
    filename = TextField()
    size = IntegerField()
    sha256 = CharField()
    bytes = BlobField(null=True)
    path = TextField(null=True)
    source = CharField(null=True)

    class Meta:
        table_name = "input"
        primary_key = CompositeKey("job", "n")


class StreamRow(Model):
    """An output that was collected; its path is below the job's folder."""

    job = CharField()
    n = IntegerField()
    role = CharField()
    name = TextField()
    path = TextField()
    size = IntegerField()
    sha256 = CharField()

    class Meta:
        table_name = "stream"
        primary_key = CompositeKey("job", "n")


class MistakeRow(Model):
    """An entry of a job's list of errors."""

    id = AutoField()
    job = CharField(index=True)
    at = FloatField()
    reason = CharField(constraints=[one_of("reason", Reason)])
    words = TextField()

    class Meta:
        table_name = "mistake"


class AttemptRow(Model):
    """One submission of a job to an engine; ``wanted`` is a new limit, not yet known to it.

    ``why`` it waits in the engine's own queue is in the scheduler's words, ``starts`` its estimate;
    ``held``: by somebody there (1), who is to be asked to release it (2).
    """

    token = CharField(primary_key=True)
    job = CharField()
    number = IntegerField()
    engine = CharField()
    state = CharField(constraints=[one_of("state", AttemptState)])
    native = TextField(null=True)
    work_limit = FloatField(null=True)
    wanted = FloatField(null=True)
    why = TextField(constraints=[SQL("DEFAULT ''")])
    starts = FloatField(null=True)
    held = IntegerField(constraints=[SQL("DEFAULT 0")])
    intended = FloatField()
    submitted = FloatField(null=True)
    started = FloatField(null=True)
    ended = FloatField(null=True)

    class Meta:
        table_name = "attempt"
        indexes = ((("job", "number"), True),)


class EventRow(Model):
    """A decision that no other row tells: what `explain` and a job's history show."""

    id = AutoField()
    at = FloatField(index=True)
    key = TextField(null=True)
    job = CharField(null=True)
    verb = CharField()
    detail = TextField(default="")

    class Meta:
        table_name = "event"


class TallyRow(Model):
    """A job or a mail that some quota of a day counts, under the quota's subject."""

    id = AutoField()
    subject = TextField()
    at = FloatField()
    how = CharField(constraints=[one_of("how", How)])
    jobs = IntegerField()
    bytes = IntegerField()

    class Meta:
        table_name = "tally"


class HouseRow(Model):
    """The gateway: its own name, and the mark of the folder of jobs that it uses. One row."""

    name = CharField(primary_key=True)
    mark = CharField(null=True)

    class Meta:
        table_name = "house"


class SilenceRow(Model):
    """A scheduler that answers no question ``since`` then; ``engine`` is its table's name."""

    engine = CharField(primary_key=True)
    since = FloatField()

    class Meta:
        table_name = "silence"


class StandstillRow(Model):
    """What keeps every job from starting ``since`` then, and ``why`` in words; at most one row."""

    cause = CharField(primary_key=True, constraints=[one_of("cause", Cause)])
    since = FloatField()
    why = TextField()

    class Meta:
        table_name = "standstill"


TABLES = (
    MessageRow,
    BodyRow,
    ErrandRow,
    ActRow,
    ConfirmationRow,
    WatcherRow,
    JobRow,
    InputRow,
    StreamRow,
    MistakeRow,
    AttemptRow,
    LetterRow,
    LetterBodyRow,
    ShipmentRow,
    EventRow,
    TallyRow,
    HouseRow,
    SilenceRow,
    StandstillRow,
)
