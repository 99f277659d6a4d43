"""Tables of people: who was asked to confirm something, and who else is told of a job."""

from peewee import CharField, CompositeKey, FloatField, IntegerField, Model, TextField


class ConfirmationRow(Model):
    """Somebody is to confirm something before ``until``, by a mail to ``jobs+confirm.TOKEN@``.

    Without ``job``: the sender of ``message``, for which nothing vouches; with it: whom the job's
    owner named to be told of it. ``address`` is the lower-cased ``recipient``; ``asked`` is when
    the letter was planned, None while it may not be.
    """

    token = CharField(primary_key=True)
    address = TextField()
    recipient = TextField()
    message = IntegerField(index=True)
    job = CharField(null=True)
    made = FloatField()
    asked = FloatField(null=True)
    until = FloatField()
    answered = FloatField(null=True)

    class Meta:
        table_name = "confirmation"


class WatcherRow(Model):
    """Somebody besides its owner who is told of a job, once ``told`` is 1."""

    job = CharField()
    address = TextField()
    recipient = TextField()
    told = IntegerField()

    class Meta:
        table_name = "watcher"
        primary_key = CompositeKey("job", "address")
        without_rowid = True
