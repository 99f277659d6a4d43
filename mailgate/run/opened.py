"""The attempts that have not ended: thousands, of which few are looked for at a time."""

from collections import UserDict
from collections.abc import Iterable
from typing import Final

from mailgate.model import Attempt, AttemptState, JobId, Token

_NONE: Final[dict[Token, None]] = {}


class Opened(UserDict[Token, Attempt]):
    """Attempts by token. An attempt's job and engine never change, its state may."""

    def __init__(self, attempts: Iterable[Attempt] = ()) -> None:
        super().__init__()
        self._jobs: dict[JobId, dict[Token, None]] = {}
        self._engines: dict[str, dict[Token, None]] = {}
        self._started: dict[Token, None] = {}
        for attempt in attempts:
            self[attempt.token] = attempt

    def __setitem__(self, token: Token, attempt: Attempt) -> None:
        self.data[token] = attempt
        self._jobs.setdefault(attempt.job, {})[token] = None
        self._engines.setdefault(attempt.engine, {})[token] = None
        if attempt.state is AttemptState.STARTED:
            self._started[token] = None
        else:
            self._started.pop(token, None)

    def __delitem__(self, token: Token) -> None:
        attempt = self.data.pop(token)
        del self._jobs[attempt.job][token], self._engines[attempt.engine][token]
        if not self._jobs[attempt.job]:
            del self._jobs[attempt.job]
        if not self._engines[attempt.engine]:
            del self._engines[attempt.engine]
        self._started.pop(token, None)

    @property
    def engines(self) -> list[str]:
        """The engines that have any."""
        return list(self._engines)

    def count(self, engine: str) -> int:
        """Return how many an engine has."""
        return len(self._engines.get(engine, _NONE))

    def has(self, job: JobId) -> bool:
        """Whether there is one at a job."""
        return job in self._jobs

    def of(self, job: JobId) -> list[Attempt]:
        """Return those at a job: one, at the most."""
        return [self.data[token] for token in self._jobs.get(job, _NONE)]

    def at(self, engine: str) -> list[Attempt]:
        """Return those that an engine has."""
        return [self.data[token] for token in self._engines.get(engine, _NONE)]

    def started(self) -> list[Attempt]:
        """Return those that are known to run."""
        return [self.data[token] for token in self._started]
