"""The tables of what goes out; `tables` has the others."""

from peewee import (
    SQL,
    AutoField,
    BlobField,
    CharField,
    Check,
    FloatField,
    IntegerField,
    Model,
    TextField,
)

from mailgate.model import LetterKind, LetterState
from mailgate.spool.closed import one_of


class LetterRow(Model):
    """A letter to one recipient. ``cause`` makes an event's letter unique; answers have no job.

    One that WAITs without bytes, in letter_body or in ``file``, is composed again when it is due.
    ``noted`` is when mail last came back for it, ``came`` how often.
    A letter of a shipment is its part number ``part`` and carries ``pieces`` (JSON).
    """

    id = AutoField()
    job = CharField(null=True)
    message = IntegerField(null=True)
    cause = TextField()
    kind = CharField(constraints=[one_of("kind", LetterKind)])
    recipient = TextField()
    sender = TextField()
    tag = CharField(null=True, unique=True)
    message_id = TextField(unique=True)
    state = CharField(constraints=[one_of("state", LetterState)])
    facts = TextField(default="{}")
    phase = CharField(null=True)
    planned = FloatField()
    composed = FloatField(null=True)
    next_try = FloatField(null=True)
    tries = IntegerField(default=0)
    refusals = IntegerField(default=0)
    bounces = IntegerField(constraints=[SQL("DEFAULT 0")])
    waited = FloatField(default=0)
    last_words = TextField(default="")
    size = IntegerField(null=True)
    limit = IntegerField(null=True)
    file = TextField(null=True)
    sent = FloatField(null=True)
    noted = FloatField(null=True)
    came = IntegerField(constraints=[SQL("DEFAULT 0")])
    shipment = IntegerField(null=True)
    part = IntegerField(null=True)
    pieces = TextField(null=True)

    class Meta:
        table_name = "letter"
        constraints = [
            Check("(shipment IS NULL) = (part IS NULL)"),
            Check("(shipment IS NULL) = (pieces IS NULL)"),
            Check("(sender = '') = (tag IS NULL)"),
            Check("(state = 'WAITING') <= (size IS NOT NULL AND next_try IS NOT NULL)"),
        ]


class LetterBodyRow(Model):
    """The bytes of a small composed letter."""

    letter = IntegerField(primary_key=True)
    bytes = BlobField()

    class Meta:
        table_name = "letter_body"


class ShipmentRow(Model):
    """Outputs that no letter could carry as they are: packed into ``parcels`` (JSON), and cut.

    ``parts`` is how many letters there are so far, ``most`` how many there may be; ``code`` is what
    its letters call the shipment; ``size`` the most bytes that each was cut for.
    """

    id = AutoField()
    job = CharField(index=True)
    recipient = TextField()
    code = CharField()
    made = FloatField()
    size = IntegerField()
    parts = IntegerField()
    most = IntegerField()
    parcels = TextField()

    class Meta:
        table_name = "shipment"
