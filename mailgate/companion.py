"""A helping process as the daemon sees it: started when it is needed, anew when it has ended."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from mailgate.frames import LENGTH, packed, unpacked

# A process imports the house once: on a busy machine that may take a while (seconds).
_START = 30.0
# One that has closed its pipes is gone within this.
_DYING = 1.0


class Companion:
    """``python -m module``, which answers frames one at a time; started anew when it has ended.

    ``hello`` is the first frame, told and answered at each start.
    """

    def __init__(self, module: str, hello: object) -> None:
        self._module = module
        self._hello = packed(hello)
        self._process: asyncio.subprocess.Process | None = None
        self._dying: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start it, unless it runs.

        Raises
        ------
        OSError, EOFError, TimeoutError
            It cannot be started now.
        """
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return
            # Somebody has killed it while it had nothing to do: no work of it is lost.
            self._process = None
            await self._gone()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                cwd=Path(__file__).parents[1],
                # Out of the terminal's group: a Ctrl-C is the daemon's to act on.
                start_new_session=True,
            )  # fmt: skip
            await self.ask(self._hello, longest=_START)

    async def _gone(self) -> None:
        """See the one before off: one that hangs on a disk must not become many."""
        if self._dying is not None:
            async with asyncio.timeout(_DYING):
                await self._dying.wait()
            self._dying = None

    async def warm(self) -> None:
        """Start it before somebody waits for it; if that cannot be now, it is started later."""
        with suppress(OSError, EOFError, TimeoutError):
            await self.start()

    async def ask(self, frame: bytes, *, longest: float | None = None) -> object:
        """Return what it answers to a frame. Where nobody waits for the answer it is killed.

        Raises
        ------
        OSError, EOFError
            It was not started, or has ended.
        TimeoutError
            It has not answered within ``longest`` seconds.
        """
        process = self._process
        try:
            async with asyncio.timeout(longest):
                return await _answer(process, frame)
        except (ConnectionError, EOFError):
            await self._bury()
            raise
        except BaseException:
            # Its answer would be taken for the next one's.
            self._kill()
            raise

    async def _bury(self) -> None:
        """Let go of a process that has closed its pipes, which is dead or dying."""
        with suppress(TimeoutError):
            # asyncio complains when a process is killed that has just died by itself.
            async with asyncio.timeout(_DYING):
                if self._process is not None:
                    await self._process.wait()
        self._kill()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            self._dying = process

    async def stop(self) -> None:
        """End it, whatever it is at."""
        self._kill()
        if self._dying is not None:
            await self._dying.wait()


async def _answer(process: asyncio.subprocess.Process | None, frame: bytes) -> object:
    if process is None or process.stdin is None or process.stdout is None:
        message = "a helping process does not run"
        raise EOFError(message)
    process.stdin.write(frame)
    await process.stdin.drain()
    (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    return unpacked(await process.stdout.readexactly(length))
