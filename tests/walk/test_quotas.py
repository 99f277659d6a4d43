"""Quotas through a real gateway: what is over them is refused readably, or waits while others run."""

import smtplib
from pathlib import Path

import pytest

from tests.daemon import ADA, TRUE, eventually, request, running, shell, text_of

QUOTA = """
[quota]
jobs_a_day = 3
bytes_a_day = "40 KiB"
"""
LOCKED = shell("until [ -e GO ]; do sleep 0.05; done", "[quota]\nrunning = 1")


def test_quotas_refuse_with_limit_use_and_time_and_let_others_go_first(tmp_path: Path) -> None:
    with running(tmp_path, slots=4, more=QUOTA) as gateway:
        gateway.service("locked", LOCKED.replace("GO", str(tmp_path / "go")))
        gateway.service("true", TRUE)
        gateway.start()
        gateway.send(request("locked"))
        eventually(lambda: "EXECUTING" in gateway.logged("advanced"), 30, gateway.logged)
        gateway.send(request("locked"))
        eventually(lambda: len(gateway.jobs()) == 2)
        gateway.send(request("true"))
        # There are slots: the second waits for the first all the same, the third for nobody.
        (quick,) = gateway.await_results(1)
        assert "true" in str(quick["Subject"])
        assert sorted(str(job["phase"]) for job in gateway.jobs()) == [
            "COMPLETED",
            "EXECUTING",
            "QUEUED",
        ]
        gateway.send(request("true"))
        texts = [" ".join(text_of(letter).split()) for letter in gateway.await_letters(2)]
        (words,) = [text for text in texts if "was not run" in text]
        assert f"{ADA} has sent 3 jobs within 24 hours, and the most is 3; the next is" in words
        assert "Send it again then, as a new mail" in words
        # A restart forgets nothing; another person has used nothing.
        gateway.kill()
        gateway.start()
        with pytest.raises(smtplib.SMTPDataError) as refused:
            gateway.send(request("true", "x" * 38 * 1024))
        assert refused.value.smtp_code == 552
        assert b"within 24 hours, and the most is 40 KiB" in refused.value.smtp_error
        bob = "bob@example.org"
        gateway.send(request("true", sender=bob), sender=bob)
        gateway.await_results(1, bob)
        (tmp_path / "go").touch()
        gateway.await_results(3)
        assert len(gateway.jobs()) == 4
