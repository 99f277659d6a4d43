"""accat's command line. By hand: argparse alone costs as much as all the rest of a small run."""

from mailgate.client.errors import Usage
from mailgate.client.words import shown

USAGE = """\
usage: accat [--list | --extract DIR | --name NAME] [--raw] [--job ID | --last] [--no-status]
             [FILE ...]

Writes the standard output of a job out of its mailed result, checked byte for byte.
FILE is a saved mail, an mbox or a Maildir folder; none, or -, is standard input.
Parts of a result are put together, in whatever order they come, and unpacked.

  --list         show the streams: name, size, role, attached or kept at the gateway
  --name NAME    another stream than standard output ("stderr" does as well)
  --extract DIR  write all attached streams into new files in DIR
  --raw          packed streams as they were sent, not unpacked
  --job ID       which job, where the mails are of several; the beginning of its id is enough
  --last         the job that ended last, where they are of several
  --no-status    exit with 0 however the job ended
  --version      tell the version

Exit status: the job's own; 128 + N if signal N ended it; 124 work limit; 125 cancelled
or lost; 126 could not start; 64 wrong usage; 65 no reply of a gateway, or damaged;
75 parts are missing.
"""

_WITH_VALUE = ("--name", "--job", "--extract")


class Options:
    """What the command line asks for; "" where an option is not given."""

    __slots__ = (
        "extract",
        "files",
        "help",
        "job",
        "last",
        "list",
        "name",
        "raw",
        "status",
        "version",
    )

    def __init__(self, argv: list[str]) -> None:
        """Read the words after the program's name; options stand before or after files.

        Raises
        ------
        Usage
            An option is unknown, lacks its value, or contradicts another.
        """
        given = {"--name": "", "--job": "", "--extract": ""}
        flags: set[str] = set()
        self.files: list[str] = []
        words = iter(argv)
        for word in words:
            option, equals, value = word.partition("=")
            if word == "--":
                self.files += words
            elif option in _WITH_VALUE:
                given[option] = _given(option, value if equals else next(words, ""))
            elif word in ("--last", "--list", "--no-status", "--raw", "--help", "-h", "--version"):
                flags.add(word)
            elif word.startswith("-") and word != "-":
                raise Usage(f"there is no option {shown(option)}; accat --help shows all")
            else:
                self.files.append(word)
        self.name, self.job, self.extract = given.values()
        self.job = self.job.lower()
        self.last = "--last" in flags
        self.list = "--list" in flags
        self.raw = "--raw" in flags
        self.status = "--no-status" not in flags
        self.version = "--version" in flags
        self.help = not flags.isdisjoint({"--help", "-h"})
        if bool(self.name) + bool(self.extract) + self.list > 1:
            raise Usage("--list, --name and --extract exclude each other")
        if self.job and self.last:
            raise Usage("--job and --last exclude each other")


def _given(option: str, value: str) -> str:
    if not value:
        raise Usage(f"{option} needs a value")
    return value
