"""Real programs on real data, by mail, whatever engine runs them: the shipped examples."""

import re
import subprocess
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailgate import share
from tests.daemon import Gateway, attached, request, text_of
from tests.servers import require

GLOBINS = Path("/usr/share/doc/hmmer/examples/tutorial/globins45.fa")
WHO = "biologist@example.org"


def offer(gateway: Gateway) -> None:
    """Offer the shipped services as they stand; their database lies in the gateway's folder."""
    for name in ("tree", "blastp"):
        text = share.path("etc", "examples", f"{name}.toml").read_text(encoding="utf-8")
        gateway.service(name, text.replace("/srv/blast", str(gateway.folder)))


def prove(gateway: Gateway) -> None:
    """Mail 45 globins in, and see what a biologist gets: a tree, hits, and clear words.

    The test is skipped where the programs or HMMER's examples are not.
    """
    for program in ("clustalo", "FastTree", "blastp", "makeblastdb"):
        require(program)
    if not GLOBINS.is_file():
        pytest.skip("not found: hmmer-examples")
    make = ("makeblastdb", "-dbtype", "prot", "-in", GLOBINS, "-out", gateway.folder / "swissprot")
    subprocess.run(make, check=True, capture_output=True)
    proteins = GLOBINS.read_bytes()
    whale = b">" + proteins.split(b">")[1]
    requests = {
        "tree": request("tree", sender=WHO, attachments={"globins45.fa": proteins}),
        "alone": request("tree", sender=WHO, attachments={"one.fa": whale}),
        "hits": request("blastp", "evalue: 1e-30\n", sender=WHO, attachments={"query.fa": whale}),
        "empty": request("blastp", sender=WHO, attachments={"empty.fa": b""}),
        "missing": request("blastp", "database: pdb\n", sender=WHO, attachments={"q.fa": whale}),
    }
    for mail in requests.values():
        gateway.send(mail, sender=WHO)
    gateway.await_results(len(requests), WHO)
    results = {str(letter["In-Reply-To"]): letter for letter in gateway.results(WHO)}
    found = {name: results[str(mail["Message-ID"])] for name, mail in requests.items()}

    _see_tree(attached(found["tree"])["tree.nwk"].decode())
    _see_hits(attached(found["hits"])["hits.tsv"].decode())
    assert (found["empty"]["Mailgate-Exit"], found["empty"]["Mailgate-Phase"]) == ("0", "COMPLETED")
    assert "Warning: [blastp] Query is Empty!" in _words(found["empty"])
    assert (found["missing"]["Mailgate-Exit"], found["missing"]["Mailgate-Phase"]) == ("2", "ERROR")
    assert "No alias or index file found for protein database" in _words(found["missing"])
    # The first of the two programs failed, and with it the job.
    assert found["alone"]["Mailgate-Exit"] == "1"
    assert "contains 1 sequence, nothing to align" in _words(found["alone"])


def _see_tree(newick: str) -> None:
    leaves = re.findall(r"[(,]([^(),:]+):", newick)
    names = re.findall(r"^>(\S+)", GLOBINS.read_text(), re.MULTILINE)
    assert len(leaves) == 45
    assert sorted(leaves) == sorted(names)
    assert newick.rstrip().endswith(";")


def _see_hits(table: str) -> None:
    rows = [row.split("\t") for row in table.splitlines()]
    assert rows[0][:3] == ["MYG_ESCGI", "MYG_ESCGI", "100.000"]
    assert all(len(row) == 12 and float(row[10]) <= 1e-30 for row in rows)


def _words(letter: EmailMessage) -> str:
    return " ".join(text_of(letter).split())
