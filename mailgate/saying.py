"""A sentence that is still to be said: its name, and the facts that it is about.

Rooms that find something out leave Sayings; the words are in ``templates/words/``, and are chosen
where somebody reads them. ``keys/no-duration`` is the macro ``no_duration`` of ``words/keys.j2``.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeAlias, Union

Fact: TypeAlias = Union[
    bool, int, float, str, datetime, timedelta, "Saying", "tuple[Fact, ...]", None
]
"""What a sentence may be about. Texts are harmless already; sizes are bytes, times aware UTC."""


class Saying:
    """``Saying("keys/no-duration", given="soon")``; ``str()`` says it, in the tongue of the place.

    Two are the same that name the same sentence about the same facts. It is never changed, and no
    bytes of it are words: it may be kept, and said in another language later.
    """

    __slots__ = ("_facts", "_name")

    def __init__(self, name: str, /, **facts: Fact) -> None:
        self._name = name
        self._facts = facts

    @property
    def name(self) -> str:
        """``GROUP/SENTENCE``: the file in ``words/``, and the sentence in it."""
        return self._name

    @property
    def facts(self) -> Mapping[str, Fact]:
        """What it is about, by the names that its template has for it."""
        return self._facts

    def __str__(self) -> str:
        """Say it: in the words of the gateway that is speaking, else in the shipped ones."""
        # Whoever only passes it on never needs the templates.
        from mailgate.wording import say  # noqa: PLC0415

        return say(self)

    def __repr__(self) -> str:
        """Show name and facts, for logs of bugs."""
        told = "".join(f", {name}={value!r}" for name, value in self._facts.items())
        return f"Saying({self._name!r}{told})"

    def __eq__(self, other: object) -> bool:
        """Compare by name and facts."""
        if not isinstance(other, Saying):
            return NotImplemented
        return self._name == other._name and self._facts == other._facts

    def __hash__(self) -> int:
        """Hash by name and facts."""
        return hash((self._name, tuple(self._facts.items())))

    def __getstate__(self) -> tuple[str, dict[str, Fact]]:
        """Give what makes it up, for another process."""
        return self._name, self._facts

    def __setstate__(self, state: tuple[str, dict[str, Fact]]) -> None:
        """Take what made it up."""
        self._name, self._facts = state


Words: TypeAlias = str | Saying
"""Somebody's own words, as they are; or a sentence of ours, still to be said."""


def words_of(told: object) -> Words:
    """Return what an error tells in public: its Saying, or its words."""
    return told if isinstance(told, Saying) else str(told)
