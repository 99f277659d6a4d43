"""mailgate check: every mistake, a line each, and warnings where trust is wide."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailgate.cli.check import run
from mailgate.cli.machine import file_system
from tests.disks import small_disk

CONFIG = """
[gateway]
address = "jobs@gate.example.org"
[deliver.maildir]
path = "outgoing"
"""
IMAP = '[listen.imap]\nhost = "mail.example.org"\nuser = "u"\ntoken_command = ["./token"]\n'
SERVICE = 'command = ["true"]\n[limits]\nwork = "1h"\ndisk = "1 GiB"\n[access]\nallow = ["*"]\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "tool.toml").write_text(SERVICE)
    file = tmp_path / "mailgate.toml"
    file.write_text(CONFIG + '[trust]\nnetworks = ["127.0.0.0/8"]\n')
    return file


def test_what_is_in_order_exits_0(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-c", str(config)]) == 0
    assert capsys.readouterr().out == f"{config}: in order; services: tool\n"


def test_configuration_services_and_templates_are_told_together(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = config.parent
    config.write_text(CONFIG.replace("[deliver", 'templates = "templates"\nport = 5\n[deliver'))
    (folder / "services" / "tool.toml").write_text('command = ["{x}"]')
    (folder / "services" / "other.toml").write_text("command = [")
    (folder / "templates").mkdir()
    (folder / "templates" / "result.txt.j2").write_text(
        "{% block subject %}\n{{ nothing }}\n{% endblock %}\n"
    )
    assert run(["-c", str(config)]) == 78
    told = capsys.readouterr().err
    assert f"{config}:5: gateway.port: there is no such key; expected " in told
    assert f'{folder}/services/tool.toml:1: command.0: there is no parameter "x"; expected ' in told
    assert f"{folder}/services/other.toml:1: " in told
    assert f"{folder}/templates/result.txt.j2" in told
    assert not any(folder.glob("spool*"))


def test_an_unreadable_configuration_exits_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-c", str(tmp_path / "no.toml")]) == 78
    assert "cannot be read" in capsys.readouterr().err


def test_a_service_with_the_gateways_own_name_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "services" / "jobs.toml").write_text(SERVICE)
    assert run(["-c", str(config)]) == 78
    assert (
        'jobs.toml:1: the service "jobs" has the gateway\'s own address' in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (
            '[trust]\nnetworks = ["127.0.0.0/8"]',
            "mail from 127.0.0.0/8 can send requests in anybody's name",
        ),
        ('[trust]\nnetworks = ["0.0.0.0/0"]', "0.0.0.0/0 (the whole internet)"),
        ('[trust]\nnetworks = ["8.8.8.0/24"]', "8.8.8.0/24 (public addresses)"),
        ("[listen.pipe]\ntrust = true", "[listen.pipe] trust: whoever may run 'mailgate receive'"),
        ("", "nothing vouches for any sender"),
        (
            '[trust]\nauthserv_id = "mx.example.org"\nhops = ["192.0.2.1"]',
            "[trust] authserv_id: mx.example.org must remove every Authentication-Results header",
        ),
        ('[trust]\nauthserv_id = "mx.example.org"', "authserv_id: it is believed from nobody"),
        ('[trust]\nhops = ["192.0.2.1"]', "[trust] hops: without authserv_id nobody's"),
        ('[listen.lmtp]\nhost = "0.0.0.0"', "[listen.lmtp] host: whoever reaches 0.0.0.0 is taken"),
        (IMAP + "trust = true", "[listen.imap] trust: whoever can send mail to the mailbox can"),
        (IMAP + 'tls = "none"', '[listen.imap] tls is "none": the password goes over the network'),
        (IMAP, "[listen.imap] token_command: there is no program ./token"),
        (IMAP, "nothing vouches for any sender"),
        ('[trust]\nhops = ["0.0.0.0/0"]', "mail from 0.0.0.0/0 (the whole internet) can write"),
    ],
)
def test_the_risk_of_trust_is_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str], words: str, warning: str
) -> None:
    config.write_text(CONFIG + words)
    assert run(["-c", str(config)]) == 0
    assert warning in capsys.readouterr().err


def test_a_mailbox_is_a_hop_so_that_authserv_id_alone_is_no_mistake(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mailbox = IMAP.replace("mail.example.org", "127.0.0.1").replace("./token", "true")
    config.write_text(f'{CONFIG}{mailbox}tls = "none"\n[trust]\nauthserv_id = "mx.example.org"\n')
    assert run(["-c", str(config)]) == 0
    told = capsys.readouterr().err
    assert "believed from nobody" not in told
    assert "listen.imap" not in told


@pytest.mark.parametrize(
    ("trust", "lists"),
    [
        ('networks = ["127.0.0.0/8"]', "networks"),
        ('networks = ["0.0.0.0/0"]', "networks"),
        ('networks = ["192.0.2.1"]', ""),
        ('hops = ["::1"]\nauthserv_id = "mx.example.org"', "hops"),
        ('hops = ["127.0.0.1"]', ""),
    ],
)
def test_jobs_that_reach_a_trusting_door_are_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str], trust: str, lists: str
) -> None:
    config.write_text(f"{CONFIG}[trust]\n{trust}\n")
    (config.parent / "services" / "tool.toml").write_text("network = true\n" + SERVICE)
    assert run(["-c", str(config)]) == 0
    told = capsys.readouterr().err
    said = f"warning: tool: network is true, and [trust] {lists} holds this machine: its jobs can"
    assert (said in told) == bool(lists)
    assert ("holds this machine" in told) == bool(lists)


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (
            '[run.local]\nsandbox = "none"',
            "[run.local] sandbox: Local jobs share the gateway's rights",
        ),
        (
            '[run.local]\npath = "/nowhere"',
            'tool: "true" is in no folder of the jobs\' PATH, /nowhere',
        ),
        ('[run]\nengine = "lsf"', "[run.lsf]: its jobs are in no sandbox"),
        ('[run]\nengine = "lsf"', "[run.lsf]: its nodes must see "),
        ('[run]\nengine = "lsf"\nfolder = "jobs"', "[run.lsf]: its nodes must see "),
    ],
)
def test_what_this_machine_makes_of_it_is_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str], words: str, warning: str
) -> None:
    config.write_text(CONFIG + words)
    assert run(["-c", str(config)]) == 0
    told = capsys.readouterr().err
    assert f"warning: {warning}" in told
    assert ("warning: you are root" in told) == (os.geteuid() == 0)


@pytest.mark.parametrize(
    ("more", "warned"), [("", True), ('[run.gridengine]\npe = "smp"\n', False)]
)
def test_cores_that_a_cluster_cannot_be_asked_for_are_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str], more: str, *, warned: bool
) -> None:
    config.write_text(f'{CONFIG}[run]\nengine = "gridengine"\n{more}')
    file = config.parent / "services" / "tool.toml"
    file.write_text(SERVICE.replace("work", "cores_max = 4\nwork"))
    assert run(["-c", str(config)]) == 0
    told = 'warning: tool: [limits] cores: Several cores need a "pe"'
    assert (told in capsys.readouterr().err) == warned


@pytest.mark.parametrize(
    ("table", "word", "warning"),
    [
        ("command", 'queue = "night"', "queue: the engine local has none"),
        ("work", "gpus = 2", "[limits] gpus: the engine local gives none"),
        ("[access]", '[retry]\ntimes = 1\non = ["memory"]', "[retry] on: the engine local never"),
    ],
)
def test_what_only_a_cluster_has_is_warned_about_where_there_is_none(
    config: Path, capsys: pytest.CaptureFixture[str], table: str, word: str, warning: str
) -> None:
    service = config.parent / "services" / "tool.toml"
    service.write_text(SERVICE.replace(table, f"{word}\n{table}"))
    assert run(["-c", str(config)]) == 0
    assert f"warning: tool: {warning}" in capsys.readouterr().err
    config.write_text(f'{CONFIG}[run]\nengine = "lsf"\n')
    assert run(["-c", str(config)]) == 0
    assert "engine local" not in capsys.readouterr().err


def test_a_clusters_folder_on_a_disk_of_its_own_is_not_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "shared", "1m") as disk:
        config.write_text(f'{CONFIG}[run]\nengine = "lsf"\nfolder = "{disk.place}/mailgate/jobs"\n')
        assert run(["-c", str(config)]) == 0
    assert "its nodes must see" not in capsys.readouterr().err


def test_a_service_whose_engine_is_nowhere_is_a_mistake(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "services" / "tool.toml").write_text('engine = "nowhere"\n' + SERVICE)
    assert run(["-c", str(config)]) == 78
    assert 'tool.toml:1: engine: there is no "nowhere"; expected "local"' in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("[deliver", 'min_free = "1000000 TiB"\n[deliver', 1))
    assert run(["-c", str(config)]) == 0
    assert (
        "min_free, 1000000 TiB, is more than the whole disk of the spool" in capsys.readouterr().err
    )


def test_a_path_of_a_program_that_leads_nowhere_from_the_jobs_folder_is_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = config.parent / "services" / "tool.toml"
    service.write_text(SERVICE.replace("true", "bin/tool"))
    assert run(["-c", str(config)]) == 0
    assert 'tool: "bin/tool" is no program that can be started' in capsys.readouterr().err
    (config.parent / "services" / "bin").mkdir()
    (config.parent / "services" / "bin" / "tool").touch(0o755)
    assert run(["-c", str(config)]) == 0
    assert "no program that can be started" not in capsys.readouterr().err


def test_a_script_that_is_not_there_is_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    services = config.parent / "services"
    (services / "tool.toml").write_text(
        SERVICE.replace('"true"', '"sh", ["-e", "blast2.sh"], "/no/a.py", "lib/b.R", "data.txt"')
    )
    (services / "lib").mkdir()
    (services / "lib" / "b.R").touch()
    assert run(["-c", str(config)]) == 0
    told = capsys.readouterr().err
    assert f'tool: command: there is no file "blast2.sh" in {services}: if it is a script' in told
    assert 'tool: command: there is no file "/no/a.py": if it is' in told
    assert "b.R" not in told
    assert "data.txt" not in told
    (services / "blast2.sh").touch()
    assert run(["-c", str(config)]) == 0
    assert "blast2.sh" not in capsys.readouterr().err


def test_programs_that_only_their_owner_can_reach_are_warned_about(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = config.parent / "home"
    (home / "bin").mkdir(parents=True)
    home.chmod(0)
    config.write_text(CONFIG + f'[run.local]\npath = "{home}/bin:/usr/bin:/bin"\n')
    assert run(["-c", str(config)]) == 0
    assert f'{home}/bin leads there: a job that runs as another user gets "Permission denied"' in (
        capsys.readouterr().err
    )
    config.write_text(CONFIG)
    assert run(["-c", str(config)]) == 0
    assert "leads there" not in capsys.readouterr().err


def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = f"/dev/sda / ext4 rw 0 0\nhost:/a {tmp_path}/a\\040b nfs4 rw 0 0\n"
    assert file_system(tmp_path / "a", mounts) == "ext4"
    assert file_system(tmp_path / "a b" / "spool", mounts) == "nfs4"
    over = f"{mounts}tmpfs {tmp_path}/a\\040b tmpfs rw 0 0\n"
    assert file_system(tmp_path / "a b", over) == "tmpfs"
    assert file_system(tmp_path, "") == ""


@pytest.mark.parametrize(
    "words",
    [["--live", "--to", "not an address"], ["--live", "--to", ""], ["--to", "ada@example.org"]],
    ids=["no address", "empty", "without --live"],
)
def test_a_test_letter_to_nobody_is_a_slip(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(["-c", str(config), *words])
    assert end.value.code == 64
    assert "--to" in capsys.readouterr().err
    assert not (config.parent / "outgoing").exists()


def test_services_whose_jobs_may_fill_the_disk_are_told_in_one_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b", "a"):
        text = SERVICE.replace('disk = "1 GiB"\n', "")
        (config.parent / "services" / f"{name}.toml").write_text(text)
    assert run(["-c", str(config)]) == 0
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "disk" in x]
    assert line == (
        f"{config}: warning: [limits] disk is not set: a job of these may fill the disk: a, b"
    )


def test_no_services_is_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "services" / "tool.toml").unlink()
    assert run(["-c", str(config)]) == 0
    assert "there is no service in" in capsys.readouterr().err


def test_the_shipped_configuration_is_in_order(checkout: Path) -> None:
    code = "import sys; from mailgate.cli.main import main; sys.argv = ['mailgate', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, "check", "-c", "etc/mailgate.toml"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "etc/mailgate.toml: in order; services: align\n")
