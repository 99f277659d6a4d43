"""What accat can find wrong, and the status it then exits with (sysexits.h).

::

    Refusal
    ├── Usage           64  the command line must change
    │   └── SeveralJobs 64  it must name one of these jobs
    ├── NoReply         65  no result of a gateway is in the input
    ├── Damaged         65  it is, but its bytes are not the ones that were sent
    ├── NotAttached     65  it is, but the gateway kept what was asked for, or it never existed
    └── NoInput         66  a file cannot be read
    Transient
    ├── CannotKeep      73  nothing can be put into the folder
    ├── CannotWrite     74  the output, or room for the mail meanwhile
    └── Missing         75  parts of a result are not in the input yet
"""

from mailgate.errors import Refusal, Transient


class Usage(Refusal):
    """The command line cannot be understood."""

    exit_status = 64


class SeveralJobs(Usage):
    """The mails hold results of several jobs, and none was chosen."""


class NoReply(Refusal):
    """No mail of the input is the result of a gateway's job."""


class Damaged(Refusal):
    """A result, or one of its streams, is cut off or altered."""


class NotAttached(Refusal):
    """The stream is not in the mail: kept at the gateway, or not one of the job's."""


class NoInput(Refusal):
    """A file or folder cannot be opened or read."""

    exit_status = 66


class Missing(Transient):
    """Parts of a result are not in the input; ``lines`` tells of each how to get it."""

    exit_status = 75

    def __init__(self, public: str, lines: list[str]) -> None:
        super().__init__(public)
        self.lines = lines


class CannotKeep(Transient):
    """A file cannot be made in the folder."""

    exit_status = 73


class CannotWrite(Transient):
    """Standard output, an extracted file or the temporary copy cannot be written."""

    exit_status = 74
