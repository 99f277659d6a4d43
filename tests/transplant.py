"""A copy of this Python and of the gateway that any user of the machine may run.

Mail servers run programs as a user of their own, and tests often run from a folder (root's home,
say) that no other user can enter.
"""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailgate import share
from tests.servers import folder_for_all

# What is big and not needed to run the gateway.
_LEFT_OUT = ("*-packages", "test", "ensurepip", "idlelib", "tkinter", "config-*")
_TOOLS = ("*mypy*", "pyfamsa", "grimp", "pygments", "hypothesis", "_pytest", "importlinter")


@contextmanager
def transplanted() -> Iterator[Path]:
    """Return a folder with ``bin/mailgate`` in it, which stays as long as the block lasts."""
    with folder_for_all("mailgate-opt-") as folder:
        library = Path(sysconfig.get_path("stdlib"))
        leave = shutil.ignore_patterns(*_LEFT_OUT)
        shutil.copytree(library, folder / "lib" / library.name, ignore=leave)
        for file in library.parent.glob("libpython*.so*"):
            shutil.copy2(file, folder / "lib")
        site = Path(sysconfig.get_path("purelib"))
        shutil.copytree(site, folder / "site", ignore=shutil.ignore_patterns(*_TOOLS))
        for name in ("mailgate", "templates", "etc"):
            shutil.copytree(share.path() / name, folder / "site" / name)
        (folder / "bin").mkdir()
        shutil.copy2(os.path.realpath(sys.executable), folder / "bin" / "python3")
        program = folder / "bin" / "mailgate"
        program.write_text(
            f"#!/bin/sh\nexport PYTHONHOME={folder} PYTHONPATH={folder}/site"
            f" LD_LIBRARY_PATH={folder}/lib\n"
            f'exec {folder}/bin/python3 -m mailgate.cli.main "$@"\n'
        )
        program.chmod(0o755)
        yield folder
