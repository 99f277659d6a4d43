from contextlib import suppress

from tests import servers
from tests.witnesses import heard, witness


def test_what_a_server_logged_is_told_after_its_folder_has_gone():
    with suppress(ZeroDivisionError), servers.postfix() as post:
        servers.eventually(lambda: "daemon started" in post.log())
        1 / 0  # noqa: B018 - what a test may die of
    assert not post.folder.exists()
    assert any(name == "log of Postfix" and "daemon started" in log for name, log in heard())
    assert not any(name == "log of Postfix" for name, log in heard())


def test_a_server_that_lasts_is_heard_and_one_without_a_log_is_no_trouble(tmp_path):
    with witness("it", (tmp_path / "log").read_text):
        assert ("log of it", "") in heard()
        (tmp_path / "log").write_text("still here")
        assert ("log of it", "still here") in heard()
    assert not any(name == "log of it" for name, log in heard())
