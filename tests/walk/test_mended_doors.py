"""Doors and the operator's words: what each tells, and whom one bad word costs a mail."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import ECHO, TRUE, Gateway, attached, request, running, shell, text_of


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("echo", ECHO)
        made.service("true", TRUE)
        yield made


def piped(gateway: Gateway, *recipients: str) -> int:
    words = [f"--recipient={name}@gate.example.org" for name in recipients]
    mail = request("true").as_bytes()
    return gateway.run("receive", "--sender=ada@example.org", *words, stdin=mail).returncode


def test_a_slip_in_the_mail_servers_line_costs_no_mail(gateway: Gateway) -> None:
    assert gateway.run("receive", "--no-such-option").returncode == 75
    assert gateway.run("receive", "--help").returncode == 0


def test_an_unknown_recipient_costs_the_known_ones_nothing(gateway: Gateway) -> None:
    assert piped(gateway, "nobody", "true") == 0
    assert piped(gateway, "nobody", "nobody2") == 65
    gateway.start()
    (letter,) = gateway.await_results(1)
    assert "true" in str(letter["Subject"])


def test_the_daemon_may_open_more_files_than_it_was_started_with_and_its_jobs_may_not(
    gateway: Gateway,
) -> None:
    gateway.service("limit", shell("ulimit -S -n"))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        gateway.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, 65536) > 256
    gateway.send(request("limit"))
    (letter,) = gateway.await_results(1)
    assert attached(letter)["stdout.txt"] == b"256\n"


def test_an_id_counts_in_capitals_and_the_copy_names_the_job(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("true", message_id="<1@x>"))
    gateway.await_results(1)
    ((job),) = [str(job["id"]) for job in gateway.jobs()]
    assert gateway.run("job", job.upper()).returncode == 0
    gateway.send(request("true", "label: other", message_id="<1@x>"))
    letters = gateway.await_letters(2)
    assert any(job in text_of(letter) for letter in letters if not letter["Mailgate-Job"])


def test_a_service_with_the_gateways_own_name_is_refused_by_whoever_needs_the_services(
    gateway: Gateway,
) -> None:
    gateway.service("jobs", TRUE)
    for words, status in (("check", 78), ("serve", 78), ("receive", 75)):
        done = gateway.run(words)
        assert done.returncode == status
        assert b'the service "jobs" has the gateway\'s own address' in done.stderr
