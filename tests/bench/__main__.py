"""`make bench`: every figure against its reference in the same run, medians of interleaved runs.

The words after the command choose sections; MAILGATE_BENCH_ROUNDS is how often each is run.
"""

import os
import sys
from datetime import UTC, datetime

from tests.bench import accat, clusters, intake, jobs, load, memory
from tests.bench.place import ROUNDS, place
from tests.bench.table import Row

SECTIONS = {
    "intake": intake.intake,
    "arrival": memory.arrival,
    "memory": memory.there_and_back,
    "jobs": jobs.jobs_and_history,
    "start": jobs.start_up,
    "accat": accat.unpacking,
    "slurm": clusters.to_slurm,
    "waiting": clusters.waiting,
    "ends": clusters.to_the_courier,
    "gridengine": clusters.to_gridengine,
}


def main() -> int:
    """Run every section, or those named."""
    unknown = [name for name in sys.argv[1:] if name not in SECTIONS]
    if unknown:
        print(f"no section {unknown[0]}; there are {', '.join(SECTIONS)}", file=sys.stderr)
        return 64
    rows: list[Row] = []
    with place("disk") as folder:
        before = load.fsyncs(folder)
        for name in sys.argv[1:] or SECTIONS:
            print(f"{name} ...", file=sys.stderr)
            for row in SECTIONS[name]():
                rows.append(row)
                print(row, flush=True)
        after = load.fsyncs(folder)
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores; fsync of 4 KiB:"
        f" {before:.0f}/s before, {after:.0f}/s after; {ROUNDS} rounds; median (least to most)"
    )
    for row in rows:
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
