"""The configuration: one file, one tree, every mistake told at once."""

import os
import tomllib
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from mailgate.config import TABLES, Courier, Quota, Sandbox, Tls, describe, load
from mailgate.errors import BadConfig

BROKEN = Path(__file__).parent / "data" / "configs"
SHORTEST = """
[gateway]
address = "Jobs@Gate.example.org"
[deliver.maildir]
path = "outgoing"
"""


def written(folder: Path, words: str) -> Path:
    file = folder / "mailgate.toml"
    file.write_text(words, encoding="utf-8")
    return file


def mistakes(file: Path) -> list[str]:
    with pytest.raises(BadConfig) as caught:
        load(file)
    return str(caught.value).splitlines()


def test_the_shortest_configuration_has_every_default(tmp_path: Path) -> None:
    config = load(written(tmp_path, SHORTEST))
    assert config.path == tmp_path / "mailgate.toml"
    assert config.gateway.address == "jobs@gate.example.org"
    assert config.gateway.spool == tmp_path / "spool"
    assert config.gateway.templates is None
    assert config.gateway.min_free == 1 << 30
    assert config.smtp is None
    assert not config.pipe.trust
    assert config.run.folder == tmp_path / "spool" / "jobs"
    assert config.run.local.sandbox is Sandbox.AUTO
    assert config.run.local.path == os.environ["PATH"]
    assert config.deliver.courier is Courier.MAILDIR
    assert config.deliver.maildir is not None
    assert config.deliver.maildir.path == tmp_path / "outgoing"
    assert config.deliver.smtp is None
    assert config.deliver.retry == tuple(timedelta(seconds=s) for s in (10, 30, 120, 600, 3600))
    assert config.deliver.give_up == timedelta(days=5)
    assert config.trust.networks == config.trust.hops == ()
    assert config.trust.authserv_id is None
    assert config.quota == Quota()
    assert config.keep.mail == timedelta(days=7)


def test_every_key_of_the_house_is_read(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    config = load(
        written(
            tmp_path,
            """
            [gateway]
            address = "jobs@gate.example.org"
            spool = "/var/spool/mailgate"
            services = "services"
            min_free = "0"
            [listen.smtp]
            host = "::1"
            port = 0
            max_size = "25 MB"
            tls_cert = "cert.pem"
            tls_key = "password"
            port_tls = 465
            users = "users"
            [listen.lmtp]
            socket = "lmtp.sock"
            max_size = "1 MB"
            [listen.pipe]
            trust = true
            max_size = 1000
            [read]
            workers = 2
            time_limit = "1m"
            memory = "512 MiB"
            [run]
            engine = "here"
            folder = "/srv/jobs"
            paused = true
            [run.here]
            engine = "local"
            slots = 8
            sandbox = "none"
            path = "/usr/bin"
            kill_after = "1s"
            [deliver]
            courier = "smtp"
            max_size = "10 MiB"
            receipt_after = "0s"
            retry = ["1s"]
            [deliver.smtp]
            host = "relay.example.org"
            port = 587
            timeout = "10s"
            tls = "starttls"
            user = "gateway"
            password_file = "password"
            [trust]
            networks = ["127.0.0.0/8", "::1", "192.0.2.7"]
            authserv_id = "MX.Example.org"
            hops = ["192.0.2.8"]
            [quota]
            waiting = 5
            bytes_a_day = "1 MiB"
            [keep]
            mail = "1d"
            """,
        )
    )
    assert config.smtp is not None
    assert (config.smtp.host, config.smtp.port, config.smtp.max_size) == ("::1", 0, 25_000_000)
    assert (config.smtp.tls_cert, config.smtp.tls_key) == (tmp_path / "cert.pem", password)
    assert (config.smtp.port_tls, config.smtp.users) == (465, tmp_path / "users")
    assert config.lmtp is not None
    assert (config.lmtp.socket, config.lmtp.max_size) == (tmp_path / "lmtp.sock", 1_000_000)
    assert config.pipe.trust
    assert config.pipe.max_size == 1000
    assert (config.read.workers, config.read.time_limit) == (2, timedelta(minutes=1))
    assert (config.run.engine, config.run.folder, config.run.paused) == (
        "here",
        Path("/srv/jobs"),
        True,
    )
    assert (config.run.local.slots, config.run.local.path) == (8, "/usr/bin")
    relay = config.deliver.smtp
    assert relay is not None
    assert (relay.port, relay.tls, relay.user, relay.password_file) == (
        587,
        Tls.STARTTLS,
        "gateway",
        password,
    )
    assert config.trust.networks == tuple(
        map(ip_network, ("127.0.0.0/8", "::1/128", "192.0.2.7/32"))
    )
    assert config.trust.authserv_id == "mx.example.org"
    assert config.trust.hops == (ip_network("192.0.2.8/32"),)
    assert config.quota == Quota(waiting=5, bytes_a_day=1 << 20)


def test_the_shipped_configuration_is_in_order_and_names_every_table(checkout: Path) -> None:
    file = checkout / "etc" / "mailgate.toml"
    config = load(file)
    assert config.gateway.spool == checkout / "spool"
    text = file.read_text(encoding="utf-8")
    assert [table for table in TABLES if f"[{table}]" not in text] == []


def test_the_shipped_configuration_mentions_every_key_with_its_default(checkout: Path) -> None:
    text = (checkout / "etc" / "mailgate.toml").read_text(encoding="utf-8")
    uncommented = "".join(
        f"{line.removeprefix('# ')}\n"
        for line in text.splitlines()
        if " = " in line or line.removeprefix("# ").startswith("[")
    )
    shipped = tomllib.loads(uncommented)
    for row in describe():
        table = shipped
        for part in row.table.split("."):
            table = table[part]
        if row.key == "engine" and row.table.startswith("run."):
            continue
        assert row.key in table, row
        if row.default[0] in '"0123456789[' and row.key not in {"spool", "services"}:
            assert table[row.key] == tomllib.loads(f"x = {row.default}")["x"], row


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.toml")), ids=lambda file: file.stem)
def test_a_broken_configuration_is_refused_with_every_mistake(file: Path) -> None:
    lines = file.read_bytes().decode("utf-8", "replace").splitlines()
    expected = [line.removeprefix("#> ") for line in lines if line.startswith("#> ")]
    prefix = f"{file}:"
    found = [
        words.removeprefix(prefix).replace(str(file.parent), "{folder}") for words in mistakes(file)
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("smtp", "lmtp", "meet"),
    [
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("localhost", "0.0.0.0", True),
        ("localhost", "::1", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("::", "127.0.0.1", False),
        ("Gate.example.org", "gate.example.org", True),
        ("gate.example.org", "0.0.0.0", False),
    ],
)
@pytest.mark.parametrize("port", [8024, 0])
def test_two_doors_on_one_port_are_refused_where_their_addresses_meet(
    tmp_path: Path, smtp: str, lmtp: str, meet: bool, port: int
) -> None:
    doors = f"""
[listen.smtp]
host = "{smtp}"
port = {port}
[listen.lmtp]
host = "{lmtp}"
port = {port}
"""
    file = written(tmp_path, SHORTEST + doors)
    if meet and port:
        (said,) = mistakes(file)
        assert "listen.lmtp.port: is the same port as listen.smtp.port (8024 at " in said
    else:
        load(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "no.toml") == [
        f"{tmp_path}/no.toml: cannot be read (No such file or directory); expected a TOML file"
    ]


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    assert "Is a directory" in mistakes(tmp_path)[0]


def test_a_password_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o644)
    relay = '[deliver]\ncourier = "smtp"\n[deliver.smtp]\nuser = "u"\npassword_file = "password"\n'
    file = written(tmp_path, f'[gateway]\naddress = "jobs@gate.example.org"\n{relay}')
    [mistake] = mistakes(file)
    assert f"everybody can read {tmp_path}/password" in mistake
    assert mistake.startswith(f"{file}:7: deliver.smtp.password_file: ")


def test_a_link_in_a_path_is_followed_before_its_parent_is_taken(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    config = load(written(tmp_path, SHORTEST.replace('"outgoing"', '"link/../outgoing"')))
    assert config.deliver.maildir is not None
    assert config.deliver.maildir.path == (tmp_path / "real" / "outgoing").resolve()


def test_a_control_character_in_the_file_does_not_reach_the_message(tmp_path: Path) -> None:
    file = written(tmp_path, SHORTEST + '\n"a\\u001b[31m\\n" = "\\u001b"\n')
    assert all(words.isprintable() for words in mistakes(file))


def test_numbers_of_thousands_of_digits_are_only_mistakes(tmp_path: Path) -> None:
    assert (
        "deliver.maildir.port"
        in mistakes(written(tmp_path, f"{SHORTEST}port = 0x{'f' * 9000}\n"))[0]
    )
    assert mistakes(written(tmp_path, f"{SHORTEST}port = {'9' * 9000}\n"))
    file = written(tmp_path, f"{SHORTEST}[listen.smtp]\nport = 0x{'f' * 9000}\n")
    assert "is a very large number" in mistakes(file)[0]


def test_deep_nesting_is_only_a_mistake(tmp_path: Path) -> None:
    assert mistakes(written(tmp_path, f"x = {'[' * 5000}{']' * 5000}"))


def test_every_key_says_what_it_is() -> None:
    rows = describe()
    assert len({(row.table, row.key) for row in rows}) == len(rows)
    assert all(row.doc and row.unit and row.default for row in rows)
    assert {row.table for row in rows} == set(TABLES)
