"""Say that a mail is yours: the line `confirm`, in an answer to the letter that asks for it.

Such a letter comes where nothing shows that you wrote a mail in your name, or where somebody wants
you to be told of a job. It has an address of its own; anywhere else the line does nothing.
"""

from mailgate.commands.call import Call
from mailgate.model import Answer
from mailgate.spool.database import Tx

usage = "confirm"
about_a_job = False
at_any_address = True
by_mail_alone = True
meant_by = ("agree",)


def execute(_: Tx, __: Call) -> Answer:
    """Say where it belongs: what does it never comes here."""
    return Answer(kind="confirm", wrong=True)


samples = (Answer(kind="confirm", wrong=True),)
