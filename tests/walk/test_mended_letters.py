"""Letters that cannot go as they were planned: none is lost, and none stops the others."""

import json
import shlex
import sys
from email.message import EmailMessage
from pathlib import Path

from tests.daemon import ADA, TRUE, attached, eventually, request, running, shell, text_of

BOB = "bob@example.org"

# Standard output never comes to rest: a process that outlives the job goes on writing, every
# millisecond, for as long as the test's file is there.
WRITER = """\
import os, sys, time
while os.path.exists(sys.argv[1]):
    os.write(1, b"late\\n")
    time.sleep(0.001)
"""


def test_a_result_whose_output_never_rests_goes_without_it_and_says_so(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    with running(tmp_path) as gateway:
        (tmp_path / "writer.py").write_text(WRITER)
        words = shlex.join([sys.executable, str(tmp_path / "writer.py"), str(mark)])
        gateway.service(
            "restless",
            shell(f"env -i setsid {words} & until [ -s ../out/stdout ]; do sleep 0.1; done"),
        )
        gateway.service("true", TRUE)
        gateway.start()
        try:
            gateway.send(request("restless"))
            changed = "changed since it was collected"
            eventually(lambda: changed in gateway.logged("delayed"), 30, gateway.logged)
            eventually(lambda: changed in gateway.run("queue").stdout.decode())
            gateway.send(request("true", sender=BOB), sender=BOB)
            gateway.await_results(1, BOB)
            assert gateway.results() == []
            (result,) = gateway.await_results(1)
            about = json.loads(attached(result)["job.json"])
            assert [stream["role"] for stream in about["streams"]] == ["stderr"]
            (why,) = about["left_out"]
            assert why.startswith("stdout.txt: ")
            assert "changed" in why
            assert why in " ".join(text_of(result).split())
        finally:
            mark.unlink()
        eventually(lambda: gateway.unsent() == 0)


def test_a_result_whose_folder_is_gone_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.service("big", shell("head -c 300000 /dev/zero"))
        gateway.start(wait=False, MAILGATE_CRASH="reply:written")
        eventually(gateway.ready)
        gateway.send(request("big"))
        assert gateway.died() == -9
        for folder in (gateway.spool / "jobs").glob("*/*"):
            folder.rename(tmp_path / folder.name)
        gateway.start()
        (result,) = gateway.await_results(1)
        about = json.loads(attached(result)["job.json"])
        assert about["streams"] == []
        assert about["left_out"] == ["everything: the job's folder is gone"]


def test_an_output_that_is_changed_after_it_was_mailed_is_not_sent_as_if_it_were_the_same(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as gateway:
        gateway.service("say", shell("echo one"))
        gateway.start()
        gateway.send(request("say"))
        (result,) = gateway.await_results(1)
        eventually(lambda: gateway.unsent() == 0)
        (stdout,) = gateway.spool.glob("jobs/*/*/out/stdout")
        stdout.write_bytes(b"two\n")
        answer = EmailMessage()
        answer["From"], answer["Message-ID"] = ADA, "<again@example.org>"
        answer["To"] = str(result["Reply-To"])
        answer.set_content("results\n")
        gateway.send(answer, to=str(result["Reply-To"]))
        again = gateway.await_results(2)[-1]
        about = json.loads(attached(again)["job.json"])
        (why,) = about["left_out"]
        assert why.startswith("stdout.txt, as it was mailed before: it was changed since")
        assert why in " ".join(text_of(again).split())
