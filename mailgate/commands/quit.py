"""Stop reading the mail at this line: what stands below it is not looked at."""

from mailgate.commands.call import Call
from mailgate.model import Answer
from mailgate.spool.database import Tx

usage = "quit"
about_a_job = False
at_any_address = True
by_mail_alone = True
meant_by = ("exit", "bye")


def execute(_: Tx, __: Call) -> Answer:
    """Do nothing: the reader has stopped there."""
    return Answer(kind="quit")


samples = (Answer(kind="quit"),)
