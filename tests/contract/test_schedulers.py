"""What every scheduler's adapter keeps to, whatever its scheduler prints: one file an engine."""

import locale
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailgate.errors import Permanent
from mailgate.model import NativeId, Token
from mailgate.run.scheduler import (
    Ask,
    Command,
    Given,
    Said,
    Scheduler,
    Seen,
    State,
    UnreadableError,
    Verdict,
)
from mailgate.spool.attempts import new_token
from tests.contract.adapters import ENGINES, documented, made
from tests.contract.texts import POLLS, Listed
from tests.source import CHECKOUT

OURS, OTHERS = Token("mabcdefgh2345"), Token("mzzzzzzzz7777")
JOB = Given(token=OURS, native=NativeId("7"))
# One poll of so many jobs may take so much of a processor (seconds), on a slow one too; and such a share of
# it at a time, while nothing else of the daemon can do anything.
MANY, WITHIN, SHARE = 10_000, 2.5, 0.35


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def adapter(engine: str) -> Scheduler:
    return made(engine)


def asked(**more: object) -> Ask:
    folder = "/srv/jobs/ab/abcdefghij23/run/1"
    places = {"script": f"{folder}/script", "folder": folder, "messages": f"{folder}/messages"}
    return Ask(token=OURS, **places, **more)  # type: ignore[arg-type]


def text(engine: str, *jobs: Listed) -> str:
    assert engine in POLLS, f"tests/contract/texts.py has no poll of {engine}"
    return POLLS[engine](jobs)


def word(adapter: Scheduler, state: State) -> str:
    """The first of the scheduler's words for a state."""
    return next(w for w, s in adapter.STATES.items() if s is state)


def ours(adapter: Scheduler, said: str) -> Seen | None:
    found = [seen for seen in adapter.parse_poll(said) if seen.token == OURS]
    assert len(found) <= 1
    return found[0] if found else None


def commands(adapter: Scheduler) -> list[Command]:
    """Every command that the adapter may give."""
    full = asked(cores=4, memory=2**30, limit=timedelta(hours=1), gpus=1, queue="long")
    given_ = [adapter.submit(asked()), adapter.poll(), adapter.why(JOB), adapter.cancel(JOB)]
    given_ += [adapter.release(JOB), adapter.limit(JOB, timedelta(hours=2)), adapter.wake(JOB)]
    # Grid Engine needs the operator's word for several cores.
    with suppress(Permanent):
        given_.append(adapter.submit(full))
    return [command for command in given_ if command is not None]


# --- what it is -------------------------------------------------------------------------------------


def test_it_has_a_name_for_people_and_every_kind_of_state(adapter: Scheduler) -> None:
    assert adapter.title.strip()
    assert {State.WAITING, State.HELD, State.RUNNING, State.SUSPENDED, State.ENDED} <= {
        *adapter.STATES.values()
    }


def test_every_command_that_it_needs_is_named(adapter: Scheduler) -> None:
    for command in commands(adapter):
        program = Path(command.argv[0]).name
        # A shell that runs one of them stands for it.
        named = set(adapter.programs) & set(re.findall(r"[\w.-]+", " ".join(command.argv)))
        assert program in adapter.programs or (program == "sh" and named), command


def test_no_command_holds_what_a_program_cannot_be_given(adapter: Scheduler) -> None:
    for command in commands(adapter):
        assert all("\0" not in one for one in (*command.argv, command.stdin))
        assert all(isinstance(one, str) for one in command.argv)


def test_what_is_handed_over_has_the_token_as_its_name(adapter: Scheduler) -> None:
    command = adapter.submit(asked())
    assert OURS in " ".join([*command.argv, command.stdin])


def test_a_token_is_a_name_to_every_scheduler() -> None:
    # Old PBS cuts at 15 characters, and a name at Grid Engine begins with no digit.
    assert all(re.fullmatch(r"[a-z][a-z2-7]{12}", new_token()) for _ in range(50))


# What has a scheduler never start a job a second time by itself.
ONCE = {
    "slurm": "--no-requeue",
    "gridengine": "-r n",
    "pbs": "-r n",
    "lsf": "-rn",
    "htcondor": "requirements = NumJobStarts == 0",
}


def test_what_is_handed_over_is_never_run_again_by_itself(engine: str, adapter: Scheduler) -> None:
    command = adapter.submit(asked())
    assert f" {ONCE[engine]} " in f"{' '.join(command.argv)} {command.stdin.replace(chr(10), ' ')}"


ASKED: dict[str, dict[str, object]] = {
    "limits.cores": {"cores": 4},
    "limits.memory": {"memory": 2**30},
    "limits.work": {"limit": timedelta(hours=1)},
    "limits.gpus": {"gpus": 1},
    "queue": {"queue": "long"},
}


@pytest.mark.parametrize(("engine", "row"), documented("what is asked for"))
def test_what_is_asked_for_is_told_in_the_words_of_the_docs_and_in_no_others(
    engine: str, row: str
) -> None:
    cell, name = documented("what is asked for")[engine, row], row.split("`")[1]
    adapter = made(engine, **({"pe": "smp"} if engine == "gridengine" else {}))

    def words(**more: object) -> set[str]:
        command = adapter.submit(asked(**more))
        text = "\n".join([*command.argv, command.stdin])
        return {word for word in re.findall("`(.*?)`", cell) if word in re.split(ENDS, text)}

    told = set(re.findall("`(.*?)`", cell))
    assert words(**ASKED[name]) == told
    if name != "limits.cores":
        # The rule by which HTCondor removes a job is there without a limit, too.
        assert words() <= {"periodic_remove"}


# Where a word of a submission ends.
ENDS = r"[=:,\s\[]"


# --- polls ------------------------------------------------------------------------------------------


def test_each_of_its_words_is_read_as_its_state(engine: str, adapter: Scheduler) -> None:
    for said, state in adapter.STATES.items():
        seen = ours(adapter, text(engine, Listed(number=7, name=OURS, word=said)))
        assert seen is not None
        assert (seen.word, seen.state) == (said, state)


def test_a_word_in_no_table_changes_nothing(engine: str, adapter: Scheduler) -> None:
    waits = word(adapter, State.WAITING)
    said = text(
        engine,
        Listed(number=7, name=OURS, word="WOBBLY"),
        Listed(number=8, name=OTHERS, word=waits),
    )
    seen = ours(adapter, said)
    assert seen is not None
    assert (seen.state, seen.end) == (None, None)
    assert seen.word
    assert {one.token for one in adapter.parse_poll(said)} == {OURS, OTHERS}


@pytest.mark.parametrize(
    "said", ["", "\n", "slurm_load_jobs error", "{", "<", "\x00", "null", "[]"]
)
def test_what_is_no_answer_is_unreadable(adapter: Scheduler, said: str) -> None:
    with pytest.raises(UnreadableError):
        adapter.parse_poll(said)


def test_no_jobs_at_all_is_an_answer(engine: str, adapter: Scheduler) -> None:
    assert list(adapter.parse_poll(text(engine))) == []


def test_an_answer_that_is_cut_off_anywhere_is_none(engine: str, adapter: Scheduler) -> None:
    waits = word(adapter, State.WAITING)
    whole = text(
        engine,
        Listed(number=7, name=OTHERS, word=waits, why="Resources"),
        Listed(number=8, name=OURS, word=waits),
    )
    assert ours(adapter, whole)
    for end in range(len(whole.rstrip())):
        with pytest.raises(UnreadableError):
            adapter.parse_poll(whole[:end])


@settings(max_examples=150, deadline=None)
@given(said=st.text() | st.text(alphabet='{}[]<>"\\|:/ \nabJobsclassads'))
def test_whatever_it_is_given_it_says_unreadable_or_reads_it(said: str) -> None:
    for engine in ENGINES:
        adapter = made(engine)
        with suppress(UnreadableError):
            assert not any(seen.token == OURS for seen in adapter.parse_poll(said))
        with suppress(UnreadableError):
            assert adapter.parse_submit(said)
        for status in (0, 1, -9):
            result = Said(status=status, stdout=said, stderr=said)
            assert adapter.verdict(result) in Verdict
            with suppress(UnreadableError):
                assert adapter.parse_why(result, JOB) is None


REASONS = [
    "Resources",
    "ReqNodeNotAvail, UnavailableNodes:n[1-3],n7",
    'he said: "no" | and \\ went',
    "a <b> & 'c'; d",
    "tab\tand  two blanks",
    "not ASCII: Größe ≥ 4 ☃",
    "100% of {it} [all] = $HOME `id` $(id)",
]


@pytest.mark.parametrize("why", REASONS)
def test_a_reason_holds_whatever_it_likes(engine: str, adapter: Scheduler, why: str) -> None:
    said = word(adapter, State.WAITING)
    seen = ours(adapter, text(engine, Listed(number=7, name=OURS, word=said, why=why)))
    assert seen is not None
    assert seen.state is adapter.STATES[said]
    assert seen.why == why


@pytest.mark.parametrize("name", [*REASONS, "", " ", "m", "mABCDEFGH2345", f"{OURS}x", f"x|{OURS}"])
def test_somebody_elses_name_hides_no_job_and_is_none(
    engine: str, adapter: Scheduler, name: str
) -> None:
    runs, waits = word(adapter, State.RUNNING), word(adapter, State.WAITING)
    seen = ours(
        adapter,
        text(
            engine,
            Listed(number=6, name=name, word=runs),
            Listed(number=7, name=OURS, word=waits),
            Listed(number=8, name=name, word=runs),
        ),
    )
    assert seen is not None
    assert seen.state is State.WAITING


def test_a_job_that_is_not_listed_is_not_seen(engine: str, adapter: Scheduler) -> None:
    said = text(engine, Listed(number=7, name=OTHERS, word=word(adapter, State.RUNNING)))
    assert ours(adapter, said) is None


def test_ten_thousand_jobs_are_read_within_their_time_and_let_others_have_theirs(
    engine: str, adapter: Scheduler
) -> None:
    waits = word(adapter, State.WAITING)
    letters = "abcdefghij"
    names = [f"m{''.join(letters[int(d)] for d in f'{n:012}')}" for n in range(MANY)]
    why = f"ReqNodeNotAvail, UnavailableNodes:{'n17,' * 50}"
    said = text(
        engine,
        *(
            Listed(number=n + 1, name=name, word=waits, why=why, besides=60)
            for n, name in enumerate(names)
        ),
    )
    found: list[Seen] = []

    def read() -> None:
        found[:] = adapter.parse_poll(said)

    # On a busy machine this thread may miss its turns: the best of some tries counts.
    for _ in range(5):
        took, at_a_time = paced(read)
        assert [seen.token for seen in found] == names
        if took < WITHIN and at_a_time < took * SHARE:
            return
    assert took < WITHIN, f"{took:.2f} s"
    assert at_a_time < took * SHARE, f"{at_a_time:.2f} s of {took:.2f} s at a time"


def paced(work: Callable[[], None]) -> tuple[float, float]:
    """Do it in a thread: what it takes of a processor, and how much at the most between others' turns."""
    clocks: list[int] = []
    took: list[float] = []
    over = threading.Event()

    def run() -> None:
        clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
        work()
        took.append(time.thread_time())
        over.wait()

    thread = threading.Thread(target=run)
    thread.start()
    longest, before = 0.0, 0.0
    while not took and thread.is_alive():
        # A turn for this thread each time that the other one has to let go.
        now = time.clock_gettime(clocks[0]) if clocks else 0.0
        longest, before = max(longest, now - before), now
    over.set()
    thread.join()
    return took[0], longest


def test_the_machines_language_changes_nothing(engine: str, adapter: Scheduler) -> None:
    said = text(engine, Listed(number=7, name=OURS, word=word(adapter, State.RUNNING)))
    here, before = locale.setlocale(locale.LC_ALL), ours(adapter, said)
    try:
        for name in ("de_DE.UTF-8", "tr_TR.UTF-8", "C.UTF-8"):
            try:
                locale.setlocale(locale.LC_ALL, name)
            except locale.Error:
                continue
            assert ours(adapter, said) == before
    finally:
        locale.setlocale(locale.LC_ALL, here)


# --- what else it reads -----------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["", "\n", "Submitted", "-1", "12x", "\x00", "1 2 3", "x" * 5000])
def test_a_submission_that_names_no_number_is_unreadable(adapter: Scheduler, said: str) -> None:
    with pytest.raises(UnreadableError):
        adapter.parse_submit(said)


@pytest.mark.parametrize("status", [-9, -15, 1, 75, 255])
@pytest.mark.parametrize("words", ["", "Segmentation fault", "Killed", "Broken pipe"])
def test_a_submission_that_says_nothing_clear_may_have_been_taken(
    adapter: Scheduler, status: int, words: str
) -> None:
    assert adapter.verdict(Said(status=status, stdout="", stderr=words)) is Verdict.UNKNOWN


@pytest.mark.parametrize("status", [0, 1, 255, -9])
@pytest.mark.parametrize("said", ["", "\n", "{}", "<a/>", "no such job", f"{OURS}", "x|" * 200])
def test_a_history_that_says_nothing_clear_tells_of_no_job(
    adapter: Scheduler, status: int, said: str
) -> None:
    with suppress(UnreadableError):
        assert adapter.parse_why(Said(status=status, stdout=said, stderr=said), JOB) is None


# --- recordings -------------------------------------------------------------------------------------


def recorded(pattern: str) -> list[Path]:
    """Outputs in tests/data/ENGINE/, whose README says whether they were recorded or written."""
    return [
        path
        for engine in ENGINES
        for path in sorted((CHECKOUT / "tests" / "data" / engine).glob(pattern))
        if path.suffix != ".err"
    ]


def short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", recorded("poll*"), ids=short)
def test_a_recorded_poll_is_read_in_every_line(path: Path) -> None:
    adapter = made(path.parent.name)
    found = adapter.parse_poll(path.read_text(encoding="utf-8"))
    for seen in found:
        assert seen.native
        assert seen.state is adapter.STATES.get(seen.word) or seen.state is not None
        assert seen.end is None or (seen.state is State.ENDED and not seen.end.words)
    assert len({seen.token for seen in found}) == len(found)


@pytest.mark.parametrize("path", recorded("poll*"), ids=short)
def test_a_recorded_poll_that_is_cut_off_is_no_answer(path: Path) -> None:
    adapter, whole = made(path.parent.name), path.read_text(encoding="utf-8").rstrip()
    for end in range(0, len(whole), max(len(whole) // 60, 1)):
        try:
            found = adapter.parse_poll(whole[:end])
        except UnreadableError:
            continue
        raise AssertionError((short(path), end, found))


def test_every_engine_has_outputs_and_says_of_each_where_it_comes_from(engine: str) -> None:
    folder = CHECKOUT / "tests" / "data" / engine
    told = (folder / "README.md").read_text(encoding="utf-8")
    here = engine in {"slurm", "gridengine"}
    written = "# Written from the vendor's documentation, not recorded\n"
    assert told.startswith("# Recorded from " if here else written)
    names = re.findall(r"`([^`\s]+)`", told)
    files = {path.name for path in folder.iterdir()} - {"README.md"}
    assert [file for file in files if not any(fnmatch(file, name) for name in names)] == []
    assert [path for path in recorded("poll*") if path.parent.name == engine]
