"""The IMAP door: mailboxes on a mail server, each read by a thread of its own."""
