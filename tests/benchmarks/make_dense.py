"""Train the dense grid that searches are replayed on, and write how its runs ended to tests/data/dense-tiny.csv.

    .venv/bin/python -m tests.benchmarks.make_dense [--db URL]

600 real runs of the tiny policy, 25 minutes on two cores; killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from orchestrator.store import outcomes
from orchestrator.store.database import Store

FILE = Path(__file__).parents[1] / "data" / "dense-tiny.csv"
COLUMNS = ("k", "eta", "seed", "learner_steps", "collapse_step")
GRID = """
name: dense
grid:
  model: [tiny]
  k: [2, 8, 32]
  eta: {logspace: {start: 1.25e-4, stop: 8.0e-3, num: 25}}
  seed: {range: {start: 0, stop: 8}}
fixed:
  horizon: 320
  clip_eps: 1.0
  kl_coef: 0.0
  collapse.stop_after_evals: 3
"""
NOTHING_TO_DO = 3


def main() -> None:
    """Train what is missing, then write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", default="sqlite:///dense.db", help="where the runs are stored")
    url = parser.parse_args().db
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "dense.yaml"
        grid.write_text(GRID)
        command = ["stalesweep", "launch", str(grid), "--executor", "local", "--db", url]
        ended = subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], check=False)
    if ended.returncode not in (0, NOTHING_TO_DO):
        sys.exit(ended.returncode)
    with Store(url) as store:
        rows = sorted(
            [one.k, one.eta, one.seed, one.learner_steps, one.collapse_step]
            for one in outcomes.outcomes(store, ["tiny"])
        )
    with FILE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
