"""accat, against base64 -d of the same bytes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import load
from tests.bench.place import ROUNDS, place
from tests.bench.table import Row
from tests.daemon import ROOT, eventually, request


def unpacking() -> Iterator[Row]:
    """accat of a 100 MiB attachment against base64 -d of the same bytes."""
    values = []
    with place("accat") as folder:
        gateway = load.gateway(folder, max_size="200 MiB")
        gateway.service(
            "big",
            'summary = "b"\ncommand = ["head", "-c", "104857600", "/dev/urandom"]\n'
            '[access]\nallow = ["*"]\n',
        )
        gateway.start()
        try:
            gateway.send(request("big"), to="big@gate.mg.test")
            eventually(gateway.saved, 120, gateway.logged)
            reply = gateway.saved()[0]
        finally:
            gateway.kill()
        encoded = folder / "encoded"
        encoded.write_bytes(longest_base64(reply))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for _ in range(ROUNDS + 2):
            theirs = clocked(["base64", "-d", str(encoded)], environment)
            ours = clocked([sys.executable, "-m", "mailgate.client.accat", str(reply)], environment)
            values.append(theirs / ours)
    yield Row(
        what="accat of a 100 MiB attachment",
        values=values[1:],
        goal=0.5,
        unit="x",
        reference="base64 -d of the same bytes",
    )


def longest_base64(reply: Path) -> bytes:
    """The encoded bytes of a reply's biggest part."""
    boundary = next(x for x in reply.read_bytes().split(b'boundary="')[1:]).split(b'"')[0]
    parts = reply.read_bytes().split(b"--" + boundary)
    part = max(parts, key=len)
    return part.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]


def clocked(command: list[str], environment: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.monotonic() - began
