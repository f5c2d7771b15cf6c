"""Grid files: what is refused, with line and reason, and how a good one expands."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import submitit
from pydantic import model_validator

import orchestrator.grid.sweep as grid_module
from grpo_worker.schema.config import WorkerConfig
from orchestrator.base.errors import GridError
from orchestrator.grid import yaml_file
from orchestrator.grid.fields import SBATCH_OPTIONS, refusal
from orchestrator.grid.mistakes import REMOVED_KEYS
from orchestrator.grid.sweep import Cell, Resources, Sweep, load_sweep
from orchestrator.grid.yaml_file import read_grid_file, show, suggest
from orchestrator.search.search_file import load_search
from tests.grid.bad_grids import BAD, GOOD, GRID, axis

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "sweeps").glob("*.yaml"))


def load(folder: Path, content: str | bytes, **options: bool) -> Sweep:
    path = folder / "grid.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_sweep(path, **options)


def mistakes(folder: Path, content: str | bytes) -> list[str]:
    with pytest.raises(GridError) as caught:
        load(folder, content)
    prefix = str(folder / "grid.yaml")
    assert all(mistake.startswith(prefix) and "\n" not in mistake for mistake in caught.value.mistakes)
    return [mistake.removeprefix(prefix) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(("content", "line", "fragment"), BAD.values(), ids=BAD.keys())
def test_bad_file_gives_one_mistake_with_its_line(
    tmp_path: Path, content: str | bytes, line: int, fragment: str
) -> None:
    (mistake,) = mistakes(tmp_path, content)
    assert mistake.startswith(f":{line}: ")
    assert fragment in mistake


def test_all_mistakes_are_reported_by_line(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        "resources: {gpu: 1}\n"
        "name: A\n"
        "grid:\n"
        "  model: [tiny, llama]\n"
        "  k: [0, true, 2]\n"
        "  eta: [-1]\n"
        "fixed: {horizn: 3, clip_eps: 0}\n"
        "exclude: [{k: 7}]\n",
    )
    assert [mistake[:3] for mistake in found] == [f":{n}:" for n in (1, 2, 3, 4, 5, 5, 6, 7, 7, 8)]


def test_all_mistakes_of_a_section_are_reported(tmp_path: Path) -> None:
    slurm = "{nice: 1, mem: 4, mail-typ: END}"
    found = mistakes(tmp_path, GOOD + f"resources: {{cpus: 0, slurm: {slurm}, retries: {{lots: 1, kiled: 1}}}}\n")
    assert [mistake.split(" ")[1] for mistake in found] == [
        f"resources.{key}:" for key in ("cpus", "slurm.mem", "slurm.mail-typ", "retries.lots", "retries.kiled")
    ]


def test_a_key_that_cannot_be_read_does_not_hide_the_mistakes_behind_it(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD + "  k: [4]\n  ? [a]\n  : 1\n  advantage_std: [yes]\n")
    assert [mistake[:4] for mistake in found] == [":7: ", ":8: ", ":10:"]


def test_whole_numbers_of_64_bits_are_taken_to_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(f"a: [{-(2**63)}, {2**63 - 1}]\n")
    file = read_grid_file(path)
    file.raise_mistakes()
    assert file.content == {"a": [-(2**63), 2**63 - 1]}
    for beyond in (-(2**63) - 1, 2**63):
        path.write_text(f"a: {beyond}\n")
        with pytest.raises(GridError, match=rf"whole numbers must fit in 64 bits \(found '{beyond}'\)"):
            read_grid_file(path).raise_mistakes()


def test_a_removed_key_is_refused_with_why_and_since_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "was removed in 9.9.0, because runs ended no sooner by it"
    monkeypatch.setitem(REMOVED_KEYS, "resources.eagerness", why)
    (mistake,) = mistakes(tmp_path, GOOD + "resources:\n  eagerness: 3\n")
    assert mistake == f":8: resources.eagerness: {why}"


@pytest.mark.parametrize(
    ("path", "fragment"),
    [("none.yaml", "No such file"), (".", "Is a directory"), ("big.yaml", "is larger than")],
)
def test_unreadable_file(tmp_path: Path, path: str, fragment: str) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(GridError, match=fragment):
        load_sweep(tmp_path / path)


@pytest.mark.parametrize("name", ['"\\UFFFFFFFF"', "%YAML 1." + "9" * 5000])
def test_what_the_yaml_library_itself_stumbles_over_is_said_of_the_file(tmp_path: Path, name: str) -> None:
    (mistake,) = mistakes(tmp_path, f"{name}\n---\n{GOOD}")
    assert mistake.startswith(": cannot be read as YAML: ")


def of_values(count: int) -> str:
    """A file of so many values with its aliases unfolded: the mapping, a list of 100, and a list of these lists."""
    lists, values = divmod(count - 103, 101)
    return f"a: &a [{', '.join(['x'] * 100)}]\nb: [{', '.join(['*a'] * lists + ['x'] * values)}]\n"


def test_the_largest_file_is_read_and_no_larger_one(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    for fits, too_much in (
        (of_values(50_000), of_values(50_001)),
        (f"a: {'[' * 19}x{']' * 19}", f"a: {'[' * 20}x{']' * 20}"),
        (GOOD + "#" * (1_000_000 - len(GOOD)), GOOD + "#" * (1_000_001 - len(GOOD))),
    ):
        path.write_text(fits)
        read_grid_file(path)
        path.write_text(too_much)
        with pytest.raises(GridError, match=r"unfold to more than 50,000 values or 20 levels|larger than 1,000,000"):
            read_grid_file(path)


def test_mistakes_show_a_value_as_a_grid_file_has_it_on_one_short_line() -> None:
    shown = {"a": None, "b": [True, False], "two\nlines": 0.1 + 0.2, "c": "text"}
    assert show(shown) == r"{a: null, b: [true, false], 'two\nlines': 0.3, c: 'text'}"
    assert show("x" * 78) == f"'{'x' * 78}'"
    assert show("x" * 79) == f"'{'x' * 76}..."
    assert show({"k" * 80: 1}) == f"{{{'k' * 76}..."
    assert show({"k" * 81: 1}) == f"{{'{'k' * 75}..."


def test_a_word_that_is_not_known_is_answered_with_the_closest_one() -> None:
    words = ["horizon", "horizons", "clip_eps"]
    assert suggest("horizn", words) == "did you mean 'horizon'?; "
    assert suggest("epsilon", words) == ""
    assert suggest("horizon" + "x" * 1000, words) == ""


def test_a_file_of_too_many_values_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "MAX_VALUES", 100)
    no_yaml = b"a: [" + b"1, " * 200 + b"]]]"
    assert mistakes(tmp_path, no_yaml) == [":1: holds more than 50,000 values or 20 levels"]


def test_huge_product_is_refused_before_it_is_expanded(tmp_path: Path) -> None:
    huge = axis("seed: {range: {start: 0, stop: 1000000000000}}")  # expanding it would never end
    assert "found 4,000,000,000,000" in mistakes(tmp_path, huge)[0]


def test_huge_product_is_expanded_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "MAX_RUNS", 3)
    assert "found 4; allowed: up to 3" in mistakes(tmp_path, GOOD)[0]
    assert len(load(tmp_path, GOOD, allow_huge=True).runs) == 4


def test_mistake_of_a_combination_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Picky(WorkerConfig):
        @model_validator(mode="after")
        def _check(self) -> Picky:
            if self.k * self.eta > 1e-3:
                raise ValueError("k times eta is too large")
            return self

    monkeypatch.setattr(grid_module, "WorkerConfig", Picky)
    (mistake,) = mistakes(tmp_path, GOOD)
    assert mistake.startswith(":2: grid: Value error, k times eta is too large (found first in the cell")
    assert "k = 2, eta = 0.002" in mistake


def test_runs_are_ordered_with_values_in_file_order(tmp_path: Path) -> None:
    sweep = load(
        tmp_path,
        "grid:\n"
        "  seed: [1, 0]\n"
        "  reuse: [split, replay]\n"
        "  optimizer.beta1: [0.5]\n"
        "  eta: [1e-3, 1E-4]\n"
        "  k: [8, 2]\n"
        "  model: [tiny]\n"
        "fixed: {horizon: 10, optimizer: {beta2: 0.99}, task.verifier: number}\n",
    )
    first = (("reuse", "split"), ("optimizer.beta1", 0.5))
    second = (("reuse", "replay"), ("optimizer.beta1", 0.5))
    assert sweep.cells == tuple(
        Cell("tiny", k, eta, further) for k in (8, 2) for eta in (1e-3, 1e-4) for further in (first, second)
    )
    assert [(run.cell, run.seed) for run in sweep.runs] == [(cell, n) for cell in sweep.cells for n in (1, 0)]
    assert sweep.total_learner_steps == 16 * 10
    config = sweep.runs[-1].config
    assert (config.k, config.eta, config.seed, config.horizon, config.reuse) == (2, 1e-4, 0, 10, "replay")
    assert (config.optimizer.beta1, config.optimizer.beta2, config.task.verifier) == (0.5, 0.99, "number")


def test_the_smallest_grid_takes_its_name_from_the_file_and_every_default(tmp_path: Path) -> None:
    sweep = load(tmp_path, GRID)
    assert sweep.name == "grid"
    assert sweep.text == GRID
    assert sweep.runs[0].resources == Resources()
    assert sweep.runs[0].config == WorkerConfig.model_validate({"model": {}, "k": 2, "eta": 1e-4, "seed": 0})


def test_logspace_and_range(tmp_path: Path) -> None:
    sweep = load(
        tmp_path,
        "grid:\n  model: [tiny]\n  k: [1]\n"
        "  eta: {logspace: {start: 1.0e-4, stop: 1.6e-3, num: 5}}\n"
        "  seed: {range: {start: 0, stop: 5, step: 2}}\n"
        "exclude: [{eta: 4e-4, seed: 2}]\n",
    )
    assert [cell.eta for cell in sweep.cells] == [1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3]
    assert [run.seed for run in sweep.runs if run.cell.eta == 4e-4] == [0, 4]


@pytest.mark.parametrize("written", ["1e-4", "1E-4", "1.0e-4", "0.0001", ".0001", "+1e-4", "10e-5"])
def test_numbers_are_what_they_look_like(tmp_path: Path, written: str) -> None:
    assert load(tmp_path, axis(f"eta: [{written}]")).cells[0].eta == 1e-4


@pytest.mark.parametrize("written", ["", "~", "null", "Null", "NULL"])
def test_null_in_every_spelling(tmp_path: Path, written: str) -> None:
    assert load(tmp_path, GOOD + f"resources:\n  account: {written}\n").runs[0].resources.account is None


def test_true_and_false_in_every_spelling(tmp_path: Path) -> None:
    cells = load(tmp_path, axis("advantage_std: [True, FALSE]")).cells
    assert {cell.axes for cell in cells} == {(("advantage_std", True),), (("advantage_std", False),)}


def test_yaml_1_1_surprises_stay_text(tmp_path: Path) -> None:
    options = "{begin: 1:30, exclusive: true, nice: 010}"
    sweep = load(tmp_path, GOOD + f"resources: {{account: 2026-01-01, slurm: {options}}}\n")
    resources = sweep.runs[0].resources
    assert resources.account == "2026-01-01"
    assert resources.slurm == {"begin": "1:30", "exclusive": True, "nice": 10}


def test_options_of_sbatch_are_taken_with_dashes_or_as_submitit_spells_them(tmp_path: Path) -> None:
    options = "{mail_user: me, gpu-bind: none, setup: [module load cuda], cpus_per_gpu: 2}"
    sweep = load(tmp_path, GOOD + f"resources: {{slurm: {options}, retries: {{killed: 2}}}}\n")
    resources = sweep.runs[0].resources
    assert resources.slurm == {"mail-user": "me", "gpu-bind": "none", "setup": ["module load cuda"], "cpus-per-gpu": 2}
    assert [resources.retries_of(name) for name in ("killed", "lost", "exception")] == [2, 3, 0]


def test_every_parameter_of_submitit_is_taken_or_refused_with_a_reason() -> None:
    for parameter in submitit.SlurmExecutor._valid_parameters():
        name = parameter.replace("_", "-")
        assert (name in SBATCH_OPTIONS) != (refusal(name) is not None), name


def test_exclude_leaves_out_every_match(tmp_path: Path) -> None:
    sweep = load(tmp_path, axis("seed: [0, 1]") + "exclude: [{k: 8, eta: 2e-3}, {model: tiny, k: 2, seed: 1}]\n")
    assert [(run.cell.k, run.cell.eta, run.seed) for run in sweep.runs] == [
        (2, 1e-4, 0), (2, 2e-3, 0), (8, 1e-4, 0), (8, 1e-4, 1),
    ]  # fmt: skip


def test_a_model_has_its_path_and_its_own_resources(tmp_path: Path) -> None:
    sweep = load(
        tmp_path,
        axis("model: [tiny, llama-1b]") + "models:\n"
        "  llama-1b:\n"
        "    path: meta-llama/Llama-3.2-1B-Instruct\n"
        "    dtype: bfloat16\n"
        "    resources: {gpus: 1, mem_gb: 80, slurm: {nice: 5}}\n"
        "  unused: {path: /models/unused}\n"
        "resources: {cpus: 4, mem_gb: 2, slurm: {nice: 1, exclusive: true}}\n",
    )
    tiny, llama = sweep.runs[0], sweep.runs[-1]
    assert (tiny.config.model.path, tiny.resources.mem_gb, tiny.resources.gpus) == ("builtin:tiny", 2, 0)
    assert llama.config.model.model_dump() == {
        "name": "llama-1b", "path": "meta-llama/Llama-3.2-1B-Instruct", "dtype": "bfloat16",
    }  # fmt: skip
    assert llama.resources == Resources(cpus=4, gpus=1, mem_gb=80, slurm={"nice": 5, "exclusive": True})


def test_digest_follows_the_content_alone(tmp_path: Path) -> None:
    digest = load(tmp_path, GOOD).digest
    same = "# comment\ngrid: {seed: [0], eta: [0.0001, 2e-3], k: [2, 8], model: [tiny]}\n\nname: 'small'\n"
    assert load(tmp_path, same).digest == digest
    assert load(tmp_path, GOOD + "resources: {time_min: 600}\n").digest == digest
    models = GOOD + "models: {big: {path: a, resources: {gpus: %d}}}\n"
    assert load(tmp_path, models % 1).digest == load(tmp_path, models % 2).digest != digest
    for other in (axis("k: [2]"), axis("k: [8, 2]"), GOOD + "fixed: {horizon: 8}\n", "name: other\n" + GRID):
        assert load(tmp_path, other).digest != digest


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_sweep_loads_and_says_what_it_answers(path: Path) -> None:
    is_search = "\nsearch:" in path.read_text(encoding="utf-8")
    sweep = load_search(path)[0] if is_search else load_sweep(path)
    assert sweep.name == path.stem
    comment = sweep.text.partition("name:")[0]
    assert "Question:" in comment
    assert "Time:" in comment
    assert "ε" in comment and "β" in comment


def test_the_quickstart_is_the_default_recipe() -> None:
    sweep = load_sweep(ROOT / "sweeps" / "quickstart.yaml")
    assert [(cell.k, cell.eta) for cell in sweep.cells] == [
        (k, eta) for k in (2, 8, 32) for eta in (2.5e-4, 5e-4, 1e-3, 2e-3)
    ]
    for run in sweep.runs:
        axes = {"k": run.cell.k, "eta": run.cell.eta, "seed": run.seed}
        assert run.config == WorkerConfig.model_validate({"model": {}, **axes})


def test_no_bytes_raise_anything_but_a_grid_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    quickstart = (ROOT / "sweeps" / "quickstart.yaml").read_bytes().partition(b"name:")[2]
    pieces = rb"""[ { *a &a !!x : - ' "\U % ? 9 [a] {a:null}""".split()
    pieces += [b"\t", b"\0", b"\n", b": ", b"- ", b"\xff"]
    refused = 0
    for n in range(300):
        if n % 3 == 0:
            content = rng.randbytes(rng.randrange(200))
        else:
            mutated = bytearray(b"name:" + quickstart)
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(mutated))
                mutated[at : at + rng.randrange(4)] = rng.choice(pieces) if n % 3 == 1 else rng.randbytes(2)
            content = bytes(mutated)
        try:
            load(tmp_path, content)
        except GridError as error:
            refused += 1
            assert error.mistakes
            assert all(mistake.isprintable() for mistake in error.mistakes)
    assert refused > 200
