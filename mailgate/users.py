"""The users who may log in: a file of names, hashed passwords, and whose From each may write."""

import fcntl
import os
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mailgate.errors import BadConfig
from mailgate.model import User

# Argon2id with 19 MiB, some 40 ms of one processor: OWASP's least. More would let whoever tries
# passwords take the machine from the jobs.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)
# A word that nobody knows, hashed so: what a name that nobody has is compared with.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$xiam97SgjqPcnH2b+0xE3w"
    "$mt/zlifnxSAlx+2wLKdK2uzB4eEfawjvuvNwxGDaqSY"
)

# RFC 4616, 2: 255 octets must do; nobody has a longer one.
LONGEST = 255

_HEAD = "# Made by 'mailgate password': user, hash, and the addresses that the user may write as.\n"


@dataclass(frozen=True, slots=True)
class Login:
    """A user's line in the file."""

    user: User
    hash: str


class Users:
    """Who may log in. `check` takes as long for a name that nobody has as for a wrong password."""

    def __init__(self, entries: Mapping[str, Login]) -> None:
        self._entries = entries

    @classmethod
    def read(cls, file: Path) -> "Users":
        """Read a file of users; one that is not there yet has none.

        Raises
        ------
        BadConfig
            It cannot be read, or a line of it cannot; every mistake, one a line.
        """
        return cls(_entries(file))

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str, password: str) -> Login | None:
        """Return the user's line, if the password is right. Blocks: hashing takes its time."""
        entry = self._entries.get(name.lower())
        hashed = entry.hash if entry else _NOBODY
        try:
            _HASHER.verify(hashed, _plain(password[:LONGEST]))
        except VerificationError:
            return None
        return entry

    def holds(self, login: Login) -> bool:
        """Tell whether a line still stands here as it was: same password, same addresses."""
        return self._entries.get(login.user.name.lower()) == login


def addresses(file: Path, name: str) -> tuple[str, ...]:
    """Return whose From a user may write; () for a name that nobody has. Raises BadConfig."""
    entry = _entries(file).get(name.lower())
    return entry.user.addresses if entry else ()


def put(file: Path, user: User, password: str, *, owner: Path) -> None:
    """Write one user's line, anew or in place of the old one.

    The file is replaced as a whole, for its owner alone to read: where root writes it, that is
    whoever owned it before, or owns ``owner``.

    Raises
    ------
    BadConfig
        The file that is there cannot be read.
    OSError
        It cannot be written.
    """
    with _changing(file, owner) as entries:
        entries[user.name.lower()] = Login(user, _HASHER.hash(_plain(password)))


def remove(file: Path, name: str, *, owner: Path) -> bool:
    """Take one user's line out; False if there is none. Raises as `put` does."""
    with _changing(file, owner) as entries:
        return entries.pop(name.lower(), None) is not None


def _plain(password: str) -> bytes:
    """Return a password as it is hashed: an e with an accent is one, however it was typed."""
    return unicodedata.normalize("NFKC", password).encode()


# --- the file -------------------------------------------------------------------------------------


def _entries(file: Path) -> dict[str, Login]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"{file}: the users cannot be read: {reason}"
        raise BadConfig(message) from error
    entries: dict[str, Login] = {}
    mistakes: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        fault = _fault(words, entries)
        if fault:
            mistakes.append(f"{file}:{number}: {fault}; expected a line of 'mailgate password'")
        else:
            user = User(name=words[0], addresses=tuple(words[2:]))
            entries[words[0].lower()] = Login(user, words[1])
    if mistakes:
        raise BadConfig("\n".join(mistakes))
    return entries


def _fault(words: list[str], known: Mapping[str, Login]) -> str:
    if words[0].lower() in known:
        return f"the user {words[0]} has a line already"
    if len(words) < 3:
        return "a user, a hash and an address do not all stand here"
    try:
        _HASHER.check_needs_rehash(words[1])
    except InvalidHashError:
        return f"the second word is no hash of the user {words[0]}'s password"
    return ""


@contextmanager
def _changing(file: Path, owner: Path) -> Iterator[dict[str, Login]]:
    """Lock the file's folder, give its entries, and write what became of them."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Two that change it at once would lose one's line.
        fcntl.flock(folder, fcntl.LOCK_EX)
        entries = _entries(file)
        yield entries
        _replace(file, "".join([_HEAD, *map(_line, entries.values())]), owner)
        os.fsync(folder)
    finally:
        os.close(folder)


def _line(entry: Login) -> str:
    return f"{' '.join([entry.user.name, entry.hash, *entry.user.addresses])}\n"


def _replace(file: Path, text: str, owner: Path) -> None:
    new = file.with_name(f".{file.name}.{os.urandom(6).hex()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            if os.geteuid() == 0 and (whose := _whose(file, owner)):
                os.fchown(descriptor, *whose)
            written.write(text)
            written.flush()
            os.fsync(descriptor)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _whose(*places: Path) -> tuple[int, int] | None:
    for place in places:
        try:
            status = place.stat()
        except OSError:
            continue
        return status.st_uid, status.st_gid
    return None
