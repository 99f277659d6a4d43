"""Services: what a file must say, whom it serves, and the argv that a request becomes."""

import os
import pickle
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.cli.doubts import doubts
from mailgate.errors import BadConfig
from mailgate.model import How, Identity, Input, Reason, Request
from mailgate.services import Service, describe, file_name, load, load_all, plan, takes

BROKEN = Path(__file__).parent / "data" / "configs" / "services"
IN = Path("/jobs/k7/in")


def written(folder: Path, words: str, name: str = "tool") -> Service:
    file = folder / f"{name}.toml"
    file.write_text(words, encoding="utf-8")
    return load(file)


def request(parameters: dict[str, str] | None = None, **files: str) -> Request:
    inputs = tuple(
        Input(name=name, filename=filename, media_type="text/plain", size=1, sha256="", text="x")
        for name, filename in files.items()
    )
    return Request(service="tool", parameters=parameters or {}, inputs=inputs)


def argv(
    service: Service, parameters: dict[str, str] | None = None, **files: str
) -> tuple[str, ...]:
    return plan(service, request(parameters, **files), IN).argv


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.toml")), ids=lambda file: file.stem)
def test_a_broken_service_is_refused_with_every_mistake(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("#> ") for line in lines if line.startswith("#> ")]
    with pytest.raises(BadConfig) as caught:
        load(file)
    assert [words.removeprefix(f"{file}:") for words in str(caught.value).splitlines()] == expected


def test_the_mistakes_of_all_services_are_told_at_once() -> None:
    with pytest.raises(BadConfig) as caught:
        load_all(BROKEN)
    told = str(caught.value)
    assert all(f"{file}:" in told for file in BROKEN.glob("*.toml"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=f"{tmp_path}/no: cannot be read"):
        load_all(tmp_path / "no")


def test_only_toml_files_are_services(tmp_path: Path) -> None:
    for name in ("b.toml", "a.toml", ".hidden.toml", "README.md", "a.toml~"):
        (tmp_path / name).write_text('command = ["true"]')
    assert list(load_all(tmp_path)) == ["a", "b"]


def test_the_shipped_services_are_in_order(checkout: Path) -> None:
    services = load_all(checkout / "etc" / "services")
    align = services["align"]
    assert plan(align, request({"tree": "sl"}, sequences="x.fa"), IN).argv == (
        "python3", str(checkout / "etc" / "demo" / "align.py"), "--tree", "sl", f"{IN}/sequences.fa",
    )  # fmt: skip


def test_the_shortest_service_has_every_default(tmp_path: Path) -> None:
    service = written(tmp_path, 'command = ["true"]')
    assert (service.name, service.summary, service.stdin, service.network) == (
        "tool",
        "",
        None,
        False,
    )
    assert (service.output.stdout, service.output.stderr) == ("stdout.txt", "stderr.txt")
    assert service.limits.work is None
    assert service.limits.keep == timedelta(days=14)
    assert service.limits.keep_max == timedelta(days=90)
    assert (service.retry.times, service.retry.on) == (0, (Reason.LOST, Reason.NODE_FAILURE))
    assert service.refusal(Identity(address="a@example.org", how=How.NETWORK))


def test_a_service_survives_being_pickled(checkout: Path) -> None:
    service = load_all(checkout / "etc" / "services")["align"]
    assert pickle.loads(pickle.dumps(service)) == service


def test_every_key_says_what_it_is() -> None:
    rows = describe()
    assert len({(row.table, row.key) for row in rows}) == len(rows)
    assert all(row.doc and row.unit and row.default for row in rows)


# --- the command ----------------------------------------------------------------------------------


def test_placeholders_are_bound_within_their_element(tmp_path: Path) -> None:
    service = written(
        tmp_path,
        """
        command = ["tool", "--x={x}", "{x}{x}", "{{x}}", "{input:data}", "-j{cores}", "", "a b"]
        [parameter.x]
        type = "text"
        [input.data]
        match = ["*.tar.gz"]
        [limits]
        cores = 3
        """,
    )
    assert argv(service, {"x": "; rm -rf $(x) {cores}"}, data="../../x.TAR.GZ") == (
        "tool", "--x=; rm -rf $(x) {cores}", "; rm -rf $(x) {cores}; rm -rf $(x) {cores}", "{x}",
        "/jobs/k7/in/data.tar.gz", "-j3", "", "a b",
    )  # fmt: skip


ROOMY = """
command = ["tool", "-j{cores}"]
queue = "long"
[limits]
cores = 2
cores_max = 8
memory = "4 GiB"
memory_max = "16 GiB"
gpus = 1
"""


def test_a_job_gets_what_its_request_asks_for_and_else_what_the_service_says(
    tmp_path: Path,
) -> None:
    service = written(tmp_path, ROOMY)
    usual = plan(service, request(), IN)
    assert (usual.cores, usual.memory, usual.gpus, usual.queue) == (2, 4 << 30, 1, "long")
    assert usual.asked == ()
    asked = plan(service, replace(request(), cores=8), IN)
    assert (asked.argv, asked.cores, asked.memory) == (("tool", "-j8"), 8, 4 << 30)
    assert asked.asked == ("cores",)


def test_a_service_tells_what_can_be_asked_for_and_nothing_of_what_cannot(tmp_path: Path) -> None:
    told = {one.key: str(one.what) for one in takes(written(tmp_path, ROOMY))}
    assert told == {
        "cores": "the cores it gets, at most 8, 2 if it is left out",
        "memory": "the memory it gets, at most 16 GiB, 4 GiB if it is left out",
    }
    assert takes(written(tmp_path, 'command = ["tool"]\n[limits]\ncores = 2\n')) == ()


def test_a_flag_without_argument_is_the_word_as_sent(tmp_path: Path) -> None:
    service = written(
        tmp_path, 'command = ["tool", "{loud}"]\n[parameter.loud]\ntype = "flag"\ndefault = true'
    )
    assert service.parameters["loud"].default == "yes"
    assert argv(service, {"loud": "On"}) == ("tool", "On")


@pytest.mark.parametrize(
    ("value", "words"), [("yes", ("tool", "--loud", "x")), ("NO", ("tool", "x"))]
)
def test_a_flag_with_argument_is_there_or_not(
    tmp_path: Path, value: str, words: tuple[str, ...]
) -> None:
    service = written(
        tmp_path,
        'command = ["tool", "{loud}", "x"]\n[parameter.loud]\ntype = "flag"\nargument = "--loud"',
    )
    assert argv(service, {"loud": value}) == words


def test_what_belongs_together_drops_out_together(tmp_path: Path) -> None:
    service = written(
        tmp_path,
        """
        command = ["tool", ["--guide", "{input:tree}"], "in={input:tree}", "{input:data}"]
        [input.tree]
        match = ["*.nwk"]
        required = false
        [input.data]
        """,
    )
    assert argv(service, data="x") == ("tool", "/jobs/k7/in/data")
    assert argv(service, data="x", tree="t.nwk") == (
        "tool", "--guide", "/jobs/k7/in/tree.nwk", "in=/jobs/k7/in/tree.nwk", "/jobs/k7/in/data",
    )  # fmt: skip


def test_standard_input_is_the_inputs_file_where_it_was_sent(tmp_path: Path) -> None:
    service = written(
        tmp_path, 'command = ["cat"]\nstdin = "text"\n[input.text]\nfrom = "body"\nrequired = false'
    )
    assert plan(service, request(text=""), IN).stdin == "text.txt"
    assert plan(service, request(), IN).stdin is None


def test_a_plan_carries_what_the_engine_needs(tmp_path: Path) -> None:
    service = written(
        tmp_path,
        """
        command = ["tool"]
        network = true
        [output]
        stdout = "a.txt"
        files = ["*.nwk"]
        [limits]
        cores = 2
        memory = "1 GiB"
        [retry]
        times = 2
        on = ["memory"]
        """,
    )
    made = plan(service, request(), IN)
    assert (made.network, made.stdout, made.stderr, made.files) == (
        True,
        "a.txt",
        "stderr.txt",
        ("*.nwk",),
    )
    assert (made.cores, made.memory, made.retry_times, made.retry_on) == (
        2,
        1 << 30,
        2,
        {Reason.MEMORY},
    )


def test_a_relative_path_beside_the_service_file_means_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "services"
    (folder / "data").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    for file in ("align.py", "data/model", "../bin/tool", "-x", "odd {name}"):
        (folder / file).write_text("")
    words = '["../bin/tool", "align.py", "./align.py", "data", "data/", "data/model", ".", "..", "-x", "no.py", "odd {{name}}", "/bin/true", "{x}"]'
    service = written(folder, f'command = {words}\n[parameter.x]\ntype = "text"')
    assert argv(service, {"x": "align.py"}) == (
        str(tmp_path / "bin" / "tool"), f"{folder}/align.py", f"{folder}/align.py", "data", f"{folder}/data",
        f"{folder}/data/model", ".", "..", "-x", "no.py", f"{folder}/odd {{name}}", "/bin/true", "align.py",
    )  # fmt: skip


def test_a_link_on_the_way_to_a_file_is_respected(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "tool").write_text("right")
    (tmp_path / "services").mkdir()
    (tmp_path / "tool").write_text("wrong")
    (tmp_path / "services" / "link").symlink_to(tmp_path / "a" / "b")
    service = written(tmp_path / "services", 'command = ["link/../tool"]')
    assert Path(argv(service)[0]).read_text() == "right"


def test_a_word_longer_than_any_files_name_is_a_word(tmp_path: Path) -> None:
    assert argv(written(tmp_path, f'command = ["tool", "{"x" * 5000}"]'))[1] == "x" * 5000


def test_a_closed_choice_may_name_the_program(tmp_path: Path) -> None:
    service = written(
        tmp_path,
        'command = ["/opt/{v}/tool"]\n[parameter.v]\ntype = "choice"\nchoices = ["1", "2"]',
    )
    assert argv(service, {"v": "2"}) == ("/opt/2/tool",)


def test_a_shell_may_get_words_as_its_arguments(tmp_path: Path) -> None:
    words = '["sh", "-c", "tool \\"$1\\" < {input:data}", "sh", "{x}"]'
    assert written(tmp_path, f'command = {words}\n[input.data]\n[parameter.x]\ntype = "text"')


@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_no_value_ever_becomes_another_element(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    service = written(folder, 'command = ["tool", "a{x}b", "c"]\n[parameter.x]\ntype = "text"')
    assert argv(service, {"x": value}) == ("tool", f"a{value}b", "c")


# --- our names for files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "filename", "name"),
    [
        (["*.fa", "*.fasta"], "globins.FASTA", "data.fasta"),
        (["*.fa"], "../../etc/x.fa", "data.fa"),
        (["*.tar.gz"], "C:\\x.tar.gz", "data.tar.gz"),
        (["*.f[aq]"], "x.fq", "data"),
        (["*"], "x.sh", "data"),
        (["data*"], "data.x", "data"),
        (["*.?"], "a.b", "data"),
    ],
)
def test_a_file_gets_our_name_and_the_patterns_extension(
    tmp_path: Path, match: list[str], filename: str, name: str
) -> None:
    service = written(tmp_path, f'command = ["true"]\n[input.data]\nmatch = {match}')
    assert service.inputs["data"].takes(filename)
    assert file_name(service, "data", filename) == name


def test_without_patterns_no_extension_is_believed(tmp_path: Path) -> None:
    service = written(tmp_path, 'command = ["true"]\n[input.data]')
    assert file_name(service, "data", "x.sh") == "data"
    assert file_name(service, "data", "") == "data"


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "address", "may"),
    [
        ("*", "anybody@anywhere.example", True),
        ("*", '"a@b"@example.org', True),
        ("*@example.org", "a@example.org", True),
        ("*@EXAMPLE.org", "a@example.org", True),
        ("*@example.org", "a@sub.example.org", False),
        ("*@example.org", "x@evil.org@example.org", False),
        ("*@example.org", '"x@evil.org"@example.org', False),
        ("*@example.org", "example.org", False),
        ("*@example.org", "a@example.org.evil.org", False),
        ("*@example.org", "a@notexample.org", False),
        ("*@example.org", "a b@example.org", False),
        ("*@example.org", "<a@example.org>", False),
        ("*@example.org", "é@example.org", False),
        ("*@*.example.org", "a@b.c.example.org", True),
        ("*@*.example.org", "a@example.org", False),
        ("*@*", "a@b", True),
        ("*@*", "a@b@c", False),
        ("jane@example.org", "jane@example.org", True),
        ("jane@example.org", "jane2@example.org", False),
        ("j?ne@example.org", "jane@example.org", True),
    ],
)
def test_who_may_use_a_service(tmp_path: Path, allow: str, address: str, may: bool) -> None:
    service = written(tmp_path, f'command = ["true"]\n[access]\nallow = ["{allow}"]')
    assert (not service.refusal(Identity(address=address, how=How.NETWORK))) is may


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("ann@example.org", True),
        ("eve@example.org", False),
        ("Eve@EXAMPLE.org", False),
        ("ann@bad.example.org", False),
        ('"eve"@example.org', False),
        ("eve@x@example.org", False),
    ],
)
def test_whom_deny_names_may_not_whatever_allow_says(
    tmp_path: Path, address: str, may: bool
) -> None:
    lists = 'allow = ["*"]\ndeny = ["Eve@example.org", "*@bad.example.org"]'
    service = written(tmp_path, f'command = ["true"]\n[access]\n{lists}')
    refusal = service.refusal(Identity(address=address, how=How.SMTP_AUTH))
    said = None if refusal is None else str(refusal)
    assert said == (None if may else f'{address} may not use the service "{service.name}"')


def test_who_is_known_too_weakly_hears_how_he_is_and_what_is_needed(tmp_path: Path) -> None:
    text = 'command = ["true"]\n[access]\nallow = ["*@example.org"]\nrequire = "{}"'
    ways = list(How)
    for required in ways[1:]:
        service = written(tmp_path, text.format(required))
        for how in ways:
            refusal = service.refusal(Identity(address="a@example.org", how=how))
            assert (not refusal) is (how.strength >= required.strength), (how, required)
            if refusal:
                known = f"is known by {how.words} only, and {required.words} is required"
                assert known in str(refusal)
        # Whom the list does not admit learns nothing of that.
        stranger = str(service.refusal(Identity(address="a@elsewhere.test", how=How.NETWORK)))
        assert "may not use" in stranger
        assert "require" not in stranger


# --- warnings -------------------------------------------------------------------------------------


def test_what_is_often_not_meant_is_warned_about(tmp_path: Path) -> None:
    service = written(
        tmp_path,
        r"""
        command = ["tool", "--guide", "{input:tree}", "-n", "{quiet}", "{odd}", "{mended}"]
        [input.tree]
        required = false
        [parameter.quiet]
        type = "flag"
        argument = "-q"
        [parameter.unused]
        type = "integer"
        [parameter.odd]
        type = "text"
        pattern = "-[0-9]"
        [parameter.mended]
        type = "text"
        pattern = '[a-z]\b[a-z.]{2}'
        example = "a.b"
        """,
    )
    together = 'written as ["--guide", "{input:tree}"], the two go together'
    assert list(doubts(service)) == [
        "[access] allow is empty: nobody may use it",
        "[limits] work is not set: a job may run for ever",
        "parameter.unused: the command does not use it",
        "parameter.odd: no value was found that fits its pattern: give it an example",
        f'command: "--guide" stays where "{{input:tree}}" drops out; {together}',
    ]


@pytest.mark.parametrize("longest", [1, 2, 4, 5])
def test_a_value_that_is_made_up_is_no_longer_than_it_may_be(tmp_path: Path, longest: int) -> None:
    parameter = f'[parameter.a]\ntype = "text"\nmax_length = {longest}\n'
    service = written(tmp_path, f'command = ["tool", "{{a}}"]\n{parameter}')
    made = service.parameters["a"]
    assert made.fault(made.sample()) is None


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "gone.toml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadConfig) as caught:
        load_all(tmp_path)
    assert len(str(caught.value).splitlines()) == 3
