"""Authentication-Results (RFC 8601): which of them are the border's own, and what they vouch for.

Total and linear. Whatever cannot be read to its end vouches for nothing: what a server writes into
this header holds words of strangers.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from mailgate.parse.header import Header

_MAX = 16 << 10
_MAX_RECEIVED = 4 << 10
_FIELD, _RECEIVED = "authentication-results", "received"

# Versions other than 1 may mean something else (RFC 8601, 2.2 and 2.3).
_VERSION = "1"
# Results by which DMARC says neither yes nor no: then an aligned signature or SPF may still.
_UNDECIDED = frozenset({"none", "temperror", "permerror", "bestguesspass"})


class UnreadableError(ValueError):
    """A header that cannot be read to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One ``method=result`` with its properties, all lower-case: ``{"header.from": "a.org"}``."""

    method: str
    result: str
    properties: Mapping[str, str]


def vouching(header: Header, authserv_id: str, domain: str) -> tuple[str, str]:
    """Return the border's word by which mail From ``domain`` is believed, and why there is none.

    One of the two is "". Only the topmost header of ``authserv_id`` (lower-case) counts, and only
    in that host's part of the mail: above the topmost Received by it, or between that and the next.
    """
    field, fault = _border(header, authserv_id)
    if fault:
        return "", fault
    try:
        found = read(field)[1]
    except UnreadableError as error:
        return "", f"the Authentication-Results of {authserv_id} cannot be read ({error})"
    word = _aligned(found, domain)
    if not word:
        return "", f"the Authentication-Results of {authserv_id} do not vouch for {domain}"
    return f"Authentication-Results of {authserv_id}: {word}", ""


# --- what is the border's own ---------------------------------------------------------------------


def _border(header: Header, authserv_id: str) -> tuple[str, str]:
    """Return the one field that counts, and why none does; one of the two is ""."""
    fields: list[str] = []
    is_marked = False
    for name, value in header.each(_RECEIVED, _FIELD):
        if name == _FIELD:
            fields.append(value)
        elif is_marked:
            break
        else:
            hosts = _hosts(value, authserv_id)
            is_marked = hosts == [authserv_id]
            if authserv_id in hosts and not is_marked:
                return "", f"a Received header names {authserv_id} and cannot be read"
    if not is_marked:
        return "", f"no Received header says that {authserv_id} took it"
    field = next((field for field in fields if _claims(field, authserv_id)), "")
    return field, "" if field else f"{authserv_id} added no Authentication-Results"


def _claims(field: str, authserv_id: str) -> bool:
    """Tell whether a field is that host's; one that cannot be read is where it names the host."""
    if authserv_id not in field.lower():
        return False
    try:
        return read(field)[0] == authserv_id
    except UnreadableError:
        return True


def _hosts(received: str, authserv_id: str) -> list[str]:
    """Return what follows each ``by`` of a Received header; where that is in doubt, more than it.

    What a client says of itself (HELO, the recipient) may hold a ``by`` of its own.
    """
    if authserv_id not in received.lower():
        return []
    if len(received) > _MAX_RECEIVED:
        return [authserv_id, "?"]
    clauses = received.rpartition(";")[0] or received
    try:
        words = list(_plain_words(clauses))
    except UnreadableError:
        return [authserv_id, "?"]
    hosts = [after for word, after in pairwise(words) if word.lower() == "by"]
    return [host.strip(".,").lower() for host in hosts]


_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+"|<[^<>]*+>|[^\s"()<>;]++', re.ASCII | re.DOTALL)


def _plain_words(clauses: str) -> Iterator[str]:
    """Yield the words outside of comments."""
    position = _skip(clauses, 0)
    while position < len(clauses):
        piece = _PIECE.match(clauses, position)
        if piece is None:
            message = f'"{clauses[position]}" is not closed'
            raise UnreadableError(message)
        yield piece[0]
        position = _skip(clauses, piece.end())


# --- what it says ---------------------------------------------------------------------------------


def _aligned(results: list[Result], domain: str) -> str:
    """Return the result by which mail From ``domain`` is believed, as it stands there; or ""."""
    verdicts = [r for r in results if r.method == "dmarc" and r.result not in _UNDECIDED]
    if verdicts:
        # It knows of alignment what we do not; its "no" is not outvoted.
        words = [_is("header.from", r, domain) for r in verdicts if r.result == "pass"]
        return words[0] if len(words) == len(verdicts) and all(words) else ""
    signed = [_signer(r, domain) for r in results if r.method == "dkim" and r.result == "pass"]
    senders = [r for r in results if r.method == "spf" and "smtp.mailfrom" in r.properties]
    sent = [_is("smtp.mailfrom", r, domain) for r in senders if r.result == "pass"]
    return next(filter(None, signed), sent[0] if sent and len(sent) == len(senders) else "")


def _is(name: str, result: Result, domain: str) -> str:
    value = result.properties.get(name, "")
    fits = _domain(value) == domain
    return f"{result.method}={result.result} {name}={value}" if fits else ""


def _signer(result: Result, domain: str) -> str:
    """Whose signature it is: header.d; where only header.i tells, that one's domain."""
    signer, user = (_domain(result.properties.get(f"header.{x}", "")) for x in "di")
    if signer and user and user != signer and not user.endswith(f".{signer}"):
        return ""
    return _is("header.d" if "header.d" in result.properties else "header.i", result, domain)


_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9](?:[a-z0-9-]{0,62})\.?")


def _domain(value: str) -> str:
    """Return the domain of a value that is one, or an address; lower-case; "" if it is neither."""
    domain = value.rpartition("@")[2]
    # Some letters are ASCII once they are lower-case.
    is_one = domain.isascii() and _DOMAIN.fullmatch(domain.lower())
    return domain.lower().removesuffix(".") if is_one else ""


# --- reading one ----------------------------------------------------------------------------------

_KEYWORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*+)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
# A token, and what servers write without quotes: base64, addresses, SRS0=...
_BARE = re.compile(r'[^\s"();\\]++', re.ASCII)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACE = re.compile(r"[ \t]*+")
_MARK = re.compile(r"[()]|\\.", re.DOTALL)


def read(field: str) -> tuple[str, list[Result]]:
    """Return the authserv-id, lower-case, and the results of an unfolded field.

    Of another version than 1 there are none.

    Raises
    ------
    UnreadableError
        It is not as RFC 8601 section 2.2 has it.
    """
    if len(field) > _MAX:
        message = f"it has over {_MAX} characters"
        raise UnreadableError(message)
    if not field.replace("\t", " ").isprintable():
        message = "it holds characters that cannot be printed"
        raise UnreadableError(message)
    name, position = _value(field, _skip(field, 0))
    version = _KEYWORD.match(field, position)
    position = _skip(field, version.end()) if version else position
    results: list[Result] = []
    while position < len(field):
        position = _skip(field, _expect(field, position, ";"))
        # Some servers end with a semicolon.
        if position < len(field):
            found, position = _result(field, position)
            results += found
    if version and version[0] != _VERSION:
        results = []
    return name.lower().removesuffix("."), results


def _result(field: str, position: int) -> tuple[list[Result], int]:
    """Read one result; none for ``none``, and for a method's version that is not known."""
    method, position = _keyword(field, position)
    if method == "none" and field[position : position + 1] in {"", ";"}:
        return [], position
    version = _VERSION
    if field[position : position + 1] == "/":
        version, position = _keyword(field, _skip(field, position + 1))
    result, position = _keyword(field, _skip(field, _expect(field, position, "=")))
    properties: dict[str, str] = {}
    while position < len(field) and field[position] != ";":
        name, position = _keyword(field, position)
        if field[position : position + 1] == ".":
            word, position = _keyword(field, _skip(field, position + 1))
            name = f"{name}.{word}"
        value, position = _value(field, _skip(field, _expect(field, position, "=")))
        if name in properties:
            message = f"{name} stands twice in one result"
            raise UnreadableError(message)
        properties[name] = value
    found = Result(method=method, result=result, properties=properties)
    return [found] if version == _VERSION else [], position


def _keyword(field: str, position: int) -> tuple[str, int]:
    found = _KEYWORD.match(field, position)
    if found is None:
        message = f'a word is missing before "{field[position : position + 20]}"'
        raise UnreadableError(message)
    return found[0].lower(), _skip(field, found.end())


def _value(field: str, position: int) -> tuple[str, int]:
    """Read a value: a word, a quoted string, or an address whose local part is quoted."""
    found = _QUOTED.match(field, position)
    text = _ESCAPED.sub(r"\1", found[1]) if found else ""
    end = found.end() if found else position
    bare = _BARE.match(field, end)
    if bare is None and found is None:
        message = f'a value is missing before "{field[position : position + 20]}"'
        raise UnreadableError(message)
    if bare is not None:
        if found is not None and bare[0][0] != "@":
            message = "something follows a quoted string"
            raise UnreadableError(message)
        text, end = text + bare[0], bare.end()
    if field[end : end + 1] in {'"', "\\"}:
        message = "a quote stands within a word"
        raise UnreadableError(message)
    return text, _skip(field, end)


def _expect(field: str, position: int, mark: str) -> int:
    if field[position : position + 1] != mark:
        message = f'"{mark}" is missing before "{field[position : position + 20]}"'
        raise UnreadableError(message)
    return position + 1


def _skip(text: str, position: int) -> int:
    """Return where what follows blanks and comments begins."""
    position = _SPACE.match(text, position).end()  # type: ignore[union-attr]  # it matches anything
    while text[position : position + 1] == "(":
        position = _SPACE.match(text, _after_comment(text, position + 1)).end()  # type: ignore[union-attr]
    return position


def _after_comment(text: str, position: int) -> int:
    depth = 1
    for mark in _MARK.finditer(text, position):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if not depth:
            return mark.end()
    message = "a comment is not closed"
    raise UnreadableError(message)
