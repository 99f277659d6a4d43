"""mailgate serve: run the gateway until it is told to stop."""

import asyncio

from mailgate import lasting
from mailgate.cli.options import loaded, parser


def run(words: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; exit 0, or 78, 75 or 70 where it cannot start."""
    given = parser("serve", __doc__).parse_args(words)
    config, services = loaded(given.config)
    from mailgate.daemon import serve  # noqa: PLC0415 - after the configuration is known good

    lasting.settle()
    asyncio.run(serve(config, services))
    return 0
