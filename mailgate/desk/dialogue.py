"""What a mail's commands do: the job is found, each line done in order, and all of it told."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mailgate.commands import registry
from mailgate.commands.call import Call, Origin
from mailgate.desk.desk import OWN, Desk
from mailgate.model import Answer, How, Identity, JobId, LetterKind, Script, ScriptLine
from mailgate.parse.commands import Grammar
from mailgate.parse.inputs import listed
from mailgate.saying import Saying
from mailgate.spool import jobs, owned
from mailgate.spool.codec import tagged
from mailgate.spool.database import Tx, View
from mailgate.spool.denied import is_denied

_ID = re.compile(r"[a-z][a-z2-7]{3,11}")
_WHOLE = 12
_WHOLE_ID = re.compile(r"\b[a-z][a-z2-7]{11}\b")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")


AGAINST = Answer(kind="against", wrong=True)
"""What came of every line of a mail that names two jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """What a mail says of the letters that it answers: In-Reply-To and References as they came."""

    in_reply_to: str | None
    references: str | None

    @property
    def answered(self) -> tuple[str, ...]:
        """The Message-IDs in both, the nearest letter's first."""
        return (*reversed(_ids(self.in_reply_to)), *reversed(_ids(self.references)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The job that a mail is about, by everything but its lines: one, none, or a contradiction.

    ``places`` maps where a job is named (address, thread, subject) to its id.
    """

    places: Mapping[str, str]

    @property
    def job(self) -> JobId | None:
        """The one job; None where none is named."""
        return JobId(next(iter(self.places.values()))) if self.places else None

    @property
    def agrees(self) -> bool:
        """Whether all name the same."""
        return len(set(self.places.values())) < 2


def find(view: View, who: Identity, recipient: str, script: Script, thread: Thread) -> Found:
    """Find the job that a mail is about: by its address, what it answers, and its Subject."""
    places: dict[str, str] = {}
    if recipient != OWN:
        places["address"] = recipient.split(".")[1]
    answered = owned.written_about(view, who, _ids(thread.in_reply_to))
    answered = answered or owned.written_about(view, who, _ids(thread.references))
    if answered:
        places["thread"] = answered
    for number, tag in enumerate(script.tags):
        places["subject" if not number else f"subject {number + 1}"] = tag
    return Found(places=places)


def _ids(text: str | None) -> list[str]:
    return _MESSAGE_ID.findall(text or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A line's own word for its job, which jobs that may be, and the words without it."""

    words: tuple[str, ...]
    word: str = ""
    jobs: Sequence[JobId] = ()


@dataclass(slots=True, kw_only=True)
class Dialogue:
    """One mail's commands: who sends them, to which address, and what they are about."""

    desk: Desk
    who: Identity
    recipient: str
    script: Script
    found: Found
    origin: Origin
    _named: dict[int, _Named] = field(default_factory=dict)

    def perform(self, tx: Tx) -> Answer:
        """Do every line in order, and tell what came of each."""
        for number, line in enumerate(self.script.lines):
            if line.name:
                self._named[number] = self._name(tx, line)
        against = self._contradiction()
        entries = [
            self._entry(line, AGAINST if against else self._outcome(tx, number, line))
            for number, line in enumerate(self.script.lines)
        ]
        known = [entry for entry in entries if entry["state"] == "done"]
        facts = {
            "job": self._shown_job(tx) or "",
            "entries": entries,
            "against": [{"where": where, "id": job} for where, job in against],
            "stop": self.script.stop or "",
            "at": self.script.at,
            "unread": self.script.unread,
            "attached": listed(self.script.attached),
            "help": [] if any(line.name for line in self.script.lines) else [self._help(tx)],
        }
        return Answer(kind=LetterKind.COMMANDS, facts=facts, wrong=not known)

    def _shown_job(self, tx: Tx) -> JobId | None:
        """Return the one job that the mail is about, where it is theirs."""
        named = [one.jobs[0] for one in self._named.values() if len(one.jobs) == 1]
        about = set(self.found.places.values()) | set(named)
        job = JobId(about.pop()) if len(about) == 1 else None
        return job if job and self._may_act(tx, job) else None

    def _may_act(self, tx: Tx, job: JobId) -> bool:
        """Tell whether the job is theirs to ask about; whom its service denies has none."""
        if not owned.may_act(tx, self.who, job):
            return False
        return not is_denied(self.desk.services, jobs.service_of(tx, job), self.who.address)

    def _name(self, tx: Tx, line: ScriptLine) -> _Named:
        """Find the job that a line names by its first or last word."""
        command = registry.command(line.name)
        if not command.about_a_job:
            return _Named(words=line.words)
        for at in (0, len(line.words) - 1) if line.words else ():
            word = line.words[at].lower()
            if word in command.keywords or not _ID.fullmatch(word):
                continue
            rest = line.words[:at] + line.words[at + 1 :]
            if (job := self.found.job) and len(word) >= owned.SHORTEST and job.startswith(word):
                return _Named(words=rest, word=word, jobs=(job,))
            theirs = [one for one in owned.alike(tx, self.who, word) if self._may_act(tx, one)]
            if theirs or (len(word) == _WHOLE and job is None):
                return _Named(words=rest, word=word, jobs=theirs)
        return _Named(words=line.words)

    def _contradiction(self) -> list[tuple[str, str]]:
        """Return the places that name different jobs, with these; none where all agree."""
        places = list(self.found.places.items())
        if places:
            places += [
                (f"> {self.script.lines[number].quoted}", one.jobs[0])
                for number, one in self._named.items()
                if len(one.jobs) == 1
            ]
        return places if len({job for _, job in places}) > 1 else []

    def _outcome(self, tx: Tx, number: int, line: ScriptLine) -> Answer:
        if line.courtesy:
            return Answer(kind="courtesy")
        if not line.name:
            return Answer(kind="unknown", facts={"near": self._near(tx, line)}, wrong=True)
        command = registry.command(line.name)
        if not command.about_a_job:
            if self.recipient != OWN and not command.at_any_address:
                facts = {"gateway": self.desk.config.gateway.address}
                return Answer(kind="own-address", facts=facts, wrong=True)
            return command.execute(tx, self._call(line, line.words))
        named = self._named[number]
        if len(named.jobs) > 1:
            several = {"word": named.word, "jobs": list(named.jobs)}
            return Answer(kind="several", facts=several, wrong=True)
        job = named.jobs[0] if named.jobs else None if named.word else self.found.job
        if job is None and not named.word:
            return _which_job(command, named.words)
        if job is None or not self._may_act(tx, job):
            # The same words, whether there is one or not.
            return Answer(kind="no-job", facts={"word": named.word or str(job)}, wrong=True)
        if command.by_owner_alone and not owned.is_owner(tx, self.who, job):
            return Answer(kind="owner-alone", facts={"command": line.name}, wrong=True)
        return self._too_weak(tx, job) or self._done(tx, line, named.words, job)

    def _near(self, tx: Tx, line: ScriptLine) -> str:
        """Return the line that one of unknown words may mean: with the job that it names."""
        if not line.near or self.found.job or not registry.command(line.near).about_a_job:
            return line.near
        for word in _WHOLE_ID.findall(line.quoted.lower()):
            if self._may_act(tx, JobId(word)):
                return f"{line.near} {word}"
        return line.near

    def _too_weak(self, tx: Tx, job: JobId) -> Answer | None:
        """Refuse who is not known as well as the job's service wants; None where it is enough."""
        least = least_how(tx, self.desk, job)
        if self.who.how.strength >= least.strength:
            return None
        facts = {
            "service": jobs.service_of(tx, job),
            "how": self.who.how.words,
            "require": least.words,
        }
        return Answer(kind="too-weak", facts=facts, wrong=True)

    def _done(self, tx: Tx, line: ScriptLine, words: tuple[str, ...], job: JobId) -> Answer:
        call = self._call(line, words, about=job, view=tx)
        answer = registry.command(line.name).execute(tx, call)
        if not answer.wrong:
            said = " ".join((line.name, *words))
            tx.note("commanded", job=job, detail=f"{said} by {self.who.address} ({self.who.how})")
        return answer

    def _call(
        self,
        line: ScriptLine,
        words: tuple[str, ...],
        *,
        about: JobId | None = None,
        view: View | None = None,
    ) -> Call:
        return Call(
            name=line.name,
            words=words,
            usage=registry.command(line.name).usage,
            lines=line.lines,
            who=self.who,
            config=self.desk.config,
            services=self.desk.services,
            about=jobs.fetch(view, about) if view and about else None,
            origin=self.origin,
            attached=self.script.attached,
        )

    def _help(self, tx: Tx) -> dict[str, object]:
        line = ScriptLine(quoted="", name="help")
        return said(registry.command("help").execute(tx, self._call(line, ())))

    def _entry(self, line: ScriptLine, answer: Answer) -> dict[str, object]:
        state = "passed" if line.courtesy else "wrong" if answer.wrong else "done"
        return {"quoted": [line.quoted, *line.lines], "state": state, **said(answer)}


def _which_job(command: registry.Command, words: Sequence[str]) -> Answer:
    """Ask for the job, with a line that has all the rest of what was written."""
    word = _like_an_id(command, words)
    rest = [one for one in words if one != word] if _takes_words(command) else []
    facts = {"command": command.name, "word": word, "words": " ".join(rest)}
    return Answer(kind="which-job", facts=facts, wrong=True)


def _takes_words(command: registry.Command) -> bool:
    return any(" " in usage for usage in command.usage)


def _like_an_id(command: registry.Command, words: Sequence[str]) -> str:
    """Return the first word that may have been meant for a job's id, "" if none is like one."""
    bare = not _takes_words(command)
    alike = (word for word in words if _ID.fullmatch(word))
    return next((word for word in alike if bare or not word.isalpha()), "")


def least_how(view: View, desk: Desk, job: JobId) -> How:
    """Return the weakest way to be known that is enough to act on a job.

    That is what its service requires; of a service that is gone, what it did when the job was made.
    """
    if not jobs.exists(view, job):
        return How.NETWORK
    service = desk.services.get(jobs.service_of(view, job))
    return service.access.require if service else jobs.plan_of(view, job)[0].require


def said(answer: Answer) -> dict[str, object]:
    """Return an answer as a letter's facts keep it."""
    return {"say": str(answer.kind), "facts": tagged(answer.facts)}


def answers() -> Iterator[Answer]:
    """Yield answers of every kind that a line may get, to check templates with."""
    for command in registry.every():
        yield from command.samples
    yield from _SAMPLES


_JOB = "k7q2m5xzab3c"
_SAMPLES = (
    AGAINST,
    # No line gets these: a letter of several answers says them, and one that is cut.
    *(Answer(kind="others", facts={"count": count}) for count in (1, 2)),
    Answer(kind="rest"),
    Answer(kind="courtesy"),
    *(Answer(kind="unknown", facts={"near": near}) for near in ("hold", "")),
    Answer(kind="own-address", facts={"gateway": "jobs@gate.example.org"}),
    Answer(kind="several", facts={"word": "k7q2", "jobs": [_JOB, "k7q2aaaaaaaa"]}),
    Answer(kind="owner-alone", facts={"command": "destroy"}),
    Answer(
        kind="too-weak",
        facts={
            "service": "align",
            "how": How.NETWORK.words,
            "require": How.SMTP_AUTH.words,
        },
    ),
    Answer(kind="which-job", facts={"command": "status", "word": "", "words": ""}),
    Answer(kind="which-job", facts={"command": "extend", "word": "k7q2", "words": "7d"}),
    Answer(kind="no-job", facts={"word": _JOB}),
    *(
        Answer(
            kind="unfit",
            facts={
                "command": "status",
                "words": words,
                "near": near,
                "expected": expected,
                "usage": ["status"],
            },
        )
        for expected in ("", Saying("commands/own-address"))
        for words in ("", "at once")
        for near in ("", "status")
    ),
)


def grammar() -> Grammar:
    """Return what a reader has to know of the commands."""
    return Grammar(
        names={command.name: command.meant_by for command in registry.every()},
        with_lines=frozenset(c.name for c in registry.every() if c.takes_lines),
    )
