"""Hostile jobs: whatever a command leaves, prints or does, its owner gets one plain result."""

import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemon import ROOT, Gateway, attached, eventually, read, running, text_of
from tests.servers import require
from tests.walk import hostile
from tests.walk.hostile import mail, send


def ordered(gateway: Gateway, who: str, name: str, text: str) -> None:
    """Have a script run."""
    body = hostile.script(gateway, name, text)
    assert send(gateway, mail("script", who, body), to="script").startswith("250")


def run(gateway: Gateway, who: str, text: str) -> EmailMessage:
    """Have a script run, and return its result."""
    name = "".join(c for c in secrets.token_hex(12) if c.isalpha()) + "x"
    before = len(gateway.saved(who))
    ordered(gateway, who, name, text)
    gateway.await_letters(before + 1, who, within=90)
    path = max(gateway.saved(who), key=lambda saved: saved.stat().st_mtime_ns)
    hostile.well_formed(path)
    return read(path.read_bytes())


def everything(letter: EmailMessage) -> bytes:
    """All that a letter brings, decoded."""
    return b"".join([text_of(letter).encode(), *attached(letter).values()])


# --- what it leaves -------------------------------------------------------------------------------

LINKS = """
secret=$(dirname "$0")/../spool/secret
cd "$MAILGATE_OUTPUTS"
ln -s "$decoy/passwd" passwd
ln -s "$secret" secret
ln -s ../../in/manifest.json inside
ln "$secret" hard 2>/dev/null
ln "$decoy/passwd" hard2 2>/dev/null
mkfifo fifo
mknod zero c 1 5 2>/dev/null
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
ln -s "$decoy" etc
ln -s . loop
ln -s nowhere dangling
echo fine > fine.txt
cd "$HOME"
ln -s "$decoy/passwd" passwd.out
ln -s "$decoy" deep
echo fine > plain.out
"""


def test_nothing_is_taken_through_a_link(either: Gateway, who: str) -> None:
    letter = run(either, who, LINKS)
    names = set(attached(letter)) - {"job.json", "stdout.txt", "stderr.txt"}
    assert names == {"fine.txt", "plain.out"}
    assert b"root:" not in everything(letter)
    assert (either.spool / "secret").read_bytes() not in everything(letter)
    for name in (
        "passwd",
        "secret",
        "inside",
        "fifo",
        "socket",
        "etc",
        "loop",
        "dangling",
        "passwd.out",
    ):
        assert name in text_of(letter)


SWAPS = {
    "the outputs' folder": 'rm -rf "$MAILGATE_OUTPUTS"; ln -s "$decoy" "$MAILGATE_OUTPUTS"',
    "the outputs' folder, a file": 'rm -rf "$MAILGATE_OUTPUTS"; echo > "$MAILGATE_OUTPUTS"',
    "the working folder": 'cd /; rm -rf "$HOME"; ln -s "$decoy" "$HOME"',
    "a folder below": 'mkdir deep; echo x > deep/a.out; rm -r deep; ln -s "$decoy" deep; ln -s passwd "$HOME/b.out"',
    "standard output": "rm -f ../out/stdout; ln -s $decoy/passwd ../out/stdout",
    "standard output, a pipe": "rm -f ../out/stdout; mkfifo ../out/stdout",
    "standard output, a folder": "rm -f ../out/stdout; mkdir ../out/stdout",
    "standard error": 'rm -f ../out/stderr; ln -s "$(dirname "$0")/../spool/secret" ../out/stderr',
    "all outputs": "rm -rf ../out; ln -s $decoy ../out",
    "no outputs": "rm -rf ../out",
    "the inputs": "chmod -R u+w ../in; rm -rf ../in; ln -s $decoy ../in",
    "no folder": 'cd /; rm -rf "$HOME" "$MAILGATE_OUTPUTS"',
}


@pytest.mark.parametrize("text", SWAPS.values(), ids=SWAPS)
def test_what_is_swapped_for_a_link_is_not_followed(either: Gateway, who: str, text: str) -> None:
    letter = run(either, who, f"exec 2>/dev/null\necho begun\n{text}\nexit 3")
    assert letter["Mailgate-Exit"] == "3"
    assert b"root:" not in everything(letter)
    assert (either.spool / "secret").read_bytes() not in everything(letter)


def test_names_of_outputs_are_made_harmless(either: Gateway, who: str) -> None:
    script = (
        "import os, pathlib\n"
        "top = os.environb[b'MAILGATE_OUTPUTS']\n"
        "for name in [b'-rf', b'a\\nBcc: victim@example.net', b'\\x1b[2J', b'\\xff\\xfe', b'stdout.txt', b'job.json',"
        " b'x' * 255, '\\u202egpj.exe'.encode(), b'\"; name=\"y', b'$(touch x)', b' ', b'con.txt', b'.hidden',"
        " '\\U0001f9ec'.encode() * 60, b'%41', b'a\\\\b', b'same', b'SAME']:\n"
        "    open(os.path.join(top, name), 'wb').write(b'<' + name + b'>')\n"
    )
    letter = run(either, who, f"python3 - <<'END'\n{script}END")
    assert letter["Mailgate-Exit"] == "0", text_of(letter)
    found = attached(letter)
    assert len(found) == 3 + 18
    assert sorted(x[1:2] for x in found.values() if x.startswith(b"<")) == sorted(
        [b"-", b"a", b"\x1b", b"\xff", b"s", b"j", b"x", b"\xe2", b'"', b"$", b" ", b"c", b".", b"\xf0", b"%", b"a", b"s", b"S"]
    )  # fmt: skip
    for name in found:
        assert name.isprintable()
        assert not set(name) & set('/\\:*?"<>|')
        assert name[0] not in "-."
        assert len(name.encode()) <= 130
    assert all(c.isprintable() or c in "\n\u200d" for c in text_of(letter))


@pytest.mark.soak
def test_a_job_that_makes_very_many_files_gets_some_of_them(
    gate: Gateway, who: str, soak: bool
) -> None:
    count = 100_000 if soak else 5_000
    script = (
        "import os\nos.chdir(os.environ['MAILGATE_OUTPUTS'])\n"
        f"for n in range({count}):\n    open(str(n), 'w').close()\n"
    )
    letter = run(gate, who, f"python3 - <<'END'\n{script}END")
    assert letter["Mailgate-Exit"] == "0", text_of(letter)
    assert len(attached(letter)) <= 201
    assert "over the limit" in text_of(letter)
    assert len(letter.as_bytes()) < 1 << 20


def test_folders_without_an_end_or_a_permission_are_named_and_removed(
    either: Gateway, who: str
) -> None:
    script = (
        "import os\nos.chdir(os.environ['MAILGATE_OUTPUTS'])\nopen('top', 'w').close()\n"
        "for n in range(3000):\n    os.mkdir('d' * 50)\n    os.chdir('d' * 50)\n"
    )
    locked = (
        'mkdir "$HOME/deep"; echo > "$HOME/deep/a.out"; chmod 0 "$HOME/deep"; chmod 0 "$HOME"\n'
    )
    try:
        letter = run(either, who, f"python3 - <<'END'\n{script}END\n{locked}")
        assert letter["Mailgate-Exit"] == "0", text_of(letter)
        assert "folders deep" in " ".join(text_of(letter).split())
        (job,) = hostile.jobs_of(either, who)
        folder = either.spool / "jobs" / job["id"][:2] / job["id"]
        assert folder.is_dir()
        expire(either, job["id"])
        done = either.run("purge")
        assert done.returncode == 0, done.stderr
        # The daemon may be at it just then.
        eventually(lambda: not folder.exists())
    finally:
        # shutil.rmtree, with which the test's own folder goes, falls over such trees.
        for left in either.spool.glob("jobs/*/*/out/named/ddd*"):
            subprocess.run(["rm", "-rf", left], check=False)


def expire(gateway: Gateway, job: str) -> None:
    """Let a job's lifetime be over."""
    with closing(sqlite3.connect(gateway.spool / "spool.db", timeout=30)) as spool:
        spool.execute("UPDATE job SET destruction = 1 WHERE id = ?", (job,))
        spool.commit()


def test_a_backup_copies_what_hostile_jobs_left(either: Gateway, who: str, tmp_path: Path) -> None:
    script = (
        "import os\nos.chdir(os.environ['MAILGATE_OUTPUTS'])\nopen('kept', 'w').write('kept')\n"
        "for n in range(300):\n    os.mkdir('d' * 50)\n    os.chdir('d' * 50)\n"
    )
    more = "ln -s $decoy/passwd link; mkfifo pipe; mkdir no; echo > no/file; chmod 0 no; echo > dark; chmod 0 dark\n"
    letter = run(either, who, f"python3 - <<'END'\n{script}END\n{more}")
    assert letter["Mailgate-Exit"] == "0", text_of(letter)
    done = either.run("backup", str(tmp_path / "copy"))
    assert done.returncode == 0, done.stderr
    job = str(letter["Mailgate-Job"])
    copy = tmp_path / "copy" / "jobs" / job[:2] / job
    assert (copy / "out/named/kept").read_text() == "kept"
    assert not list(copy.glob("work/link")) + list(copy.glob("work/pipe"))


# --- what it prints -------------------------------------------------------------------------------


def test_what_a_terminal_would_act_on_is_shown_as_words(either: Gateway, who: str) -> None:
    prints = (
        r"\033[2J\033[31mred\033[0m\033]0;title\007\nSubject: forged\nBcc: victim@example.net\n\n"
        r"X-Loop: x\r\n\r\n--=_\n.\n..\nFrom me\n>From you\nbegin 644 x\n\x08\x08\u202e\n"
    )
    letter = run(either, who, f"printf '{prints}'; printf '{prints}' >&2")
    words = text_of(letter)
    assert all(c.isprintable() or c == "\n" for c in words)
    assert "Bcc: victim" in words
    assert letter["Bcc"] is None
    assert attached(letter)["stdout.txt"].startswith(b"\033[2J\033[31mred")
    assert attached(letter)["stdout.txt"] == attached(letter)["stderr.txt"]
    assert not either.maildir("victim@example.net").exists()


def test_dots_and_from_lines_come_back_as_they_were(either: Gateway, who: str) -> None:
    lines = r".\n..\n.\r\n\r\n.\r\nFrom x\r\nFrom y\n\r\r\n>From z\n\n.\n"
    letter = run(either, who, f"printf '{lines}'")
    expected = lines.replace(r"\r", "\r").replace(r"\n", "\n").encode()
    assert attached(letter)["stdout.txt"] == expected
    raw = either.saved(who)[-1].read_bytes()
    assert not [x for x in raw.split(b"\n") if x.startswith((b"From ", b"."))]
    told = subprocess.run(
        [sys.executable, "-m", "mailgate.client.accat"],
        input=raw,
        capture_output=True,
        check=False,
        cwd=ROOT,
    )
    assert (told.returncode, told.stdout) == (0, expected)


def test_fifty_mebibytes_of_binary_errors_come_in_several_mails(gate: Gateway, who: str) -> None:
    letter = run(gate, who, "head -c 52428800 /dev/urandom >&2; exit 9")
    assert letter["Mailgate-Exit"] == "9"
    parts = gate.await_results(3, who)
    assert {part["Mailgate-Exit"] for part in parts} == {"9"}
    (first,) = [part for part in parts if "part 1 of 3" in part["Subject"]]
    assert "50 MiB" in text_of(first)


def test_a_line_without_an_end_is_cut(gate: Gateway, who: str) -> None:
    letter = run(gate, who, "head -c 5000000 /dev/zero | tr '\\0' w")
    assert max(map(len, text_of(letter).split("\n"))) < 80
    assert attached(letter)["stdout.txt"] == b"w" * 5_000_000


# --- its progress ---------------------------------------------------------------------------------

PROGRESS = {
    "rubbish": "head -c 3000 /dev/urandom > PLACE",
    "huge": "head -c 30000000 /dev/zero | tr '\\0' 9 > PLACE",
    "lines": "yes 200 | head -c 1000000 > PLACE",
    "link": "rm -f PLACE; ln -s $decoy/passwd PLACE",
    "pipe": "rm -f PLACE; mkfifo PLACE",
    "folder": "rm -f PLACE; mkdir PLACE",
    "gone": "rm -f PLACE",
    "words": "printf '50 \\033[2J\\nBcc: victim@example.net\\n50 \\033[31mred\\342\\200\\256' > PLACE",
    "negative": "echo -5 > PLACE",
    "not a number": "echo nan > PLACE",
}


def test_rubbish_for_progress_is_no_progress(either: Gateway, who: str) -> None:
    # Longer than progress is left unread.
    owners = {kind.replace(" ", ".") + "." + who: text for kind, text in PROGRESS.items()}
    for number, (owner, text) in enumerate(owners.items()):
        writes = text.replace("PLACE", '"$MAILGATE_PROGRESS"')
        ordered(either, owner, f"progress{chr(97 + number)}", f"{writes} 2>/dev/null\nsleep 6")
    for owner in owners:
        either.await_letters(1, owner, within=90)
        (path,) = either.saved(owner)
        hostile.well_formed(path)
        letter = read(path.read_bytes())
        assert letter["Mailgate-Exit"] == "0", text_of(letter)
        assert b"root:" not in everything(letter)
    said = [x for x in either.logged("progressed").splitlines() if "\x1b" in x or "root:" in x]
    assert said == []


# --- its end --------------------------------------------------------------------------------------


def test_a_job_that_closes_all_it_has_ends_as_it_says(either: Gateway, who: str) -> None:
    letter = run(either, who, "exec 0<&- 1>&- 2>&- 3>&- 8>&- 9>&-; exit 5")
    assert letter["Mailgate-Exit"] == "5"


def test_what_a_job_leaves_running_dies_with_it(either: Gateway, who: str) -> None:
    mark = f"9{secrets.randbelow(10**6):06}"
    letter = run(
        either, who,
        f"setsid sh -c 'trap \"\" TERM HUP; sleep {mark}' >/dev/null 2>&1 </dev/null &\n(sleep {mark} &)\necho gone",
    )  # fmt: skip
    assert letter["Mailgate-Exit"] == "0"
    eventually(lambda: not _alive(mark), 20)


def _alive(mark: str) -> bool:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in process.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_outputs_that_go_on_growing_are_mailed_in_the_end_and_hold_up_no_other(
    gate: Gateway, who: str
) -> None:
    # Without a sandbox: a process that threw its environment away outlives its job.
    grows = "n=0; while [ $n -lt 100 ]; do echo more; sleep 0.05; n=$((n + 1)); done"
    for number in range(6):
        text = f"echo begun\nenv -i setsid sh -c '{grows}' &\nsleep 0.1"
        ordered(gate, f"grower.{number}.{who}", f"grow{chr(97 + number)}", text)
    eventually(lambda: len(_ended_jobs(gate, who)) == 6, 30, gate.logged)
    assert run(gate, f"other.{who}", "echo well")["Mailgate-Exit"] == "0"
    for number in range(6):
        (letter,) = gate.await_results(1, f"grower.{number}.{who}")
        assert attached(letter)["stdout.txt"].startswith(b"begun\nmore\n")


def _ended_jobs(gateway: Gateway, who: str) -> list[str]:
    found = hostile.rows(
        gateway, "SELECT id FROM job WHERE owner LIKE ? AND phase = 'COMPLETED'", f"%{who}"
    )
    return [row["id"] for row in found]


def test_a_job_that_ignores_term_ends_at_its_limit(either: Gateway, who: str) -> None:
    assert send(either, mail("short", who), to="short").startswith("250")
    (letter,) = either.await_results(1, who)
    assert letter["Mailgate-Exit"] == "work-limit"
    assert letter["Mailgate-Phase"] == "ABORTED"


def test_a_job_that_kills_all_it_can_ends_itself_alone(boxed: Gateway, who: str) -> None:
    ordered(boxed, who, "killer", "kill -9 -1; kill -9 1; kill -9 $PPID; echo survived; sleep 3")
    letter = run(boxed, f"other.{who}", "echo alive")
    assert letter["Mailgate-Exit"] == "0"
    boxed.await_results(1, who)


FORGED = {
    "a reason": "printf 'why could-not-start {x} {0} y\\nend\\n' > ../run/1/exit",
    "a status": "printf 'status 999999\\nend\\n' > ../run/1/exit",
    "rubbish": "head -c 100000 /dev/urandom > ../run/1/exit",
    "a link": "rm ../run/1/exit; ln -s $decoy/passwd ../run/1/exit",
    "a pipe": "rm ../run/1/exit; mkfifo ../run/1/exit",
    "a far time": "touch -d @9999999999999 ../run/1/claim ../run/1/exit",
    "an early time": "touch -d @-9999999999 ../run/1/claim ../run/1/exit",
    "no claim": "rm ../run/1/claim",
    "a claim of ours": "rm ../run/1/claim; echo gateway > ../run/1/claim",
    "a claim of another process": "printf 'pid 1\\nend\\n' > ../run/1/claim",
    "no folder": "rm -rf ../run",
    "a folder elsewhere": "rm -rf ../run; ln -s work ../run",
}


def test_a_job_that_forges_its_own_record_harms_no_other(gate: Gateway, who: str) -> None:
    # Without a sandbox: its rights are the gateway's own, but its neighbours' results come.
    for number, text in enumerate(FORGED.values()):
        ends = "sleep 1; kill -9 $PPID" if number % 2 else "kill -9 $PPID"
        ordered(gate, f"forger.{number}.{who}", f"forge{chr(97 + number)}", f"{text}\n{ends}")
    for number in range(3):
        assert run(gate, f"other.{number}.{who}", "sleep 1; echo well")["Mailgate-Exit"] == "0"
    # Whoever takes away what shows that he began is tried ever more seldom; the operator ends it.
    for job in _open_jobs(gate, who):
        gate.run("cancel", job)
    eventually(lambda: not _open_jobs(gate, who), 60, gate.logged)


def _open_jobs(gateway: Gateway, who: str) -> list[str]:
    return [
        x["id"]
        for x in hostile.rows(
            gateway,
            "SELECT id FROM job WHERE owner LIKE ? AND phase IN ('QUEUED', 'EXECUTING')",
            f"%{who}",
        )
    ]


def test_a_second_try_is_not_misled_by_what_the_first_left(gate: Gateway, who: str) -> None:
    marks = gate.folder / f"tried{secrets.token_hex(4)}"
    first = (
        f'if [ -e "{marks}" ]; then echo second; exit 0; fi\ntouch "{marks}"\n'
        'cd /; chmod -R u+w "$HOME/.."; rm -rf "$HOME" "$MAILGATE_OUTPUTS"\n'
        'ln -s "$decoy" "$HOME"; ln -s "$decoy" "$MAILGATE_OUTPUTS"; kill -9 $PPID\n'
    )
    body = hostile.script(
        gate, f"again{''.join(c for c in secrets.token_hex(8) if c.isalpha())}", first
    )
    assert send(gate, mail("again", who, body), to="again").startswith("250")
    (letter,) = gate.await_results(1, who)
    assert letter["Mailgate-Exit"] == "0", text_of(letter)
    assert attached(letter)["stdout.txt"] == b"second\n"


# --- what the sandbox hides -----------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that is not below /tmp, which every sandbox hides anyhow."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="mailgate-test-", dir=Path.home()))
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="mailgate-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


SPY = r"""
look() { for at; do [ ! -r "$at" ] || { [ -d "$at" ] && [ -z "$(ls -A "$at")" ]; } || [ ! -s "$at" ] || echo "SEEN $at"; done; }
spool=$(dirname "$0")/../spool
look "$spool/spool.db" "$spool/spool.db-wal" "$spool/secret" "$spool/mail" "$spool/letters" "$spool/staged"
look "$spool/../password"
for job in "$spool"/jobs/*/*; do [ ! -e "$job" ] || [ "${job##*/}" = "$MAILGATE_JOB" ] || echo "SEEN $job"; done
look ../out/stdout ../out/stderr ../run/1/script ../run/1/exit ../run/1/claim ../run/1/lock
for at in /x /etc/x /usr/x "$spool/x" "$spool/../x" ../x ../in/x ../run/x "$(dirname "$0")/x"; do
    (echo x > "$at") 2>/dev/null && echo "WRITTEN $at"
done
python3 - <<'END'
import os, socket
for place in [("127.0.0.1", PORT), ("127.0.0.1", 22), ("1.1.1.1", 53)]:
    try:
        socket.create_connection(place, 2)
        print("REACHED", place)
    except OSError:
        pass
try:
    # A socket in the file system is no matter of the network.
    socket.socket(socket.AF_UNIX).connect("DOOR")
    print("REACHED the door")
except OSError:
    pass
others = [p for p in os.listdir("/proc") if p.isdecimal() and os.path.exists(f"/proc/{p}/environ")]
print("PROCESSES", len(others))
for process in others:
    try:
        if b"mailgate.cli" in open(f"/proc/{process}/cmdline", "rb").read():
            print("SEEN daemon")
    except OSError:
        pass
try:
    os.setuid(0); os.chroot("/"); print("ROOT")
except OSError:
    pass
END
echo looked
"""


def test_a_job_in_the_sandbox_sees_nothing_of_the_house(elsewhere: Path, who: str) -> None:
    require("bwrap")
    relay = (
        '[deliver.smtp]\nhost = "127.0.0.1"\nport = 9\nuser = "u"\n'
        'tls = "starttls"\npassword_file = "password"\n'
    )
    relay += '[listen.lmtp]\nsocket = "lmtp.sock"\n'
    (elsewhere / "password").write_text("the relay's password")
    (elsewhere / "password").chmod(0o600)
    with running(elsewhere, sandbox="bwrap", courier='courier = "smtp"', more=relay) as gateway:
        hostile.offer(gateway)
        gateway.start()
        ordered(gateway, who, "private", 'echo private > "$MAILGATE_OUTPUTS/private"')
        _out(gateway, 1)
        door = str(elsewhere / "lmtp.sock")
        spy = SPY.replace("PORT", str(gateway.port)).replace("DOOR", door)
        ordered(gateway, who, "spy", spy)
        said = _out(gateway, 2)
        assert "looked" in said, said
        assert [x for x in said.splitlines() if x.startswith(("SEEN", "REACHED", "ROOT"))] == []
        assert int(said.split("PROCESSES ")[1].split()[0]) <= 6
        # Where the sandbox let it write, nothing of that is outside.
        assert [path for path in elsewhere.rglob("x") if path.parent.name != "work"] == []
        for place in ("/x", "/etc/x", "/usr/x"):
            assert not os.path.lexists(place)


def _out(gateway: Gateway, count: int) -> str:
    """What the newest of so many jobs printed, once all have ended; no letter of it leaves."""

    def ended() -> bool:
        return len(hostile.rows(gateway, "SELECT id FROM job WHERE phase = 'COMPLETED'")) == count

    eventually(ended, 30, gateway.logged)
    (row,) = hostile.rows(gateway, "SELECT id FROM job ORDER BY created DESC LIMIT 1")
    return (gateway.spool / "jobs" / row["id"][:2] / row["id"] / "out/stdout").read_text()
