"""Trying a mailbox for ``mailgate check --live``: it is looked at, and nothing is changed."""

from mailgate.config import ImapDoor
from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.line import Line


def probe(door: ImapDoor) -> str:
    """Log in, look, and say what there is. Blocks, for some of the door's time limits at most.

    Raises
    ------
    Transient
        What the door itself would be told.
    """
    bell = Bell()
    line = Line(door, bell)
    try:
        line.open()
        waiting = line.select().exists
        missing = [name for name in (door.done, door.failed) if not line.has(name)]
        words = [f"{waiting} mail{'' if waiting == 1 else 's'} in it"]
        words += [f'"{name}" will be made' for name in missing]
        if not line.idles:
            words.append("no IDLE, it is looked at by poll alone")
        if not (line.moves or line.expunges):
            words.append("neither MOVE nor UIDPLUS, mail stays in it, marked as deleted")
        return "; ".join(words)
    finally:
        line.close()
        bell.close()
