import imaplib
import os
import signal
import ssl
from dataclasses import replace
from smtplib import LMTP

from tests import servers


def test_a_postfix_that_does_not_end_is_killed():
    with servers.postfix() as post:
        post.stop()
        assert post.master() is None
        post.start()
        hanging = post.master()
        os.kill(hanging, signal.SIGSTOP)
        replace(post, patience=0.1).stop()
        assert post.master() is None


def test_a_dovecot_has_what_is_handed_to_it_and_keeps_it_through_a_kill():
    with servers.dovecot() as mailbox:
        mail = b"Subject: kept\r\n\r\nhello\r\n"
        with LMTP("127.0.0.1", mailbox.lmtp) as peer:
            assert peer.sendmail("ada@example.org", ["gateway+jobs@mg.test"], mail) == {}
        mailbox.deposit("gateway", [mail])
        mailbox.kill()
        mailbox.start()
        assert [b"Subject: kept" in found for found in mailbox.mailbox("gateway")] == [True, True]
        context = ssl.create_default_context(cafile=mailbox.certificate)
        with imaplib.IMAP4_SSL("127.0.0.1", mailbox.imaps, ssl_context=context) as reader:
            reader.login("gateway", "secret")
            assert reader.select("INBOX") == ("OK", [b"2"])
