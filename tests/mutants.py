"""Try small changes of a room that mutmut makes, a random sample of them: do the room's tests find them?

    .venv/bin/python -m tests.mutants ROOM [--sample 100] [--seed 0] [--processes 2]

Each change is tried with those tests alone that run the changed function. Prints the changes that no test finds.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import random
import shutil
from collections import Counter
from pathlib import Path

from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import copy_src_dir, setup_source_paths
from statsmodels.stats.proportion import proportion_confint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room")
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    config().only_mutate = [f"orchestrator/{options.room}/*"]
    config().pytest_add_cli_args_test_selection = [f"tests/{options.room}"]

    shutil.rmtree("mutants", ignore_errors=True)  # mutmut would keep what it learnt of another room, and of older tests
    Path("mutants").mkdir()
    copy_src_dir()
    mutmut.create_mutants(options.processes)
    names = [name for _, name, _ in mutmut.collect_source_file_mutation_data(mutant_names=())[0]]
    early = _run_at_import(options.room)
    names = [name for name in names if name.rpartition("__mutmut_")[0] not in early]
    chosen = random.Random(options.seed).sample(names, min(options.sample, len(names)))
    mutmut._run(chosen, options.processes)

    tried = mutmut.collect_source_file_mutation_data(mutant_names=chosen)[0]
    outcomes = {name: (status_by_exit_code[code], data.path) for data, name, code in tried}
    for name, (outcome, path) in sorted(outcomes.items()):
        if outcome not in ("killed", "timeout"):
            print(f"{outcome}: {name}\n{get_diff_for_mutant(name, path=path)}")
    counts = Counter(outcome for outcome, _ in outcomes.values())
    found = counts["killed"] + counts["timeout"]
    low, high = proportion_confint(found, len(chosen), method="wilson")
    print(f"{options.room}: {len(chosen)} of {len(names)} changes, seed {options.seed}: {dict(counts)}")
    print(f"found {found / len(chosen):.0%}, 95 % interval {low:.0%} to {high:.0%}")


def _run_at_import(room: str) -> set[str]:
    """The functions that run when the room's modules are imported: too early for a change, which comes with a test."""
    setup_source_paths()
    set_mutant_under_test("stats")
    package = importlib.import_module(f"orchestrator.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    early = set(state()._stats)
    state()._stats.clear()
    return early


if __name__ == "__main__":
    main()
