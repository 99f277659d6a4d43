"""mailgate explain: every decision taken about a mail, with times, by its Message-ID or SHA-256."""

from mailgate.cli.looking import spool_of
from mailgate.cli.options import complain, line, parser, text
from mailgate.config import load_places
from mailgate.spool.explain import explain

_NONE = 1


def run(words: list[str]) -> int:
    """Print one line a decision; exit 1 where nothing is known of such a mail."""
    made = parser("explain", __doc__)
    made.add_argument(
        "key", metavar="MESSAGE-ID", type=text, help="with or without its angle brackets"
    )
    given = made.parse_args(words)
    config = load_places(given.config)
    with spool_of(config) as connection:
        for key in _keys(given.key):
            if found := explain(connection.view, key):
                break
        else:
            complain(f"nothing is known of a mail {given.key}")
            return _NONE
    for at, sentence in found:
        line(at, sentence)
    return 0


def _keys(word: str) -> tuple[str, ...]:
    bare = word.strip().removeprefix("<").removesuffix(">")
    return f"<{bare}>", word.strip(), f"sha256:{bare}"
