"""A job's rows as the job that they say."""

from datetime import datetime, timedelta

from mailgate.model import (
    Exit,
    How,
    Identity,
    Job,
    JobId,
    Mistake,
    Notify,
    Plan,
    Progress,
    Reason,
    Reply,
    Stream,
    Wish,
)
from mailgate.phases import Phase
from mailgate.saying import Words
from mailgate.spool import codec
from mailgate.spool.database import Row, moment


def job_of(row: Row, errors: tuple[Mistake, ...], streams: tuple[Stream, ...]) -> Job:
    """Return the job of a row of ``job``, with its list of errors and its streams."""
    exit_ = progress = None
    if row["reason"] is not None:
        exit_ = Exit(
            reason=Reason(row["reason"]),
            code=row["code"],
            signal=row["signal"],
            words=codec.worded(row["words"]),
        )
    if row["progress"] is not None:
        progress = Progress(percent=row["progress"], words=row["progress_words"])
    return Job(
        id=JobId(row["id"]),
        service=row["service"],
        owner=Identity(address=row["owner"], how=How(row["how"])),
        label=row["label"],
        phase=Phase(row["phase"]),
        parameters=codec.load(dict, row["parameters"]),
        plan=codec.load(Plan, row["plan"]),
        notify=codec.load(frozenset[Notify], row["notify"]),
        reply=Reply(row["reply"]),
        created=moment(row["created"]),
        work_limit=timedelta(seconds=row["work_limit"]) if row["work_limit"] else None,
        keep=timedelta(seconds=row["keep"]),
        message=row["message"],
        subject=row["subject"],
        in_reply_to=row["in_reply_to"],
        references=row["refs"],
        ignored=codec.load(tuple[Words, ...], row["ignored"]),
        left_out=codec.load(tuple[Words, ...], row["left_out"]),
        started=_when(row["started"]),
        ended=_when(row["ended"]),
        destruction=_when(row["destruction"]),
        exit=exit_,
        errors=errors,
        progress=progress,
        streams=streams,
        attempts=row["attempts"],
        wish=Wish(row["wish"]) if row["wish"] else None,
        held_by=row["held_by"],
        every=timedelta(seconds=row["news_every"]) if row["news_every"] else None,
        part=row["part"],
    )


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)
