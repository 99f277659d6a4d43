"""A value that does not do: why, as a clause still to be said, and how much of it is shown."""

from mailgate.log import escaped
from mailgate.saying import Fact, Saying


class UnfitValueError(ValueError):
    """What is wrong with a value; ``why`` says it, as a clause."""

    def __init__(self, name: str, **facts: Fact) -> None:
        super().__init__(name)
        self.why = Saying(name, **facts)


def shown(text: str, most: int = 80) -> str:
    """Return a stranger's words on one line, control characters escaped, at most ``most`` long."""
    words = escaped(text[: 2 * most].strip())
    return words if len(words) <= most else f"{words[: most - 3]}..."
