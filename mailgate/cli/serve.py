"""mailgate serve: run the gateway until it is told to stop."""

import asyncio
from contextlib import suppress

from mailgate import lasting
from mailgate.cli.options import loaded, parser


def run(words: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; exit 0, or 78, 75 or 70 where it cannot start."""
    given = parser("serve", __doc__).parse_args(words)
    config, services = loaded(given.config)
    from mailgate.daemon import serve  # noqa: PLC0415 - after the configuration is known good

    lasting.settle()
    runner = asyncio.Runner()
    try:
        runner.run(serve(config, services))
    finally:
        # It waits for idle threads by one more, which a full process table refuses.
        with suppress(RuntimeError):
            runner.close()
    return 0
