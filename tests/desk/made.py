"""The smallest configuration that a desk needs."""

CONFIG = """\
[gateway]
address = "jobs@gate.example.org"
spool = "spool"
services = "services"
[deliver]
courier = "maildir"
[deliver.maildir]
path = "outgoing"
"""
