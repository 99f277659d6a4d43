"""The general keys of a request, which every service takes: what each value means, or its fault."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from mailgate.model import General, Notify, Reply
from mailgate.parse import amounts
from mailgate.parse.address import mailboxes
from mailgate.parse.replies import expected, reply_kind
from mailgate.parse.unfit import UnfitValueError, shown
from mailgate.saying import Saying
from mailgate.services import Service
from mailgate.settings.kinds import nearest
from mailgate.settings.parameters import is_yes
from mailgate.settings.rules import RESOURCES

LABEL = 100
"""Characters of a label that are kept."""


_HEAD = 120  # So much of a value is read as a time or an event.
_EVERY = re.compile(r"\bevery\s+([^,;]+)")
OFTEN = timedelta(hours=1)
"""Nobody gets mail about a job that goes on more often than this."""

# So many others are told of a job, of addresses so long (RFC 5321 section 4.5.3.1.3).
_WATCHERS, _ADDRESS = 5, 254
_EVENTS = (*map(str, Notify), "every 7d")
_AMOUNTS = frozenset({"work-limit", "keep", *RESOURCES})
_SAMPLES = {"notify": str(Notify.START), "reply": str(Reply.BRIEF), "watch": "bob@example.org"}


def read_general(
    key: str, general: General, value: str, service: Service
) -> tuple[General, Saying]:
    """Read the value of the general key ``key``: all that is asked for by now, and what it means.

    Raises
    ------
    UnfitValueError
        It is no value for it, or not one that the service allows.
    """
    return _GENERAL[key][0](general, value, service)


def is_general(key: str) -> bool:
    """Whether ``key``, as compared, is a general one."""
    return key in _GENERAL


def expected_value(key: str, service: Service) -> Saying | None:
    """Return what the general key ``key`` takes, as a noun phrase; None where nothing will do."""
    return _GENERAL[key][1](service)


def general_sample(key: str, service: Service) -> str:
    """Return a value that the general key ``key`` of few words takes."""
    return amounts.sample(key, service) if key in _AMOUNTS else _SAMPLES.get(key, "yes")


def watcher(word: str) -> str | None:
    """Return a word as the bare address of one who may be told of a job; None if it is none."""
    box = next(mailboxes(word), None)
    if box is None or box.flaw or not box.address.isascii() or not 3 < len(box.address) <= _ADDRESS:
        return None
    local, _, domain = box.address.rpartition("@")
    # Without the dot of the root: two spellings are no two people.
    return f"{local}@{domain.lower().removesuffix('.')}"


# --- the values -----------------------------------------------------------------------------------


def _service(general: General, value: str, service: Service) -> tuple[General, Saying]:
    if value.lower() != service.name:
        raise UnfitValueError("keys/other-service", service=service.name, given=shown(value))
    return general, Saying("keys/service", name=service.name)


def _label(general: General, value: str, _: Service) -> tuple[General, Saying]:
    words = "".join(c if c.isprintable() else " " for c in value[: LABEL * 10])
    label = " ".join(words.split())[:LABEL].strip()
    if not label:
        raise UnfitValueError("keys/empty-label")
    return replace(general, label=label), Saying("keys/label")


def _work_limit(general: General, value: str, service: Service) -> tuple[General, Saying]:
    span = amounts.work(value, service)
    return replace(general, work_limit=span), Saying("keys/work-limit", span=span)


def _keep(general: General, value: str, service: Service) -> tuple[General, Saying]:
    span = amounts.keep(value, service)
    return replace(general, keep=span), Saying("keys/keep", span=span)


def _cores(general: General, value: str, service: Service) -> tuple[General, Saying]:
    count = amounts.cores(value, service)
    return replace(general, cores=count), Saying("keys/cores", count=count)


def _memory(general: General, value: str, service: Service) -> tuple[General, Saying]:
    count = amounts.memory(value, service)
    return replace(general, memory=count), Saying("keys/memory", size=count)


def _notify(general: General, value: str, _: Service) -> tuple[General, Saying]:
    often = _EVERY.search(value[:_HEAD].lower())
    every = _often(often[1]) if often else None
    rest = value[:_HEAD].lower().replace(often[0], " ") if often else value[:_HEAD].lower()
    words = re.split(r"[\s,;]+", plain) if (plain := rest.strip(" ,;")) or not often else []
    words = [str(Notify.END)] if words == ["none"] else words
    for word in words:
        if word not in set(Notify):
            meant = nearest(word, [str(member) for member in Notify])
            raise UnfitValueError("keys/no-event", given=shown(word), meant=meant)
    notify = frozenset(Notify(word) for word in words)
    told = Saying("keys/notify", events=tuple(dict.fromkeys(words)), every=every)
    return replace(general, notify=notify, every=every), told


def _often(value: str) -> timedelta:
    every = amounts.interval(value.strip())
    if not OFTEN <= every <= amounts.LONGEST:
        raise UnfitValueError("keys/not-so-often", every=every)
    return every


def _reply(general: General, value: str, _: Service) -> tuple[General, Saying]:
    reply, part = reply_kind(value)
    told = Saying("keys/part", most=part) if part else Saying("keys/reply", kind=str(reply))
    return replace(general, reply=reply, part=part), told


def _watch(general: General, value: str, _: Service) -> tuple[General, Saying]:
    words = re.split(r"[\s,;]+", value[:2000].strip(" ,;"))
    found = {watcher(word) or "": word for word in words}
    if "" in found:
        raise UnfitValueError("keys/no-address", given=shown(found[""]))
    if len(found) > _WATCHERS:
        raise UnfitValueError("keys/many-addresses", count=len(found))
    told = Saying("keys/watch", addresses=tuple(shown(address) for address in found))
    return replace(general, watch=tuple(found)), told


def _dry_run(general: General, value: str, _: Service) -> tuple[General, Saying]:
    yes = is_yes(value)
    if yes is None:
        raise UnfitValueError("keys/no-flag", given=shown(value))
    return replace(general, dry_run=yes), Saying("keys/dry-run" if yes else "keys/run")


Read = Callable[[General, str, Service], tuple[General, Saying]]

_GENERAL: Mapping[str, tuple[Read, Callable[[Service], Saying | None]]] = {
    "service": (_service, lambda service: Saying("keys/expected-service", name=service.name)),
    "label": (_label, lambda _: Saying("keys/expected-label")),
    "work-limit": (_work_limit, partial(amounts.expected, "work-limit")),
    "keep": (_keep, partial(amounts.expected, "keep")),
    "cores": (_cores, partial(amounts.expected, "cores")),
    "memory": (_memory, partial(amounts.expected, "memory")),
    "notify": (_notify, lambda _: Saying("keys/expected-notify", words=_EVENTS)),
    "reply": (_reply, lambda _: expected()),
    "watch": (_watch, lambda _: Saying("keys/expected-watch", most=_WATCHERS)),
    "dry-run": (_dry_run, lambda _: Saying("keys/expected-flag")),
}
