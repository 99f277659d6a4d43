"""What can go wrong between a mailbox's thread and its server; all of it is tried again."""

from mailgate.errors import Transient


class Lost(Transient):
    """The connection is gone, could not be made, or can be used no more."""


class Declined(Transient):
    """The server said no to one command; the connection goes on."""


class NoLogin(Transient):
    """The server takes no such user and secret, or there is none to show: a person must look."""


class Stopped(Transient):
    """The daemon ends: whatever it is that waits, waits no longer."""
