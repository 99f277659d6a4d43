"""The walk finds what a shell's globs would, and follows no link whatever is done meanwhile."""

import glob
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailgate.run.walk import DEEPEST, Found, census, disk_use, find
from tests.run.conftest import as_someone


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def found(path: Path, *patterns: str, dots: bool = False) -> dict[str, str | None]:
    """Say what was found, and what is wrong with it."""
    return {
        "/".join(f.parts): f.fault and str(f.fault) for f in find(opened(path), patterns, dots=dots)
    }


def tree(path: Path, *files: str) -> Path:
    for file in files:
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text(file)
    return path


NAMES = st.sampled_from(["a", "b", "ab", "a.nwk", "b.nwk", ".a", "[a]", "x*y"])
PARTS = st.sampled_from(
    ["a", "*", "**", "?", "*.nwk", "[ab]", "[!a]", ".*", "a*", "**.nwk", "[[]a]"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=8),
    st.lists(PARTS, min_size=1, max_size=4).map("/".join),
)
def test_the_walk_finds_what_pythons_glob_finds(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]], pattern: str
) -> None:
    top = tmp_path_factory.mktemp("walk")
    for parts in files:
        path = top.joinpath(*parts)
        if not any(above.is_file() for above in path.parents) and not path.exists():
            tree(top, "/".join(parts))
    expected = {
        file
        for file in glob.glob(pattern, root_dir=top, recursive=True)  # noqa: PTH207 - the oracle
        if os.path.isfile(f"{top}/{file}")  # noqa: PTH113 - to Path "a/" is "a"
    }
    assert set(found(top, pattern)) == expected


def test_a_star_stays_within_a_name_and_two_pass_folders(tmp_path: Path) -> None:
    tree(tmp_path, "a.nwk", "x/b.nwk", "x/y/c.nwk", "x/y/d.txt", ".hidden.nwk", ".git/e.nwk")
    assert set(found(tmp_path, "*.nwk")) == {"a.nwk"}
    assert set(found(tmp_path, "x/*.nwk")) == {"x/b.nwk"}
    assert set(found(tmp_path, "**/*.nwk")) == {"a.nwk", "x/b.nwk", "x/y/c.nwk"}
    assert set(found(tmp_path, "x/**")) == {"x/b.nwk", "x/y/c.nwk", "x/y/d.txt"}
    assert set(found(tmp_path, ".hidden*")) == {".hidden.nwk"}
    assert len(found(tmp_path, "**", dots=True)) == 6


def test_a_file_that_two_globs_match_is_found_once(tmp_path: Path) -> None:
    tree(tmp_path, "a.nwk")
    assert find(opened(tmp_path), ["*", "*.nwk", "a*", "**"]) == [Found(parts=("a.nwk",))]


@pytest.mark.parametrize("pattern", ["../*", "/etc/passwd", "..", ".", "", "a/../../*", "//"])
def test_no_glob_leads_out(tmp_path: Path, pattern: str) -> None:
    inside = tree(tmp_path / "in", "a/b").parent / "in"
    tree(tmp_path, "outside")
    assert found(inside, pattern) == {}


def test_links_and_pipes_that_match_are_faults_and_others_silence(tmp_path: Path) -> None:
    tree(tmp_path, "real.nwk", "sub/x.nwk")
    (tmp_path / "link.nwk").symlink_to("real.nwk")
    (tmp_path / "dangling.nwk").symlink_to("nothing")
    (tmp_path / "other.txt").symlink_to("real.nwk")
    os.mkfifo(tmp_path / "pipe.nwk")
    assert found(tmp_path, "*.nwk") == {
        "real.nwk": None,
        "link.nwk": "it is a link",
        "dangling.nwk": "it is a link",
        "pipe.nwk": "it is no regular file",
    }


def test_a_link_where_a_folder_should_be_is_told_and_not_followed(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", "x.nwk")
    inside = tree(tmp_path / "inside", "sub/y.nwk")
    (inside / "results").symlink_to(outside)
    assert found(inside, "results/*.nwk") == {"results": "it is a link"}
    assert found(inside, "**/*.nwk") == {"sub/y.nwk": None}


def test_a_folder_that_may_not_be_entered_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may enter any folder")
    tree(tmp_path, "sub/x").joinpath("sub").chmod(0)
    (fault,) = found(tmp_path, "**").values()
    assert fault is not None
    tmp_path.joinpath("sub").chmod(0o700)


def test_folders_too_deep_are_told(tmp_path: Path) -> None:
    tree(tmp_path, "/".join(["d"] * (DEEPEST + 5)) + "/x")
    ((path, fault),) = found(tmp_path, "**").items()
    assert path.count("/") == DEEPEST
    assert "deep" in str(fault)


def test_only_folders_that_could_match_are_entered(tmp_path: Path) -> None:
    tree(tmp_path, "a/x.nwk", "b/x.nwk")
    (tmp_path / "b" / "odd.nwk").symlink_to("x.nwk")
    assert found(tmp_path, "a/*.nwk") == {"a/x.nwk": None}


def test_the_census_counts_every_name_of_a_file(tmp_path: Path) -> None:
    tree(tmp_path, "in/a", "work/b", "alone")
    for name in ("work/c", "work/.d"):
        (tmp_path / name).hardlink_to(tmp_path / "in" / "a")
    inode = (tmp_path / "in" / "a").stat()
    counted = census(opened(tmp_path))
    assert counted[inode.st_dev, inode.st_ino] == 3


def test_the_census_leaves_out_what_may_not_be_looked_at(anybodys: Path) -> None:
    tree(anybodys, "a", "shut/x", "closed/y")
    (anybodys / "b").hardlink_to(anybodys / "a")
    inode = (anybodys / "a").stat()
    with as_someone(anybodys):
        (anybodys / "shut").chmod(0o400)
        (anybodys / "closed").chmod(0)
        counted = census(opened(anybodys))
    assert counted[inode.st_dev, inode.st_ino] == 2


@pytest.mark.parametrize("mode", [0o400, 0o300, 0o100, 0])
@pytest.mark.parametrize("place", ["work", "work/sub", "work/sub/sub"])
def test_nothing_is_hidden_from_the_scales_by_taking_rights_away(
    anybodys: Path, place: str, mode: int
) -> None:
    tree(anybodys, "work/sub/sub/big").joinpath("work/sub/sub/big").write_bytes(b"x" * 200_000)
    with as_someone(anybodys):
        (anybodys / place).chmod(mode)
        assert disk_use(anybodys / "work") >= 200_000


def test_what_is_anothers_or_behind_a_link_is_not_weighed_and_keeps_its_rights(
    anybodys: Path,
) -> None:
    outside = tree(anybodys, "outside/big", "work/small").joinpath("outside")
    (outside / "big").write_bytes(b"x" * 200_000)
    (anybodys / "work" / "link").symlink_to(outside)
    with as_someone(anybodys):
        outside.chmod(0)
        assert 0 < disk_use(anybodys / "work") < 200_000
        assert disk_use(anybodys / "work" / "link") == 0
        assert outside.stat().st_mode & 0o777 == 0
    assert disk_use(anybodys / "nothing") == 0


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/c", "a/d", "e")
    before = len(list(Path("/proc/self/fd").iterdir()))
    find(opened(tmp_path), ["**"])
    census(opened(tmp_path))
    disk_use(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("pattern", ["*a*a*a*a*a*a*a*a*a*a*a*b", "**/**/**/**/**/*b"])
def test_no_glob_takes_long(tmp_path: Path, pattern: str) -> None:
    tree(tmp_path, "a" * 200, "/".join(["a"] * 40))
    assert found(tmp_path, pattern) == {}
    assert re.fullmatch(r"[a*/b]+", pattern)
