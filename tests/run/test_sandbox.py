"""Inside the sandbox a job sees the system, its own files and nothing of anybody else's."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailgate.errors import BadConfig, Permanent, Transient
from mailgate.model import Exit, Plan, Reason
from mailgate.run.jobdir import Folder, prepare
from mailgate.run.sandbox import Bubblewrap, Confinement, Unconfined, probe
from tests.conftest import CHECKOUT
from tests.run.conftest import boxed
from tests.run.yard import PATH, Handle, Yard, handle

Opened = Callable[..., Yard]


async def shell(yard: Yard, command: str, **plan: object) -> str:
    """Run a line of shell as a job and return what it wrote."""
    job, end = await yard.ran("sh", "-c", command, **plan)
    assert end.reason is Reason.EXIT, (end, job.stderr)
    return job.stdout


# --- what is hidden -------------------------------------------------------------------------------


async def test_a_job_sees_no_other_job_and_nothing_of_the_spool(
    open_yard: Opened, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    (spool / "jobs").mkdir(parents=True)
    (spool / "mail.db").write_text("everybody's mail")
    (spool / "key").write_text("secret")
    yard = open_yard(boxed(hidden=[spool]))
    yard.jobs = spool / "jobs"
    other, _ = await yard.ran("sh", "-c", "echo other >mine")
    command = f"ls -A {spool} {spool}/jobs; cat {spool}/mail.db {other.folder.work}/mine; ls {other.folder.root}"
    job, end = await yard.ran("sh", "-c", command)
    assert end.code != 0
    own = job.folder.job[:2]
    assert job.stdout == f"{spool}:\njobs\n\n{spool}/jobs:\n{own}\n"
    assert job.stderr.count("No such file or directory") == 3


async def test_of_its_own_folder_a_job_sees_what_is_its_own(yard: Yard) -> None:
    if isinstance(yard.box, Unconfined):
        pytest.skip("without a sandbox it sees all that the gateway does")
    said = await shell(yard, "cd ..; ls -A . out run/1; echo x >in/new || echo x >run/1/exit")
    assert said == ".:\nin\nout\nrun\nwork\n\nout:\nnamed\n\nrun/1:\nprogress\n"


async def test_inputs_are_read_only_even_to_root(open_yard: Opened) -> None:
    job, end = await open_yard(boxed()).ran("sh", "-c", "chmod 0700 ../in; echo x >../in/new")
    assert end.code != 0
    assert "Read-only file system" in job.stderr
    assert list(job.folder.inputs.iterdir()) == []


@pytest.mark.parametrize(
    "place",
    ["/usr/bin/mailgate-x", "/etc/mailgate-x", "/mailgate-x", "/proc/sys/kernel/core_pattern"],
)
async def test_the_system_is_read_only(open_yard: Opened, place: str) -> None:
    job, end = await open_yard(boxed()).ran("sh", "-c", f"cp /dev/null {place}")
    assert end.code == 1, job.stderr
    assert not place.endswith("-x") or not Path(place).exists()


async def test_a_job_has_a_tmp_of_its_own(open_yard: Opened, tmp_path: Path) -> None:
    beside = tmp_path.parent / "beside"
    beside.write_text("another's")
    yard = open_yard(boxed())
    said = await shell(yard, f"cat {beside} && echo seen; echo x >/tmp/mine && cat /tmp/mine")
    assert said == "x\n"
    assert not Path("/tmp/mine").exists()
    beside.unlink()


async def test_what_a_job_writes_into_memory_is_bounded(open_yard: Opened) -> None:
    yard = open_yard(boxed())
    script = "stat -f -c '%b %S' /tmp /var/tmp /dev/shm; touch /dev/x /dev/shm/x && touch /run/x"
    for memory, most in ((None, 1 << 30), (64 << 20, 64 << 20)):
        job, end = await yard.ran("sh", "-c", script, memory=memory)
        assert end.code != 0
        sizes = [int(a) * int(b) for a, b in map(str.split, job.stdout.splitlines())]
        assert sizes == [most] * 3
        assert "/dev/x" in job.stderr
        assert "/dev/shm/x" not in job.stderr


def test_a_bwrap_that_cannot_bound_is_used_all_the_same_and_says_so(tmp_path: Path) -> None:
    box = boxed()
    assert isinstance(box, Bubblewrap)
    old = tmp_path / "bwrap"
    old.write_text(
        '#!/bin/sh\ncase " $* " in *" --size "*) exit 1; esac\n'
        f'[ "$1" = --help ] || exec {box.program} "$@"\n'
    )
    old.chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{path}"
    try:
        found = boxed()
    finally:
        os.environ["PATH"] = path
    assert found.holds
    assert "cannot bound" in found.sentence


async def test_a_job_sees_no_process_but_its_own(open_yard: Opened) -> None:
    job, _ = await open_yard(boxed()).ran("sh", "-c", "ls -d /proc/[0-9]*; kill -9 1 2 -1")
    assert len(job.stdout.split()) < 5


async def test_a_job_has_no_capability_to_undo_it(open_yard: Opened) -> None:
    said = await shell(
        open_yard(boxed()), "grep -h '^Cap[EPB]' /proc/self/status; umount /tmp 2>/dev/null && echo undone"
    )  # fmt: skip
    assert {line.split()[1] for line in said.splitlines()} == {"0" * 16}


async def test_secret_files_read_as_nothing(open_yard: Opened, tmp_path: Path) -> None:
    # Outside /tmp, where there would be nothing to hide.
    secret = Path("/etc/hostname")
    box = boxed(hidden=[secret])
    said = await shell(open_yard(box), f"cat {secret} 2>&1; ls {secret}")
    assert secret.read_text() not in said


async def test_backups_are_hidden(open_yard: Opened) -> None:
    if not Path("/var/backups").is_dir():
        pytest.skip("this system has no folder for them")
    mounted = await shell(open_yard(boxed()), "grep ' /var/backups ' /proc/self/mounts")
    assert mounted.split()[2] == "tmpfs"


async def test_sockets_of_the_systems_services_are_out_of_reach(open_yard: Opened) -> None:
    assert await shell(open_yard(boxed()), "ls -A /run") == ""


# --- what is shown --------------------------------------------------------------------------------


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return path


async def test_services_and_programs_below_tmp_are_seen(open_yard: Opened, tmp_path: Path) -> None:
    # /tmp is hidden, and pytest's folder is below it on most machines.
    service = program(tmp_path / "services" / "align.sh", "aligned")
    tool = program(tmp_path / "venv" / "bin" / "tool", "$(cat $(dirname $0)/../lib/word)")
    (tmp_path / "venv" / "lib").mkdir()
    (tmp_path / "venv" / "lib" / "word").write_text("from the prefix")
    box = probe("bwrap", path=f"{tmp_path}/venv/bin:{PATH}", shown=[tmp_path / "services"])
    said = await shell(open_yard(box), f"{service}; {tool}; ls -A {tmp_path}")
    assert said.splitlines()[:2] == ["aligned", "from the prefix"]
    assert set(said.splitlines()[2:]) == {"jobs", "services", "venv"}


async def test_services_inside_the_hidden_spool_are_seen_and_secrets_inside_them_are_not(
    open_yard: Opened, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    service = program(spool / "services" / "align.sh", "aligned")
    (spool / "services" / "password").write_text("secret")
    (spool / "mail.db").write_text("mail")
    box = boxed(hidden=[spool, spool / "services" / "password"], shown=[spool / "services"])
    said = await shell(open_yard(box), f"{service}; ls {spool}; cat {spool}/services/password 2>&1")
    assert said.splitlines()[:2] == ["aligned", "services"]
    assert "secret" not in said


async def test_what_a_virtual_environment_rests_on_is_seen(
    open_yard: Opened, tmp_path: Path
) -> None:
    base = program(tmp_path / "python" / "bin" / "python3", "python")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python3").symlink_to(base)
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    box = probe("bwrap", path=f"{tmp_path}/venv/bin:{PATH}")
    assert await shell(open_yard(box), f"{tmp_path}/venv/bin/python3") == "python\n"


async def test_a_folder_that_is_hidden_and_shown_is_hidden(
    open_yard: Opened, tmp_path: Path
) -> None:
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "x").touch()
    box = boxed(hidden=[tmp_path / "both"], shown=[tmp_path / "both", Path("/tmp")])
    assert await shell(open_yard(box), f"ls {tmp_path}/both 2>/dev/null; true") == ""


async def test_places_that_are_not_there_do_no_harm(open_yard: Opened, tmp_path: Path) -> None:
    box = boxed(hidden=[tmp_path / "later", Path("/no/such")], shown=[tmp_path / "never"])
    yard = open_yard(box)
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "letter").touch()
    assert await shell(yard, f"ls -A {tmp_path}/later 2>/dev/null; echo ran") == "ran\n"


# --- the network ----------------------------------------------------------------------------------


async def test_a_job_reaches_no_network_unless_its_service_lets_it_out(open_yard: Opened) -> None:
    yard = open_yard(boxed())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        python = str(Path(sys.executable).resolve())
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        job, end = await yard.ran(python, "-c", connect)
        assert end.code == 1
        assert "ConnectionRefusedError" in job.stderr or "OSError" in job.stderr
        _, end = await yard.ran(python, "-c", connect, network=True)
        assert end.code == 0


async def test_a_job_with_a_network_can_look_up_names(open_yard: Opened) -> None:
    said = await shell(open_yard(boxed()), "cat /etc/resolv.conf", network=True)
    assert said == Path("/etc/resolv.conf").read_text()


# --- links on the way -----------------------------------------------------------------------------


async def test_a_jobs_folder_behind_a_link_works(open_yard: Opened, tmp_path: Path) -> None:
    place = Path("/var/lib") if os.access("/var/lib", os.W_OK) else Path.home()
    if place.resolve().is_relative_to("/tmp"):
        pytest.skip("there is no place for a link but below /tmp")
    link = place / f"mailgate-test-{os.getpid()}"
    (tmp_path / "real").mkdir()
    link.symlink_to(tmp_path / "real")
    try:
        yard = open_yard(boxed())
        yard.jobs = link / "jobs"
        job, end = await yard.ran("sh", "-c", 'pwd; echo x >"$MAILGATE_OUTPUTS/x"')
        assert end == Exit(reason=Reason.EXIT, code=0), job.stderr
        assert (job.folder.named / "x").read_text() == "x\n"
    finally:
        link.unlink()


def test_a_link_that_no_job_could_see_is_refused(tmp_path: Path) -> None:
    if not tmp_path.is_relative_to("/tmp"):
        pytest.skip("pytest's folder is not below /tmp")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    job = handle(tmp_path / "link", Plan(argv=("true",)))
    box = boxed()
    with pytest.raises(Permanent, match="real path"):
        box.wrap(job.folder, job.start)


# --- as anybody -----------------------------------------------------------------------------------

AS_NOBODY = """
import asyncio, sys
from pathlib import Path
from mailgate.run.sandbox import probe
from tests.run.yard import PATH, Yard

async def main():
    top = Path(sys.argv[1])
    yard = Yard(top / "jobs", probe("bwrap", path=PATH, hidden=[top / "spool"]))
    try:
        script = "id -u; ls -A $1 2>/dev/null; echo x >$MAILGATE_OUTPUTS/y; cat /proc/sys/kernel/ostype"
        job, end = await yard.ran("sh", "-c", script, "sh", str(top / "spool"))
        print(end.code, job.stdout, job.stderr)
        job, end = await yard.ran("sh", "-c", "trap 'echo bye; exit' TERM; sleep 60 & wait", limit=1)
        print(end.reason, job.stdout)
    finally:
        await yard.close()

asyncio.run(main())
"""


def test_the_sandbox_works_for_an_ordinary_user(anybodys: Path) -> None:
    boxed()
    if os.geteuid() != 0:
        pytest.skip("all other tests run as an ordinary user")
    python = _python_of_anybody()
    if python is None or not _readable(CHECKOUT / "mailgate"):
        pytest.skip("an ordinary user may not read this checkout or any new enough Python")
    someone = 54_322
    top = anybodys / "top"
    (top / "spool").mkdir(parents=True)
    (top / "spool" / "mail").touch()
    for path in (top, top / "spool", top / "spool" / "mail"):
        os.chown(path, someone, someone)
    ran = subprocess.run(
        [python, "-c", AS_NOBODY, str(top)],
        check=False,
        capture_output=True,
        cwd="/",
        env={"PATH": PATH, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        user=someone,
        group=someone,
        extra_groups=[],
        timeout=60,
    )
    assert ran.stdout.decode().split() == ["0", str(someone), "Linux", "work-limit", "bye"], (
        ran.stderr.decode()
    )


def _python_of_anybody() -> Path | None:
    for name in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        python = Path(name).resolve()
        newest = "import sys; sys.exit(sys.version_info < (3, 11))"
        if (
            _readable(python)
            and subprocess.run([python, "-c", newest], check=False).returncode == 0
        ):
            return python
    return None


def _readable(path: Path) -> bool:
    return path.exists() and all(
        above.stat().st_mode & stat.S_IXOTH for above in (path, *path.parents)
    )


# --- the choice -----------------------------------------------------------------------------------


def test_none_is_none_and_says_what_it_means() -> None:
    box = probe("none", path=PATH)
    assert not box.holds
    assert "share the gateway's rights" in box.sentence
    assert "leaves running without its environment" in box.sentence


def test_auto_takes_bubblewrap_where_it_works() -> None:
    boxed()
    box = probe("auto", path=PATH)
    assert isinstance(box, Bubblewrap)
    assert box.holds
    assert "bubblewrap" in box.sentence


@pytest.mark.parametrize(
    "fake",
    [
        None,
        "#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n",
        "no program\n",
    ],
)
def test_without_a_working_bwrap_auto_says_so_and_bwrap_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: str | None
) -> None:
    if fake is not None:
        (tmp_path / "bwrap").write_text(fake)
        (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    box = probe("auto", path=PATH)
    assert isinstance(box, Unconfined)
    assert "bwrap" in box.sentence
    with pytest.raises(BadConfig, match=r"run\.local\.sandbox"):
        probe("bwrap", path=PATH)


@pytest.mark.parametrize(
    "fault",
    [
        'echo "bwrap: Can\'t fork for pid 1: Resource temporarily unavailable" >&2; exit 1',
        "echo 'bwrap: Out of memory: Cannot allocate memory' >&2; exit 1",
        "kill -9 $$",
    ],
)
@pytest.mark.parametrize("setting", ["auto", "bwrap"])
def test_a_machine_that_is_short_of_something_has_no_job_run_without_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, fault: str
) -> None:
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{fault}\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Transient, match="cannot be told now"):
        probe(setting, path=PATH)


def test_no_mount_is_made_twice(tmp_path: Path) -> None:
    jobs = tmp_path / "spool" / "jobs"
    box = boxed(hidden=[tmp_path / "spool", tmp_path / "spool" / "deep" / "secret"])
    job: Handle = handle(jobs, Plan(argv=("true",)))
    prepare(Folder(jobs, job.folder.job), job.plan, ())
    words = box.wrap(job.folder, job.start)
    assert words.count("--tmpfs") == sum(
        Path(p).exists() for p in ("/dev/shm", "/tmp", "/var/tmp", "/run", "/var/backups")
    ) + (not tmp_path.is_relative_to("/tmp"))


def test_both_choices_have_the_same_face() -> None:
    boxes: list[Confinement] = [probe("none", path=PATH), boxed()]
    for box in boxes:
        assert isinstance(box.sentence, str)
        assert isinstance(box.holds, bool)
    assert shutil.which("bwrap")
