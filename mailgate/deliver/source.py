"""A letter's bytes, block by block."""

from collections.abc import Iterator
from pathlib import Path

from mailgate.errors import LetterGone, Unreachable
from mailgate.model import Letter

_BLOCK = 256 * 1024


def blocks(letter: Letter) -> Iterator[bytes]:
    """Read the letter from its body or its file. Blocking.

    Raises
    ------
    LetterGone
        Its file is not there any more.
    Unreachable
        The spool cannot give it now: nobody has refused it.
    """
    if letter.body is not None:
        yield letter.body
    if letter.file is None:
        return
    try:
        with Path(letter.file).open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except FileNotFoundError as error:
        raise LetterGone(f"the file of letter {letter.id} is gone", detail=letter.file) from error
    except OSError as error:
        message = f"letter {letter.id} cannot be read from the spool: {error.strerror}"
        raise Unreachable(message, detail=f"{letter.file}: {error}") from error
