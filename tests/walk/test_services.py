"""Services that come and go while the gateway runs."""

from pathlib import Path

from tests.daemon import ADA, TRUE, eventually, request, running, text_of

EVE = "eve@example.org"


def test_mail_for_a_service_that_is_new_waits_for_a_start_and_for_one_that_is_gone_is_refused(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as gateway:
        text = gateway.config.read_text().replace('["127.0.0.0/8", "::1/128"]', "[]")
        gateway.config.write_text(text.replace("[trust]\n", '[trust]\nunknown = "confirm"\n'))
        gateway.service("old", TRUE)

        def pipe(service: str) -> int:
            to = f"{service}@gate.example.org"
            mail = request(service).as_bytes()
            return gateway.run("receive", "--sender", ADA, "--recipient", to, stdin=mail).returncode

        assert pipe("old") == 0
        gateway.service("new", TRUE)
        (tmp_path / "services" / "old.toml").unlink()
        gateway.start()
        (refused,) = gateway.await_letters(1)
        assert 'there is no service "old" here any more' in text_of(refused)
        # Added while the gateway runs: the pipe knows it at once.
        gateway.service("newer", TRUE)
        assert pipe("newer") == 0
        assert pipe("new") == 0
        gateway.await_results(1)
        eventually(
            lambda: "the service newer is new: restart" in gateway.logged(), 30, gateway.logged
        )
        assert gateway.logged().count("is new: restart") == 1
        # A stranger's mail, which is read when no other waits, is read beside it.
        gateway.send(request("new", sender=EVE), sender=EVE)
        gateway.await_letters(1, EVE)
        assert gateway.stop() == 0
        assert len(gateway.letters()) == 2
        gateway.start()
        gateway.await_results(2)
