"""The time that a job needs before it trains: importing training as jobs do it, beside a plain import; asserts nothing.

    python -m tests.benchmarks.bench_startup [--turns 7]

Processes take turns; the ratio is of CPU times, whose medians are printed with their range.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys

WAYS = {
    "plain import": "import grpo_worker.loop",
    "as jobs import": "from grpo_worker import import_large; import_large('grpo_worker.loop')",
    "torch alone": "import torch",
}


def cpu_s(program: str) -> float:
    """CPU seconds of a fresh interpreter, a full collection included: training makes one soon."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"{program}; import gc; gc.collect()"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    turns = parser.parse_args().turns
    cpu_s("import grpo_worker.loop")  # from disk to memory
    times = {way: list[float]() for way in WAYS}
    for _ in range(turns):
        for way, program in WAYS.items():
            times[way].append(cpu_s(program))
    plain = statistics.median(times["plain import"])
    for way, found in times.items():
        middle = statistics.median(found)
        print(f"{way:15} {middle:.2f} s ({min(found):.2f}–{max(found):.2f}), {middle / plain:.2f} of a plain import")


if __name__ == "__main__":
    main()
