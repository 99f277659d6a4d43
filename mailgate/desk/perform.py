"""What a message asks for, done: each errand becomes a job, or a part of the one answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from mailgate import log
from mailgate.commands import submit
from mailgate.commands.call import Origin
from mailgate.desk import bounces
from mailgate.desk.confirming import Confirming, confirm
from mailgate.desk.desk import OWN, Desk
from mailgate.desk.dialogue import Dialogue, Thread, find, least_how
from mailgate.errors import OverQuota
from mailgate.model import (
    Answer,
    Bounce,
    Fate,
    How,
    Identity,
    JobId,
    LetterKind,
    Reading,
    Script,
)
from mailgate.saying import Saying, Words, words_of
from mailgate.services import Service
from mailgate.settings.kinds import nearest
from mailgate.settings.quotas import Quota
from mailgate.spool import confirmations, letters, mail, quotas, watching
from mailgate.spool.database import Tx
from mailgate.spool.tables import Errand


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one errand: a job, or a word (a duplicate, the kind of its answer)."""

    recipient: str
    word: str
    job: JobId | None = None

    def __str__(self) -> str:
        """Return it as the log shows it."""
        return f"{log.without_keys(self.recipient)}:{self.word}"


def perform(tx: Tx, desk: Desk, waiting: mail.Waiting, reading: Reading) -> list[Outcome]:
    """Do what a message asks for, all its errands in this one transaction.

    Each recipient becomes a job, or a part of the one answer that the message gets. Where nothing
    vouches for its sender, he is asked to confirm it, and that is all he hears until he does.
    """
    if waiting.returned:
        return _returned(tx, desk, waiting, reading)
    answers: list[Answer] = []
    outcomes: list[Outcome] = []
    claimed = waiting.identity.how is How.CLAIMED
    for errand, kind, recipient in waiting.errands:
        if kind is Errand.CONFIRM:
            outcomes.append(_confirmed(tx, desk, waiting, reading, errand, recipient))
            continue
        done = _errand(tx, desk, waiting, reading, _Errand(errand, kind, recipient))
        if isinstance(done, Answer) and claimed:
            mail.pend(tx, errand, reason=f"unconfirmed: {done.kind}")
            outcomes.append(Outcome(recipient=recipient, word="unconfirmed"))
        elif isinstance(done, Answer):
            answers.append(done)
            mail.settle(tx, errand, reason=_reason(done, reading))
            outcomes.append(Outcome(recipient=recipient, word=done.kind))
        else:
            outcomes.append(done)
    if answers:
        _answer(tx, waiting, reading, answers)
    if claimed and any(outcome.word != "duplicate" for outcome in outcomes):
        recipient = waiting.identity.address
        confirmations.ask(tx, desk.terms, message=waiting.id, recipient=recipient)
    else:
        over = claimed or all(kind is Errand.CONFIRM for _, kind, _ in waiting.errands)
        mail.forget_after(tx, waiting.id, timedelta() if over else desk.config.keep.mail)
    return outcomes


def _returned(tx: Tx, desk: Desk, waiting: mail.Waiting, reading: Reading) -> list[Outcome]:
    """Do what mail does that came back: nobody is ever answered."""
    outcomes = []
    for errand, _, recipient in waiting.errands:
        bounce = reading.bounce or Bounce(fate=Fate.UNKNOWN)
        word = bounces.take(tx, desk.config.deliver, waiting, (errand, recipient), bounce)
        outcomes.append(Outcome(recipient=recipient, word=word))
    mail.forget_after(tx, waiting.id, timedelta())
    return outcomes


def _confirmed(
    tx: Tx, desk: Desk, waiting: mail.Waiting, reading: Reading, errand: int, recipient: str
) -> Outcome:
    """Do what a confirmation asks for; a mail without the word is no confirmation."""
    word = "no-confirmation"
    if reading.confirms:
        who = Confirming(
            token=recipient.removeprefix("confirm."),
            identity=waiting.identity,
            config=desk.config,
            services=desk.services,
        )
        word = confirm(tx, who)
    word = _UNANSWERED.get(word, word)
    mail.settle(tx, errand, reason=word)
    return Outcome(recipient="confirm", word=word)


# Nobody hears of these: the log and `mailgate explain` tell the operator.
_UNANSWERED = {
    "no-confirmation": 'unanswered: no line of its writer\'s own is the word "confirm" alone',
    "too-late": "unanswered: what waited for it is gone",
    "confirmed-before": "unanswered: it was confirmed before",
}


def _answer(tx: Tx, waiting: mail.Waiting, reading: Reading, answers: Sequence[Answer]) -> None:
    about = answers[0].facts.get("job") if len(answers) == 1 else None
    is_talk = answers[0].kind == LetterKind.COMMANDS
    letters.answer(
        tx,
        message=waiting.id,
        recipient=waiting.identity.address,
        kind=LetterKind(answers[0].kind),
        job=JobId(about) if is_talk and isinstance(about, str) and about else None,
        facts={
            "answers": [{"kind": a.kind, "facts": a.facts} for a in answers],
            "message_id": reading.message_id,
            "references": reading.references,
            "subject": reading.subject,
        },
    )


class _Errand(NamedTuple):
    id: int
    kind: Errand
    recipient: str


def _errand(
    tx: Tx, desk: Desk, waiting: mail.Waiting, reading: Reading, errand: _Errand
) -> Answer | Outcome:
    if errand.kind is Errand.COMMANDS and reading.service is None:
        return _commands(tx, desk, waiting, reading, errand)
    name = errand.recipient
    if errand.kind is Errand.COMMANDS:
        name = reading.service or name
    before = _first_act(tx, waiting, reading, errand.id, name)
    if before is not None and before.content == reading.content:
        mail.settle(tx, errand.id, reason="duplicate")
        return Outcome(recipient=name, word="duplicate")
    if before is not None:
        return _acted_before(waiting, before, mail.acted(tx, waiting, name, before.key))
    service = desk.services.get(name)
    refusal = _refusal(desk, waiting.identity, errand, name)
    if refusal is not None or service is None or name not in reading.requests:
        beside, theirs = len(waiting.errands) > 1, {}
        if service is None and errand.kind is Errand.COMMANDS:
            theirs = {"unknown": True, "meant": _meant(desk, waiting.identity, name)}
        return _refused(reading, name, sentence=refusal, beside=beside, **theirs)
    over = _over(tx, waiting, service) if errand.kind is Errand.COMMANDS else None
    if over is not None:
        return _refused(reading, name, sentence=over, again=True)
    done = submit.execute(tx, _call(desk, waiting, reading, service))
    if isinstance(done, Answer):
        return done
    mail.settle(tx, errand.id, reason="job", job=done)
    return Outcome(recipient=name, word=done, job=done)


def _first_act(
    tx: Tx, waiting: mail.Waiting, reading: Reading, errand: int, name: str
) -> mail.Before | None:
    """Claim the right to act. A signed mail that is sent again is the same under any Message-ID."""
    vouched = waiting.identity.how.strength >= How.AUTHENTICATION_RESULTS.strength
    signatures = reading.signatures if vouched else ()
    return mail.first_act(tx, waiting, errand, name, reading.content, signatures=signatures)


def _acted_before(waiting: mail.Waiting, before: mail.Before, job: JobId | None) -> Answer:
    signed = before.key != waiting.key
    facts = {"of": waiting.key, "job": job, "signed": signed}
    return Answer(kind=LetterKind.DUPLICATE, facts=facts)


def _refused(reading: Reading, name: str, **facts: object) -> Answer:
    """Answer that a request was not run, under the name that its sender knows it by."""
    asked = reading.requests.get(name)
    known = (asked.label if asked else None) or reading.subject
    return Answer(kind=LetterKind.REFUSED, facts={"service": name, "name": known, **facts})


def _over(tx: Tx, waiting: mail.Waiting, service: Service) -> Words | None:
    """Count a mail's bytes for the service that it asks for, or say why they are too many.

    At the gateway's own address the door could not know which that would be.
    """
    rules = quotas.rules(Quota(), [service], waiting.identity)
    try:
        quotas.check_mail(tx, rules, waiting.size, now=tx.now)
    except OverQuota as over:
        return words_of(over.public)
    quotas.count_mail(tx, quotas.counted_mail(rules), waiting.identity.how, waiting.size)
    return None


def _refusal(desk: Desk, who: Identity, errand: _Errand, name: str) -> Saying | None:
    """Say why nothing is run; None if something is. The door has not asked for its own address."""
    service = desk.services.get(name)
    if errand.kind is Errand.DENIED:
        refusal = service.refusal(who) if service else None
        # Whoever is allowed since then sends it again.
        return refusal or Saying("access/was-denied", who=who.address, service=name)
    if service is None and errand.kind is Errand.COMMANDS:
        return Saying("access/no-service", name=name, meant=_meant(desk, who, name))
    if service is None:
        return Saying("access/gone", name=name)
    return service.refusal(who) if errand.kind is Errand.COMMANDS else None


def _meant(desk: Desk, who: Identity, name: str) -> str | None:
    """Return the service that a name of none may mean: one of theirs."""
    theirs = [known for known, other in desk.services.items() if not other.refusal(who)]
    return nearest(name, theirs)


def _call(desk: Desk, waiting: mail.Waiting, reading: Reading, service: Service) -> submit.Call:
    return submit.Call(
        identity=waiting.identity,
        message=waiting.id,
        service=service,
        request=reading.requests[service.name],
        staged=reading.staged.get(service.name, ()),
        subject=reading.subject,
        message_id=reading.message_id,
        references=reading.references,
        receipt_after=desk.config.deliver.receipt_after,
        rules=quotas.rules(desk.config.quota, [service], waiting.identity),
        watching=watching.rule(desk.config, desk.services, service.name),
    )


def _commands(
    tx: Tx, desk: Desk, waiting: mail.Waiting, reading: Reading, errand: _Errand
) -> Answer | Outcome:
    script = reading.script or Script()
    thread = Thread(in_reply_to=reading.in_reply_to, references=reading.references)
    found = find(tx, waiting.identity, errand.recipient, script, thread)
    # The same mail to the gateway and to the job that it is about acts once.
    name = f"job.{found.job}" if found.job else OWN
    least = least_how(tx, desk, found.job) if found.job else waiting.identity.how
    # To the gateway it came as the network's, say, and to the job with its KEY: what was enough
    # to act then is not done again now.
    again = mail.has_acted(tx, waiting, name, reading.content, least=least)
    before = _first_act(tx, waiting, reading, errand.id, name)
    if again or (before is not None and before.content == reading.content):
        mail.settle(tx, errand.id, reason="duplicate")
        return Outcome(recipient=errand.recipient, word="duplicate")
    if before is not None:
        return _acted_before(waiting, before, None)
    dialogue = Dialogue(
        desk=desk,
        who=waiting.identity,
        recipient=errand.recipient,
        script=script,
        found=found,
        origin=Origin(
            message=waiting.id,
            message_id=reading.message_id,
            references=reading.references,
            subject=reading.subject,
            answered=thread.answered,
        ),
    )
    answer = dialogue.perform(tx)
    reason = _reason(answer, reading)
    puzzling = reason.startswith(mail.NOT_UNDERSTOOD)
    if puzzling and mail.goes_round(tx, waiting, reason):
        mail.settle(tx, errand.id, reason=f"unanswered, {reason}")
        return Outcome(recipient=errand.recipient, word="unanswered")
    # Nobody waits in vain for an answer without having been told.
    last = puzzling and not reason.startswith(mail.SLIP)
    return replace(answer, facts={**answer.facts, "last": last})


# What a line gets that no command is meant by, for all that can be seen.
_NOT_UNDERSTOOD = frozenset({"unknown", "unfit", "courtesy"})
# What a sentence gets that begins as a command does: "Help desk: Carol, from 9 to 17".
_DOUBTFUL = frozenset({"help-unknown", "which-job", "own-address"})
_SLIP = 4  # words, of which a line has no more that is a command misspelt


def _is_slip(script: Script) -> bool:
    """Whether a mail has nothing but short lines, each nearly a command: ``extend forever``."""
    said = [line for line in script.lines if not line.courtesy]
    if script.by_subject and len(said) > 1:
        # A reply's Subject is the gateway's own.
        said.pop()
    return bool(said) and all(
        len(line.quoted.split()) <= _SLIP and (line.name or line.near) for line in said
    )


def _reason(answer: Answer, reading: Reading) -> str:
    entries = answer.facts.get("entries", ())
    assert isinstance(entries, list | tuple)  # noqa: S101 - as the dialogue writes it
    talk = answer.kind == LetterKind.COMMANDS
    script = reading.script or Script()
    slip = _is_slip(script)
    doubts = _NOT_UNDERSTOOD if slip else _NOT_UNDERSTOOD | _DOUBTFUL
    # Who names several jobs was understood, with or without a command.
    understood = answer.facts.get("against") or any(entry["say"] not in doubts for entry in entries)
    if not talk or understood:
        return f"answered: {answer.kind}"
    begins = f'"{script.lines[0].quoted}"' if script.lines else "nothing"
    return (mail.SLIP if slip else mail.NOT_UNDERSTOOD) + begins
