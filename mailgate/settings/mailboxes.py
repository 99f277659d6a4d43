"""The mailboxes that are read: [listen.imap], and any number of [listen.imap.NAME]."""

from pathlib import Path

from mailgate.settings import secret
from mailgate.settings.schema import Sheet
from mailgate.settings.toml import Place
from mailgate.settings.tree import ImapDoor, Tls

_PLACE: Place = ("listen", "imap")
# Of IMAP, and of IMAP with TLS from the first byte (RFC 8314).
_PORT, _PORT_TLS = 143, 993


def read(sheet: Sheet) -> tuple[ImapDoor, ...]:
    """Read every table, in the file's order; mistakes are noted on the sheet.

    [listen.imap] is a mailbox of its own where it has keys of its own, or nothing at all in it.
    """
    if not sheet.has(_PLACE):
        return ()
    names = sheet.names(_PLACE)
    doors = {(*_PLACE, name): _door(sheet, (*_PLACE, name), ()) for name in names}
    if not names or sheet.has_keys(_PLACE):
        doors = {_PLACE: _door(sheet, _PLACE, names), **doors}
    # Where it is not said which mailbox is meant, none is told from another.
    named = (
        place for place in doors if sheet.has((*place, "host")) and sheet.has((*place, "user"))
    )
    _check_folders(sheet, {place: doors[place] for place in named})
    return tuple(doors.values())


def _door(sheet: Sheet, place: Place, tables: tuple[str, ...]) -> ImapDoor:
    tls = sheet.word((*place, "tls"), Tls.TLS)
    door = sheet.table(
        place,
        ImapDoor,
        tables=tables,
        table=".".join(place),
        folder=sheet.document.path.absolute().parent,
        port=_PORT_TLS if tls == Tls.TLS else _PORT,
    )
    _check_secret(sheet, place, door.password_file, door.token_command)
    if door.ca_file is not None and not door.ca_file.is_file():
        sheet.wrong((*place, "ca_file"), f"{door.ca_file} is no file", "a file of certificates")
    return door


def _check_secret(
    sheet: Sheet, place: Place, file: Path | None, command: tuple[str, ...] | None
) -> None:
    at = (*place, "password_file")
    if file is None and command is None:
        if not sheet.has(at) and not sheet.has((*place, "token_command")):
            sheet.wrong(at, "is missing", "the file of the password, or token_command")
    elif file is not None and command is not None:
        sheet.wrong((*place, "token_command"), "stands beside password_file", "one of the two")
    elif file is not None and (fault := secret.fault(file)):
        sheet.wrong(at, fault, secret.EXPECTED)


def _check_folders(sheet: Sheet, doors: dict[Place, ImapDoor]) -> None:
    """See that no mail is read from two tables, or again from where it was put."""
    readers: dict[tuple[str, int, str, str], str] = {}
    for place, door in doors.items():
        first = readers.setdefault(_mailbox(door, door.mailbox), door.table)
        if first != door.table:
            sheet.wrong((*place, "mailbox"), f"is read by {first}", "a mailbox of its own")
    for place, door in doors.items():
        for name, folder in (("done", door.done), ("failed", door.failed)):
            if reader := readers.get(_mailbox(door, folder)):
                what = f'is "{folder}", which {reader} reads mail from'
                sheet.wrong((*place, name), what, "a mailbox that nothing reads")


def _mailbox(door: ImapDoor, name: str) -> tuple[str, int, str, str]:
    # Only INBOX is the same in any case (RFC 3501 section 5.1).
    known = "INBOX" if name.upper() == "INBOX" else name
    return door.host.lower(), door.port, door.user, known
