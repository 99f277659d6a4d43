"""mailgate job: show one job and all that happened to it, by its id or the beginning of one."""

import json
import os
import shlex

from mailgate.cli.looking import iso, job_facts, spool_of, the_job
from mailgate.cli.options import line, parser, shown
from mailgate.config import load_places
from mailgate.model import INPUTS, Job, LetterState
from mailgate.run.jobdir import Folder
from mailgate.spool import jobs, letters, silences, standstills, watchers, wishes
from mailgate.spool.database import View

_NONE = 1


def run(words: list[str]) -> int:
    """Print a job; exit 1 where there is none of that id, or several."""
    made = parser("job", __doc__)
    made.add_argument("id", metavar="ID", help="the job's id, or its first characters")
    made.add_argument("--json", action="store_true", help="one JSON object")
    given = made.parse_args(words)
    config = load_places(given.config)
    with spool_of(config) as connection:
        name = the_job(connection.view, given.id)
        if name is None:
            return _NONE
        job, folder = jobs.fetch(connection.view, name), Folder(config.run.folder, name)
        if given.json:
            print(json.dumps(_all(connection.view, job, folder)))
        else:
            _show(connection.view, job, folder)
    return 0


def _all(view: View, job: Job, folder: Folder) -> dict[str, object]:
    return {
        **job_facts(job),
        "vouched": jobs.vouched(view, job),
        "silent": next((iso(one.since) for one in silences.of_jobs(view, [job.id])), None),
        "standstill": iso(found.since) if (found := standstills.of_jobs(view, [job.id])) else None,
        "folder": _place(folder),
        "errors": [
            {"at": iso(e.at), "reason": e.reason, "words": str(e.words)} for e in job.errors
        ],
        "streams": [
            {"name": s.name, "size": s.size, "sha256": s.sha256, "path": s.path}
            for s in job.streams
        ],
        "left_out": list(map(str, job.left_out)),
        "letters": [
            {
                "id": x.id,
                "kind": x.kind,
                "recipient": x.recipient,
                "state": x.state,
                "last_words": x.last_words,
            }
            for x in letters.unsent(view, job.id)
        ],
        "handed": jobs.handed(view, job.id),
        "argv": _argv(job),
        **job.plan.given,
        "inputs": [
            {"name": i.name, "filename": i.filename, "size": i.size, "sha256": i.sha256}
            for i in jobs.inputs(view, job.id)
        ],
        "watchers": watchers.named(view, job.id),
        "history": [
            {"at": iso(at), "verb": verb, "detail": detail}
            for at, verb, detail in jobs.history(view, job.id)
        ],
    }


def _place(folder: Folder) -> str | None:
    """Return where the job's files lie: nowhere before its start, and once it is purged."""
    return str(folder.root) if os.path.isdir(folder.root) else None  # noqa: PTH112 - it raises nothing


def _argv(job: Job) -> list[str]:
    return [word.replace(INPUTS, "in") for word in job.plan.argv]


def _letter(letter: letters.Queued) -> tuple[object, ...]:
    """Tell a letter that nobody has, and what the operator can do for one that came back."""
    told = (letter.id, letter.kind, letter.recipient, letter.state, letter.last_words)
    if letter.state is not LetterState.BOUNCED:
        return told
    return (*told, f"send it again: mailgate queue --retry {letter.id}")


def _plain(view: View, job: Job) -> dict[str, object]:
    facts = job_facts(job)
    if by := jobs.vouched(view, job):
        facts["how"] = f"{job.owner.how} ({by})"
    if job.wish is not None:
        facts["wish"] = f"{job.wish}, asked {shown(wishes.asked(view, job.id))}"
    for one in silences.of_jobs(view, [job.id]):
        facts["silent"] = f"{one.engine} has not answered since {shown(one.since)}: it was so then"
    if (found := standstills.of_jobs(view, [job.id])) is not None:
        facts["standstill"] = f"since {shown(found.since)}: {found.why}"
    return {n: value for n, value in facts.items() if not isinstance(value, dict | None)}


def _show(view: View, job: Job, folder: Folder) -> None:
    for name, value in _plain(view, job).items():
        line(f"{name:<12}", shown(value))
    line(f"{'folder':<12}", _place(folder))
    line(f"{'command':<12}", shlex.join(_argv(job)))
    for attempt in jobs.handed(view, job.id):
        line(f"{'handed':<12}", *(f"{k}={v}" for k, v in attempt.items() if v))
    for name, value in job.plan.given.items():
        if value:
            line(f"{name:<12}", value, *(["as asked"] if name in job.plan.asked else []))
    for name, value in job.parameters.items():
        line(f"{'parameter':<12}", name, value)
    for recipient, told in watchers.named(view, job.id).items():
        line(f"{'watcher':<12}", recipient, "told" if told else "asked")
    _show_files(view, job)
    for letter in letters.unsent(view, job.id):
        line(f"{'letter':<12}", *_letter(letter))
    for error in job.errors:
        line(f"{'error':<12}", error.at, error.reason, error.words)
    for at, verb, detail in jobs.history(view, job.id):
        line(f"{'history':<12}", at, verb, detail)


def _show_files(view: View, job: Job) -> None:
    for item in jobs.inputs(view, job.id):
        line(f"{'input':<12}", item.name, item.filename, f"{item.size} bytes")
    for stream in job.streams:
        line(f"{'output':<12}", stream.name, f"{stream.size} bytes", stream.sha256, stream.path)
    for words in job.left_out:
        line(f"{'left out':<12}", words)
