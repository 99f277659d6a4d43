"""Where the files that ship with the program lie: ``templates/`` and ``etc/``."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def path(*parts: str) -> Path:
    """Return the absolute path of a shipped file or folder, for example ``path("templates")``.

    A wheel carries them inside the package; in a checkout they stand beside it. Whether the named
    file exists is for the caller to find out.
    """
    installed = _PACKAGE / "_share"
    top = installed if installed.is_dir() else _PACKAGE.parent
    return top.joinpath(*parts)
