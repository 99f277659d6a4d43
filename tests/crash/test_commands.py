"""The daemon dies as a mail of commands is done: each acts once, and is answered once."""

from pathlib import Path

import pytest

from tests.daemon import ADDRESS, Gateway, eventually, request, running, shell

MAIL = "<command@example.org>"


@pytest.mark.parametrize("point", ["read:before-commit", "read:committed", "reply:composed"])
def test_a_crash_loses_and_doubles_no_command(tmp_path: Path, point: str) -> None:
    with running(tmp_path, slots=1) as gateway:
        gateway.service("sleep", shell("sleep 600"))
        gateway.start()
        gateway.send(request("sleep", "notify: start\n"))
        (letter,) = gateway.await_letters(1)
        job = str(letter["Mailgate-Job"])
        gateway.kill()
        gateway.start(MAILGATE_CRASH=point)
        mail = request("sleep", f"notify every 7d\ncancel {job}\n", message_id=MAIL)
        gateway.send(mail, to=ADDRESS)
        assert gateway.died() == -9
        gateway.start()
        gateway.send(mail, to=ADDRESS)
        gateway.await_results(1)
        eventually(lambda: gateway.unsent() == 0, 30, gateway.logged)
        assert len(_answers(gateway)) == 1
        assert len(gateway.results()) == 1
        history = gateway.run("job", job).stdout.decode()
        assert history.count("cancel by ada@example.org") == 1


def _answers(gateway: Gateway) -> set[str]:
    """The Message-IDs of what answers the mail: a letter may come twice, but is the same then."""
    return {str(x["Message-ID"]) for x in gateway.letters() if x["In-Reply-To"] == MAIL}
