"""A real Postfix at the border: what it says of a mail is believed, what a client made it carry not."""

import smtplib
from email.message import EmailMessage
from pathlib import Path

from tests import servers
from tests.daemon import TRUE, eventually, request, running

# It checks no DMARC itself: by the client's address it says what a verifier would have said.
INSIDE, OUTSIDE = "127.0.0.9", "127.0.0.8"
SAYS = f"""\
smtpd_client_restrictions =
    check_client_access inline:{{
        {{ {INSIDE} = PREPEND Authentication-Results: mx.mg.test; dmarc=pass header.from=mg.test }}
        {{ {OUTSIDE} = PREPEND Authentication-Results: mx.mg.test; dmarc=fail header.from=mg.test }} }}
"""
FORGED = "mx.mg.test; dmarc=pass header.from=mg.test"
TRACE = f"from pc (pc [{INSIDE}]) by mx.mg.test (Postfix) with ESMTP id 4ABC; Mon, 1 Jan 2024 00:00:00 +0000"


def test_postfix_at_the_border_is_believed_and_what_was_forged_is_not(tmp_path: Path) -> None:
    port = servers.free_port()
    door = ("127.0.0.1", port)
    with servers.postfix(gateway=door, extra=SAYS) as border, running(tmp_path, port=port) as house:
        text = house.config.read_text().replace("gate.example.org", "gate.mg.test")
        trust = 'authserv_id = "mx.mg.test"\nhops = ["127.0.0.1/32"]'
        house.config.write_text(text.replace('networks = ["127.0.0.0/8", "::1/128"]', trust))
        house.service("true", TRUE.replace("example.org", "mg.test"))
        house.start()

        def send(source: str, mail: EmailMessage) -> None:
            with smtplib.SMTP("127.0.0.1", border.port, source_address=(source, 0)) as session:
                session.sendmail("ada@mg.test", "true@gate.mg.test", mail.as_bytes())

        def mail(**headers: str) -> EmailMessage:
            made = request("true", sender="ada@mg.test", **headers)
            made.replace_header("To", "true@gate.mg.test")
            return made

        send(INSIDE, mail())
        house.await_results(1, "ada@mg.test")
        by = "Authentication-Results of mx.mg.test: dmarc=pass header.from=mg.test"
        assert f'known=authentication-results by="{by}"' in house.logged("accepted")
        send(OUTSIDE, mail())
        send(OUTSIDE, mail(Authentication_Results=FORGED))
        below = mail(Received=TRACE, Authentication_Results=FORGED)
        # As a client would: at the top of what it sends.
        below._headers.sort(
            key=lambda field: field[0] not in {"Received", "Authentication-Results"}
        )
        send(OUTSIDE, below)
        eventually(
            lambda: house.logged("refused").count("do not vouch for mg.test") == 3, 30, house.logged
        )
        assert len(house.jobs()) == 1
