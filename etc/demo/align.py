"""Align protein sequences with FAMSA: FASTA in, aligned FASTA out, the guide tree in guide.nwk."""

import argparse
import os
import sys
from pathlib import Path

from pyfamsa import Aligner, Sequence

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tree", choices=["sl", "upgma"], default="sl", help="how to build the tree")
parser.add_argument("fasta", nargs="?", default="-", help="a file; - is standard input")
wanted = parser.parse_args()


def progress(percent: int, words: str) -> None:
    """Tell the gateway how far we are, where there is one (docs/requests.md)."""
    if path := os.environ.get("MAILGATE_PROGRESS"):
        Path(path).write_text(f"{percent} {words}\n", encoding="utf-8")


text = sys.stdin.read() if wanted.fasta == "-" else Path(wanted.fasta).read_text(encoding="utf-8")
records = [record.partition("\n") for record in f"\n{text}".split("\n>")[1:]]
sequences = [
    Sequence(head.split()[0].encode(), "".join(letters.split()).encode())
    for head, _, letters in records
    if head.split() and letters.split()
]
if len(sequences) < 2:
    sys.exit("align: an alignment needs at least two sequences in FASTA format")

progress(10, f"{len(sequences)} sequences read")
aligner = Aligner(threads=1, guide_tree=wanted.tree)
try:
    tree = aligner.build_tree(sequences)
    progress(50, "tree built")
    alignment = aligner.align(sequences)
except (RuntimeError, ValueError) as error:
    sys.exit(f"align: {error}")
Path("guide.nwk").write_bytes(tree.dumps() + b"\n")
for row in alignment:
    print(f">{row.id.decode()}\n{row.sequence.decode()}")
progress(100, "aligned")
