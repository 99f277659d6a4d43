"""A value that does not do: why, as a clause that is still to be said."""

from mailgate.saying import Fact, Saying


class UnfitValueError(ValueError):
    """What is wrong with a value; ``why`` says it, as a clause."""

    def __init__(self, name: str, **facts: Fact) -> None:
        super().__init__(name)
        self.why = Saying(name, **facts)
