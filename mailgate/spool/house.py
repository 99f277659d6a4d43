"""Whose spool it is, and which folder of jobs is its own: a name for life, a mark for the folder.

The mark stands in the database and in a file in the folder (`mailgate.run.place`): a folder without
it is not the one that the jobs were started in, a disk that is not mounted, say.
"""

import secrets
from dataclasses import dataclass

from mailgate.spool.database import Tx, View
from mailgate.spool.indexes import OPEN

_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """``name`` moves with the spool wherever it goes; ``mark`` is None until a folder has one."""

    name: str
    mark: str | None = None


def known(view: View) -> House | None:
    """Return what is written down; None before the daemon's first start."""
    row = view.one("SELECT name, mark FROM house")
    return House(name=row["name"], mark=row["mark"]) if row is not None else None


def named(tx: Tx) -> House:
    """Return what is written down; at the first time a name is drawn."""
    found = known(tx)
    if found is not None:
        return found
    made = House(name=secrets.token_hex(_BYTES))
    tx.insert("house", name=made.name)
    return made


def marked(tx: Tx, mark: str) -> None:
    """Note the mark of the folder of jobs that is used from now on."""
    tx.execute("UPDATE house SET mark = ?", mark)


def new_mark(house: House) -> str:
    """Draw a mark; its first word is whose it is."""
    return f"{house.name} {secrets.token_hex(_BYTES)}"


def needs_folder(view: View) -> bool:
    """Tell whether the folder of jobs would be missed: attempts are open, outputs kept."""
    return view.one(f"SELECT 1 FROM attempt WHERE {OPEN} LIMIT 1") is not None or bool(_kept(view))


def there(view: View) -> list[str]:
    """Return jobs with a folder, not all: an attempt has begun, or outputs are kept."""
    begun = view.all(f"SELECT job FROM attempt WHERE {OPEN} AND state = 'STARTED' LIMIT 100")
    return [row["job"] for row in begun] + _kept(view)


def _kept(view: View) -> list[str]:
    rows = view.all(
        "SELECT id FROM job INDEXED BY job_destruction WHERE phase IN"
        " ('COMPLETED', 'ERROR', 'ABORTED') AND destruction > 0 AND EXISTS"
        " (SELECT 1 FROM stream WHERE stream.job = job.id AND size > 0) LIMIT 100"
    )
    return [row["id"] for row in rows]
