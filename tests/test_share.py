"""What ships with the program is found in a checkout and in an installed wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mailgate import share
from tests.source import CHECKOUT

SHIPPED = ["templates/result.txt.j2", "etc/mailgate.toml", "etc/services/align.toml"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_checkout_has_what_ships(name: str) -> None:
    assert share.path(*name.split("/")) == CHECKOUT / name
    assert (CHECKOUT / name).is_file()


def test_a_wheel_has_all_that_ships_and_finds_it(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    told = subprocess.run(
        [sys.executable, "-c", "from mailgate import share; print(share.path())"],
        cwd=tmp_path / "site",
        check=True,
        capture_output=True,
        text=True,
    )
    folder = Path(told.stdout.strip())
    assert folder == tmp_path / "site" / "mailgate" / "_share"
    assert [name for name in SHIPPED if not (folder / name).is_file()] == []
