"""Which mail that is not understood is answered, and which goes unanswered, on a real spool."""

import io

from mailgate.desk import grammar
from mailgate.desk.perform import perform
from mailgate.model import How, Identity, Reading
from mailgate.parse.commands import read_commands
from mailgate.parse.message import read_message
from mailgate.spool import mail
from mailgate.spool.tables import Errand
from tests.daemon import ADA
from tests.desk.test_moments import Place, place  # noqa: F401 - a fixture
from tests.spool.made import a_job, accepted

PROSE = "I am on the road as long as the sun shines.\n"


def heard(
    place: Place,  # noqa: F811
    body: str,
    *,
    subject: str = "x",
    how: How = How.NETWORK,
) -> str:
    """Send the gateway a mail; what became of it, in the log's word."""
    number = place.spool.view.count("SELECT COUNT(*) FROM message")
    raw = f"From: {ADA}\nSubject: {subject}\n\n{body}"
    message = read_message(io.BytesIO(raw.encode()))
    who = Identity(address=ADA, how=how)
    mailed = accepted(f"<round{number}@x>", identity=who, errands=[(Errand.COMMANDS, "jobs")])
    script = read_commands(message, grammar())
    with place.spool.transaction() as tx:
        waiting = mail.fetch(tx, mail.accept(tx, mailed))
        assert waiting is not None
        reading = Reading(content=message.content, subject=subject, script=script)
        (outcome,) = perform(tx, place.desk, waiting, reading)
    return outcome.word


def test_a_second_mail_that_is_not_understood_goes_unanswered(place: Place) -> None:  # noqa: F811
    assert heard(place, PROSE) == "commands"
    assert heard(place, f"Once more: {PROSE}") == "unanswered"


def test_a_mail_that_names_two_jobs_silences_no_later_one(place: Place) -> None:  # noqa: F811
    both = " ".join(f"[job {a_job(place.spool)}]" for _ in range(2))
    assert heard(place, "", subject=both) == "commands"
    assert heard(place, PROSE) == "commands"
    assert heard(place, "", subject=f"Re: {both}") == "commands"


def test_a_slip_silences_itself_and_no_longer_mail(place: Place) -> None:  # noqa: F811
    assert heard(place, "statsu\n") == "commands"
    assert heard(place, "statsu\n") == "unanswered"
    assert heard(place, PROSE) == "commands"
    assert heard(place, f"a slip: {PROSE}") == "unanswered"
    for slip in ("canecl\n", "extnd\n", "relese\n", "reslts\n"):
        last = heard(place, slip)
    assert last == "unanswered"


def test_a_weaker_identitys_mail_never_silences_a_stronger_ones(place: Place) -> None:  # noqa: F811
    assert heard(place, PROSE, how=How.NETWORK) == "commands"
    assert heard(place, f"Still: {PROSE}", how=How.SMTP_AUTH) == "commands"
    assert heard(place, f"Again: {PROSE}", how=How.SMTP_AUTH) == "unanswered"
    assert heard(place, f"Anew: {PROSE}", how=How.NETWORK) == "unanswered"
