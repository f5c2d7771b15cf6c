"""What the command line costs before it does anything; prints ratios, asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_cli

`stalesweep --help` beside a bare `python -c pass`, taking turns; and what it imports, by `python -X importtime`:
whether a heavy package is among it, and the packages that cost most.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

HEAVY = ("torch", "transformers", "pandas", "optuna")
TARGET_RATIO = 10
ROUNDS = 15


def wall_ms(command: list[str]) -> float:
    """Wall time of a process, in milliseconds."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return 1e3 * (time.perf_counter() - started)


def imports(program: str) -> dict[str, float]:
    """Milliseconds that each module imported by ``--help`` takes by itself."""
    command = [sys.executable, "-X", "importtime", program, "--help"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr.splitlines()
    rows = [line.removeprefix("import time:").split("|") for line in lines if line.startswith("import time:")]
    return {name.strip(): int(own_us) / 1e3 for own_us, _, name in rows[1:]}


def main() -> None:
    """Measure and print."""
    python, program = sys.executable, str(Path(sys.executable).with_name("stalesweep"))
    turns = [(wall_ms([python, "-c", "pass"]), wall_ms([program, "--help"])) for _ in range(ROUNDS)]
    bare, help_ms = (statistics.median(turn[side] for turn in turns) for side in (0, 1))
    print(f"python -c pass     {bare:6.0f} ms wall, median of {ROUNDS}")
    print(
        f"stalesweep --help  {help_ms:6.0f} ms, {help_ms / bare:.1f} times as much (target: at most {TARGET_RATIO})\n"
    )

    own_ms = imports(program)
    packages: dict[str, float] = {}
    for name, ms in own_ms.items():
        package = name.split(".")[0]
        packages[package] = packages.get(package, 0.0) + ms
    found = [package for package in HEAVY if package in packages]
    print(f"imported: {len(own_ms)} modules; of {', '.join(HEAVY)}: {', '.join(found) or 'none'}")
    for package, ms in sorted(packages.items(), key=lambda item: -item[1])[:8]:
        print(f"  {package:<24}{ms:6.1f} ms")


if __name__ == "__main__":
    main()
