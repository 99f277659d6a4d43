"""A thread that takes blocks while the next are being made."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread

_AHEAD = 4
"""Blocks made and not yet taken; each is about a MiB."""


def relay(blocks: Iterator[bytes], take: Callable[[bytes], None]) -> None:
    """Call ``take`` with each block, in order, in another thread; raise here what it raises there."""
    waiting: SimpleQueue[bytes | None] = SimpleQueue()
    room = Semaphore(_AHEAD)
    failed: list[BaseException] = []

    def work() -> None:
        while (block := waiting.get()) is not None:
            try:
                if not failed:
                    take(block)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                failed.append(error)
            room.release()

    # A daemon: an interrupted caller must not wait for a reader that takes nothing.
    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        for block in blocks:
            room.acquire()
            if failed:
                break
            waiting.put(block)
    finally:
        waiting.put(None)
    thread.join()
    if failed:
        raise failed[0]
