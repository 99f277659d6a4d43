"""The one counter: doors open sinks and acknowledge after the receipt; readers perform here."""

from mailgate.desk.counter import Counter, Receipt, Sink, refused, told
from mailgate.desk.desk import OWN, Desk
from mailgate.desk.dialogue import answers, grammar
from mailgate.desk.intake import HEADER, Intake, header_end
from mailgate.desk.perform import Outcome, perform
from mailgate.desk.verdict import Place, Purpose, Verdict

__all__ = [
    "HEADER",
    "OWN",
    "Counter",
    "Desk",
    "Intake",
    "Outcome",
    "Place",
    "Purpose",
    "Receipt",
    "Sink",
    "Verdict",
    "answers",
    "grammar",
    "header_end",
    "perform",
    "refused",
    "told",
]
