"""Try small changes of a room that mutmut makes, a random sample of them: do the room's tests find them?

    .venv/bin/python -P tests/mutants.py ROOM [--also runs] [--sample 100] [--seed 0] [--processes 2] [--again]

Each change is tried with those tests alone that run the changed function (where none is seen to: its module), the
quickest first and for about a minute; tests on Postgres are left out, and those that fail with no change. Prints what
no test finds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import random
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from mutmut.__main__ import collect_source_file_mutation_data, copy_also_copy_files, create_mutants
from mutmut.configuration import config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import change_cwd, copy_src_dir, setup_source_paths
from mutmut.workers.isolation import ForkRunner
from statsmodels.stats.proportion import proportion_confint

BUDGET_S = 60
LEFT_OUT = float("inf")
KNOWN = Path("mutants/tests.json")


class Hits(set[str]):
    """The functions that were run, also in processes that were forked meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        # Open from the start, because some tests act as a user who may not open it.
        self._file = Path("mutants/hits").open("a+", encoding="utf-8")  # noqa: SIM115

    def add(self, function: str) -> None:
        """Note a function; mutmut calls this."""
        if function not in self:
            super().add(function)
            self._file.write(f"{function}\n")
            self._file.flush()

    def take(self) -> set[str]:
        """All since the last call."""
        self.clear()
        self._file.seek(0)
        found = set(self._file.read().split())
        self._file.truncate(0)
        return found


class Watcher:
    """A pytest plugin that notes which functions each test runs, then, in a run with no change, how long it takes."""

    def __init__(self, hits: Hits) -> None:
        self._hits = hits
        self.duration_s: dict[str, float] = {}
        self.tests: defaultdict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.duration_s[report.nodeid] = self.duration_s.get(report.nodeid, 0) + report.duration
        if report.failed:
            self.duration_s[report.nodeid] = LEFT_OUT
        if report.when == "teardown":
            for function in self._hits.take():
                self.tests[function].add(report.nodeid)

    def chosen(self) -> dict[str, list[str]]:
        """The tests of each function and module, the quickest first, for `BUDGET_S` or one test."""
        for function, tests in list(self.tests.items()):
            self.tests[_module(function)] |= tests
        return {name: self._within_budget(tests) for name, tests in self.tests.items()}

    def _within_budget(self, tests: set[str]) -> list[str]:
        quickest = sorted((self.duration_s.get(test, LEFT_OUT), test) for test in tests)
        within = [test for i, (_, test) in enumerate(quickest) if sum(s for s, _ in quickest[:i]) < BUDGET_S]
        return [test for test in within if self.duration_s.get(test, LEFT_OUT) < LEFT_OUT]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room")
    parser.add_argument("--also", nargs="*", default=[], metavar="ROOM", help="try its tests too")
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="the sources are as in the last try, of the same room")
    options = parser.parse_args()
    config().only_mutate = [f"orchestrator/{options.room}/*"]
    config().pytest_add_cli_args += ["-k", "not postgresql"]
    config().timeout_multiplier = 6
    tests = PytestRunner()
    _make_changes(options.processes, anew=not options.again)
    if not KNOWN.exists():
        KNOWN.write_text(json.dumps(_learn(tests, options.room, options.also)), encoding="utf-8")
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    paths = {name: data.path for data, name, _ in collect_source_file_mutation_data(mutant_names=())[0]}
    names = [name for name in paths if _function(name) not in known["at import"]]
    chosen = random.Random(options.seed).sample(names, min(options.sample, len(names)))

    outcomes = _try(chosen, known["tests"], tests, options.processes)
    for name in chosen:
        if outcomes[name] != "killed":
            print(f"{outcomes[name]}: {name}\n{get_diff_for_mutant(name, path=paths[name])}")
    counts = Counter(outcomes.values())
    found = counts["killed"]  # a timeout may come of a busy machine, so it is for people to judge
    low, high = proportion_confint(found, len(chosen), method="wilson")
    print(f"{options.room}: {len(chosen)} of {len(names)} changes, seed {options.seed}: {dict(counts)}")
    print(f"found {found / len(chosen):.0%}, 95 % interval {low:.0%} to {high:.0%}")


def _make_changes(processes: int, *, anew: bool) -> None:
    if anew:
        shutil.rmtree("mutants", ignore_errors=True)
    Path("mutants").mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    create_mutants(processes)
    setup_source_paths()


def _learn(tests: PytestRunner, room: str, also: list[str]) -> dict[str, object]:
    """Run the rooms' tests twice: noting the functions that they run, and as they are tried later, with no change."""
    hits = state()._stats = Hits()
    set_mutant_under_test("stats")
    package = importlib.import_module(f"orchestrator.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    at_import = sorted(hits.take())  # a change comes with a test, which is too late for these
    watcher = Watcher(hits)
    with change_cwd("mutants"):
        folders = [f"tests/{each}" for each in (room, *also)]
        tests.execute_pytest(folders, plugins=[watcher])
        set_mutant_under_test("")
        watcher.duration_s.clear()
        tests.execute_pytest(folders, plugins=[watcher])
    print("left out, because they fail with no change:", [t for t, s in watcher.duration_s.items() if s == LEFT_OUT])
    return {"at import": at_import, "tests": watcher.chosen()}


def _try(names: list[str], known: dict[str, list[str]], tests: PytestRunner, processes: int) -> dict[str, str]:
    """What became of each change, by its name."""
    outcomes: dict[str, str] = {}
    runner = ForkRunner(processes, tests)
    runner.startup()
    for name in [*names, *[""] * processes]:
        while not runner.has_capacity() or (not name and runner.pending_count()):
            result = runner.wait_for_result()
            outcomes[result.mutant_name] = status_by_exit_code[result.exit_code]
            print(f"{len(outcomes)}/{len(names)} {outcomes[result.mutant_name]} {result.mutant_name}", flush=True)
        if name:
            its = known.get(_function(name)) or known.get(_module(name)) or []
            runner.submit(name, its, cpu_time_limit=10 * BUDGET_S, estimated_time=BUDGET_S)
    return outcomes


def _function(change: str) -> str:
    return change.rpartition("__mutmut_")[0]


def _module(name: str) -> str:
    return name.rpartition(".")[0]


if __name__ == "__main__":
    main()
