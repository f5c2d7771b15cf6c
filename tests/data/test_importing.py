"""Reading files to import: every mistake with its row and all at once, columns mapped, logs gathered by cycle."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.base.errors import GridError
from orchestrator.data.importing.columns import ALIASES, Options
from orchestrator.data.importing.read import Import, read_import
from orchestrator.data.importing.rows import ImportedRun
from orchestrator.data.importing.tables import SHOWN_MISTAKES
from tests.data.bad_imports import BAD, BAD_JSON_LINES, GOOD, RUNS, SYNCS

TRL = Path(__file__).parents[1] / "data" / "trl"
CONSTANTS = {"model": "m", "k": "4", "eta": "1e-3", "seed": "0"}


def read(path: Path, content: str | bytes, **options: Any) -> Import:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_import(path, Options(**options))


def mistakes(path: Path, content: str | bytes, **options: Any) -> list[str]:
    with pytest.raises(GridError) as refused:
        read(path, content, **options)
    return refused.value.mistakes


def rows(found: Import, kind: str = "syncs") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = getattr(found, kind).to_pylist()
    return listed


def test_good_runs(tmp_path: Path) -> None:
    (run,) = read(tmp_path / "runs.csv", RUNS + GOOD).runs
    known = {"model": "m", "k": 2, "eta": 1e-3, "seed": 0, "horizon": 480, "collapse_step": 96}
    assert run == ImportedRun(**known)
    assert (run.state, run.learner_steps, run.collapse_detector, run.axes) == ("collapsed", 96, "imported", "{}")


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_named_with_its_row(tmp_path: Path, name: str) -> None:
    content, expected = BAD[name]
    values = CONSTANTS if b"tep" in (content if isinstance(content, bytes) else content.encode())[:8] else {}
    found = mistakes(tmp_path / "file.csv", content, values=values)
    assert any(expected in one for one in found), found
    assert all(one.startswith(f"{tmp_path}/file.csv: ") for one in found)


@pytest.mark.parametrize("name", BAD_JSON_LINES)
def test_a_mistake_in_json_lines(tmp_path: Path, name: str) -> None:
    content, expected = BAD_JSON_LINES[name]
    (found,) = mistakes(tmp_path / "file.jsonl", content, values=CONSTANTS)
    assert f"file.jsonl: {expected}" in found


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    lines = ["m,0,1e-3,0,480,96", "m,2,-1,1,480,96", "m,2,1e-3,2,480,x", "m,2,1e-3", "m,2,1e-3,3,480,99"]
    found = mistakes(tmp_path / "file.csv", RUNS + "\n".join(lines), skip=["nope"], columns={"etaa": "eta"})
    assert len(found) == 6
    assert [one.partition(": ")[2].split(": ")[0] for one in found][2:] == ["row 5", "row 2", "row 3", "row 4"]
    assert "did you mean 'eta'?" in found[0]
    many = mistakes(tmp_path / "file.csv", RUNS + "m,0,1,0,1,\n" * (SHOWN_MISTAKES + 50))
    assert len(many) == SHOWN_MISTAKES + 1
    assert many[-1].endswith("and 50 more mistakes")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="there is no such file or folder"):
        read_import(tmp_path / "none.csv", Options())
    with pytest.raises(GridError, match="neither an export"):
        read_import(tmp_path, Options())
    for name in ("x.parquet", "x.json", "x.jsonl", "trainer_state.json"):
        assert "cannot be read" in mistakes(tmp_path / name, b"\xff\xfe")[0]
    assert "should be a valid array" in mistakes(tmp_path / "x.json", "{}")[0]
    assert "cannot be read: log_history: Field required" in mistakes(tmp_path / "trainer_state.json", "{}")[0]


def test_files_that_break_off_or_have_long_rows(tmp_path: Path) -> None:
    many = RUNS + "".join(f"m,2,1e-3,{seed},480,96\n" for seed in range(2000))
    assert "can't decode byte 0xe9" in mistakes(tmp_path / "late.csv", many.encode() + b"\xe9,2,1e-3,2000,480,96\n")[0]
    (found,) = mistakes(tmp_path / "late.csv", many + "m,2,1e-3,2000,480\n")
    assert "row 2002: has 5 fields, but the header names 6" in found
    long = RUNS.strip() + ",note\n" + GOOD.strip() + f",{'x' * 6_000_000}\n"
    assert len(read(tmp_path / "long.csv", long, skip=["note"]).runs) == 1
    pq.write_table(pa.table({"k": range(10_000), "collapse_step": [None] * 10_000}), tmp_path / "cut.parquet")
    content = (tmp_path / "cut.parquet").read_bytes()
    broken = content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :]
    assert "cut.parquet: cannot be read" in mistakes(tmp_path / "cut.parquet", broken)[0]


def test_small_files_that_hold_huge_tables(tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    long = pa.array(["x" * 1_000_000]).dictionary_encode()
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 8_000, pa.int32()), long.dictionary)
    pq.write_table(pa.table({"model": texts, "collapse_step": [1] * 8_000}), path)
    assert path.stat().st_size < 2_000_000, "and 8 GB when it is read"
    with pytest.raises(GridError, match=r"cannot be read: it takes more than 1\.0 GiB of memory"):
        read_import(path, Options())
    whole = pa.repeat(1, 70_000_000)
    pq.write_table(pa.table({"k": whole, "collapse_step": whole}), path)
    with pytest.raises(GridError, match=r"cannot be read: it takes more than 1\.0 GiB of memory"):
        read_import(path, Options())
    pq.write_table(pa.table({"k": whole[:1_000_001], "collapse_step": whole[:1_000_001]}), path)
    with pytest.raises(GridError, match="holds 1,000,001 runs or attempts; at most 1,000,000 can be read at once"):
        read_import(path, Options())


def test_a_hundred_thousand_columns(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(100_000)]
    content = f"{RUNS.strip()},{','.join(names)}\n{GOOD.strip()}{',1' * len(names)}\n"
    wrong = mistakes(tmp_path / "runs.csv", content)
    assert "row 1: names 100,000 columns that are none of ours; at most 1,000 can be further axes" in wrong[0]
    log = f"step,reward,{','.join(names)}\n1,0.5{',1' * len(names)}\n"
    assert len(read(tmp_path / "log.csv", log, values=CONSTANTS).syncs) == 1


def test_a_lag_without_bound(tmp_path: Path) -> None:
    log = "step,reward,off_policy/max\n1,1,1\n2,1,inf\n"
    (wrong,) = mistakes(tmp_path / "log.csv", log, values=CONSTANTS, lag_unit="steps")
    assert "row 3: off_policy/max must be a lag of at most 1,099,511,627,776 (found inf)" in wrong


def test_further_columns_are_axes_of_one_type_each(tmp_path: Path) -> None:
    header = RUNS.strip() + ",clip_eps,nodes,fast,kind,half,nothing,\n"
    content = header + "m,2,1,0,480,,0.2,1,true,a,1,,7\n" + "m,2,1,1,480,,1,2,false,,2.0,,8\n"
    found = read(tmp_path / "runs.csv", content, values={"axes.beta": "0.5"})
    axes = [json.loads(run.axes) for run in found.runs]
    assert axes[0] == {
        "beta": 0.5,
        "clip_eps": 0.2,
        "fast": True,
        "half": 1.0,
        "kind": "a",
        "nodes": 1,
        "nothing": None,
    }
    assert axes[1] == {
        "beta": 0.5,
        "clip_eps": 1.0,
        "fast": False,
        "half": 2.0,
        "kind": None,
        "nodes": 2,
        "nothing": None,
    }
    assert "left out: (a column without a name)" in found.notes
    assert found.runs[0].axes == json.dumps(axes[0], sort_keys=True)  # as a grid's axes are stored
    kept = read(tmp_path / "runs.csv", content, skip=["kind", "nothing"]).runs[0]
    assert json.loads(kept.axes).keys() == {"clip_eps", "nodes", "fast", "half"}


def test_columns_by_other_names(tmp_path: Path) -> None:
    content = "name,staleness,lr,seed,T,dead_at\nm,2,1e-3,0,480,\n"
    columns = {"model": "name", "k": "staleness", "eta": "lr", "horizon": "T", "collapse_step": "dead_at"}
    found = read(tmp_path / "runs.csv", content, columns=columns)
    assert found.runs[0].state == "stable"
    assert found.notes == ["columns: model = name, k = staleness, eta = lr, horizon = T, collapse_step = dead_at, seed"]
    wrong = mistakes(tmp_path / "runs.csv", content, columns={**columns, "eta": "lrr"})
    assert "--map eta=lrr: the file has no column 'lrr' (did you mean 'lr'?" in wrong[0]
    both = mistakes(tmp_path / "runs.csv", RUNS + GOOD, values={"k": "2"})
    assert both == [f"{tmp_path}/runs.csv: k is given by --set and by the column 'k'; leave one out (--skip 'k')"]
    assert read(tmp_path / "runs.csv", RUNS + GOOD, values={"k": "16"}, skip=["k"]).runs[0].k == 16
    unknown = mistakes(tmp_path / "runs.csv", RUNS + GOOD, values={"horizn": "2"})
    assert "--set horizn: no such column of ours (did you mean 'horizon'?" in unknown[0]


def test_a_named_column_comes_before_one_of_the_same_name(tmp_path: Path) -> None:
    content = "model,k,eta,seed,sync,reward,score\nm,2,1,0,0,0.1,0.9\n"
    found = read(tmp_path / "syncs.csv", content, columns={"reward": "score"})
    assert [row["reward"] for row in rows(found)] == [0.9]
    assert "left out: reward" in found.notes


def test_learner_steps_of_the_file_are_kept(tmp_path: Path) -> None:
    content = "model,k,eta,seed,sync,learner_step,reward\n" + "m,4,1,0,0,0,1\nm,4,1,0,1,3,1\nm,4,1,0,2,,1\n"
    found = read(tmp_path / "syncs.csv", content)
    assert [row["learner_step"] for row in rows(found)] == [0, 3, 8]


def test_parquet_as_pandas_writes_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "model": pd.Categorical(["m", "m"]), "k": [2.0, 2.0], "eta": [1e-3, 1e-3], "seed": [0, 1],
        "horizon": [480, 480], "collapse_step": [96.0, None], "clip_eps": [0.2, 0.2],
    })  # fmt: skip
    frame.to_parquet(tmp_path / "runs.parquet")
    found = read_import(tmp_path / "runs.parquet", Options())
    assert [(run.k, run.collapse_step, run.axes) for run in found.runs] == [
        (2, 96, '{"clip_eps": 0.2}'), (2, None, '{"clip_eps": 0.2}'),
    ]  # fmt: skip
    pq.write_table(pa.table({**frame.to_dict("list"), "k": [0, 2], "eta": [True, False]}), tmp_path / "bad.parquet")
    with pytest.raises(GridError) as refused:
        read_import(tmp_path / "bad.parquet", Options())
    assert [one.partition("bad.parquet: ")[2] for one in refused.value.mistakes] == [
        "row 1: k should be greater than or equal to 1 (found '0')",
        "row 1: eta should be a valid number, unable to parse string as a number (found 'true')",
        "row 2: eta should be a valid number, unable to parse string as a number (found 'false')",
    ]


def test_numbers_keep_their_bits_and_missing_is_not_nan(tmp_path: Path) -> None:
    random.seed(0)
    values = [
        math.nan,
        math.inf,
        -math.inf,
        5e-324,
        *(random.uniform(-1, 1) * 10.0 ** random.randint(-300, 300) for _ in range(500)),
    ]
    lines = [f"m,2,1e-3,0,9999,{sync},{value!r},{'' if sync % 3 else repr(value)}" for sync, value in enumerate(values)]
    found = read(tmp_path / "syncs.csv", SYNCS.strip() + ",entropy\n" + "\n".join(lines))
    listed = rows(found)
    assert [repr(row["reward"]) for row in listed] == [repr(value) for value in values]
    assert [repr(row["entropy"]) for row in listed] == [repr(None if s % 3 else v) for s, v in enumerate(values)]
    assert [row["learner_step"] for row in listed] == [2 * sync for sync in range(len(values))]


def test_rows_of_runs_may_come_in_any_order(tmp_path: Path) -> None:
    lines = [
        f"m,4,{eta},{seed},64,{sync},{0.5 if sync < 6 or seed else 0}"
        for eta in (1e-3, "0.0020")
        for seed in (0, 1)
        for sync in range(16)
    ]
    straight = read(tmp_path / "syncs.csv", SYNCS + "\n".join(lines))
    random.seed(1)
    random.shuffle(lines)
    shuffled = read(tmp_path / "syncs.csv", SYNCS + "\n".join(lines).replace("0.0020", "2e-3", 5))
    assert set(shuffled.runs) == set(straight.runs)
    assert len(straight.runs) == 4
    assert {(run.seed, run.collapse_step, run.collapse_step_lo, run.collapse_sync) for run in straight.runs} == {
        (0, 24, 20, 6), (1, None, None, None),
    }  # fmt: skip

    def by_run(found: Import) -> set[tuple[Any, ...]]:
        runs = found.runs
        return {(runs[row["run"]].eta, runs[row["run"]].seed, row["sync"], row["reward"]) for row in rows(found)}

    assert by_run(shuffled) == by_run(straight)


def test_validation_rewards_become_validations(tmp_path: Path) -> None:
    header = "model,k,eta,seed,sync,learner_step,reward,val_reward\n"
    vals = ["0.5", "", "0.6", "0.2", "NaN", "0.1", "0"]
    lines = [f"m,4,1e-3,0,{sync},{sync * 4},0.5,{val}" for sync, val in enumerate(vals)]
    found = read(tmp_path / "syncs.csv", header + "\n".join(lines))
    (run,) = found.runs
    assert (run.collapse_detector, run.collapse_step_lo, run.collapse_step, run.collapse_sync) == ("half", 8, 12, 3)
    assert (run.horizon, run.learner_steps) == (28, 28)
    assert [(row["learner_step"], repr(row["val_reward"])) for row in rows(found, "evals")] == [
        (0, "0.5"), (8, "0.6"), (12, "0.2"), (16, "nan"), (20, "0.1"), (24, "0.0"),
    ]  # fmt: skip
    late = read(tmp_path / "syncs.csv", header + "\n".join(lines[1:]))
    assert late.runs[0].collapse_detector == "zero"
    assert any("needs a validation before the first learner step" in note for note in late.notes)
    asked = mistakes(tmp_path / "syncs.csv", header + "\n".join(lines[1:]), detector="half")
    assert "use --detector zero" in asked[0]
    assert read(tmp_path / "syncs.csv", header + "\n".join(lines), detector="zero").runs[0].state == "stable"


def test_a_collapse_step_that_is_given_is_not_derived(tmp_path: Path) -> None:
    content = "model,k,eta,seed,horizon,collapse_step,sync,reward\n" + "".join(
        f"m,2,1,0,48,10,{sync},0.5\n" for sync in range(24)
    )
    (run,) = read(tmp_path / "syncs.csv", content).runs
    assert (run.state, run.collapse_step, run.collapse_detector) == ("collapsed", 10, "imported")


# Logs of TRL


def trl(name: str, **options: Any) -> Import:
    values = {"model": "tiny", "seed": "0", "eta": "3e-3"}
    return read_import(TRL / name, Options(values=values | options.pop("values", {}), **options))


def test_a_real_trl_log_shows_k_and_horizon(tmp_path: Path) -> None:
    found = trl("k4-lr3e-3")
    (run,) = found.runs
    assert (run.k, run.horizon, run.learner_steps) == (4, 48, 48)
    assert (run.state, run.collapse_detector, run.collapse_step_lo, run.collapse_step, run.collapse_sync) == (
        "collapsed", "half", 8, 16, 4,
    )  # fmt: skip
    assert "k = 4 (rewards are logged every 4 steps, whenever TRL samples)" in found.notes
    history = json.loads((TRL / "k4-lr3e-3/checkpoint-48/trainer_state.json").read_text())["log_history"]
    logged = {entry["step"]: entry for entry in history if "grad_norm" in entry}
    for row in rows(found):
        of_cycle = [logged[row["learner_step"] + place] for place in (1, 2, 3, 4)]
        assert row["reward"] == of_cycle[0]["reward"]
        assert row["completion_tokens"] == of_cycle[0]["completions/mean_length"]
        assert row["zero_std_fraction"] == of_cycle[0]["frac_reward_zero_std"]
        assert row["truncated_fraction"] == of_cycle[0]["completions/clipped_ratio"]
        for ours, theirs in {
            "gradient_norm": "grad_norm", "kl_reference": "kl", "entropy": "entropy",
            "clip_fraction_low": "clip_ratio/low_mean", "clip_fraction_high": "clip_ratio/high_mean",
        }.items():  # fmt: skip
            assert row[ours] == pytest.approx(sum(entry[theirs] for entry in of_cycle) / 4)
    assert rows(found, "evals") == [
        {"run": 0, "learner_step": entry["step"], "val_reward": entry["eval_reward"]}
        for entry in history if "eval_reward" in entry
    ]  # fmt: skip


def test_trl_by_the_paper_s_definition(tmp_path: Path) -> None:
    assert trl("k4-lr3e-3", detector="zero").runs[0].state == "degraded"
    state = json.loads((TRL / "k4-lr3e-3/checkpoint-48/trainer_state.json").read_text())
    for entry in state["log_history"]:
        if "reward" in entry and entry["step"] > 29:
            entry["reward"] = 0.0
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    values = {"model": "tiny", "seed": "0", "eta": "3e-3"}
    (run,) = read_import(tmp_path, Options(values=values, detector="zero")).runs
    assert (run.collapse_step_lo, run.collapse_step, run.collapse_sync) == (28, 32, 8)


def test_trl_contradictions_and_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="k is given as 8, but the log has a reward every 4 steps"):
        trl("k4-lr3e-3", values={"k": "8"})
    with pytest.raises(GridError) as refused:
        read_import(TRL, Options(values={"model": "tiny", "seed": "0"}))
    assert [one.partition(": ")[2].partition("; ")[0].partition(" not given")[0] for one in refused.value.mistakes] == [
        "run 'k2-lr3e-3-every4': k",
    ]  # fmt: skip
    known = tmp_path / "runs.csv"
    known.write_text("run,eta\nk4-lr3e-3,3e-3\nk4-lr1e-4,1e-4\n")
    with pytest.raises(GridError, match="run 'k2-lr3e-3-every4': is not among the runs of --runs"):
        read_import(TRL, Options(values={"model": "tiny", "seed": "0"}, runs_file=known))


def test_the_newest_checkpoint_counts(tmp_path: Path) -> None:
    state = json.loads((TRL / "k4-lr3e-3/checkpoint-48/trainer_state.json").read_text())
    for step in (8, 16, 112):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(
            json.dumps({**state, "max_steps": step * 10})
        )
    (run,) = read_import(tmp_path, Options(values={**CONSTANTS})).runs
    assert (run.horizon, run.learner_steps, run.state) == (1120, 48, "collapsed")


# Logs of Weights & Biases


def history(rewards: list[Any], first: int) -> list[Mapping[str, Any]]:
    """Rows as `run.scan_history()` yields them: NaN and infinities are words, an evaluation is a row of its own."""
    logged = []
    for step, reward in enumerate(rewards, start=first):
        logged.append({"_step": 2 * step, "_runtime": 1.5, "_timestamp": 1.7e9, "train/global_step": step,
                       "train/reward": reward, "train/grad_norm": 2.0, "custom": {"_type": "histogram"}})  # fmt: skip
    logged.append({"_step": 2 * step + 1, "eval/reward": 0.25, "train/global_step": step})
    return logged


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "parquet"])
def test_a_history_of_weights_and_biases(tmp_path: Path, suffix: str) -> None:
    rewards = [0.5, None, None, None, "NaN", 0.5, None, None, 0, 0, "NaN", 0, 0, 0, 0, 0, 0]
    frame, path = history(rewards, 1), tmp_path / f"history.{suffix}"
    numbers = pd.DataFrame([
        {name: float(value) if isinstance(value, str) else value for name, value in row.items() if name != "custom"}
        for row in frame
    ])  # fmt: skip
    if suffix == "csv":
        numbers.to_csv(path)
    elif suffix == "parquet":
        pq.write_table(pa.Table.from_pandas(numbers), path)
    elif suffix == "json":
        path.write_text(json.dumps(frame))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame))
    found = read_import(path, Options(values=CONSTANTS))
    (run,) = found.runs
    assert (run.collapse_step_lo, run.collapse_step) == ((0, 4) if "json" in suffix else (4, 8))
    listed = rows(found)
    assert [row["learner_step"] for row in listed] == [0, 4, 8, 12, 16]
    assert listed[0]["reward"] == 0.5
    assert repr(listed[1]["reward"]) == ("nan" if "json" in suffix else "0.5")  # pandas takes NaN for missing
    assert [(row["learner_step"], row["val_reward"]) for row in rows(found, "evals")] == [(17, 0.25)]
    left_out = next(note for note in found.notes if note.startswith("left out"))
    assert {"_step", "_runtime", "_timestamp"} <= set(left_out.removeprefix("left out: ").split(", "))
    assert "reward = train/reward" in found.notes[0]


def test_steps_that_count_from_0(tmp_path: Path) -> None:
    content = "_step,score,run_name\n" + "".join(f"{s},{0.5 if s < 10 else 0},a\n" for s in range(24))
    found = read(tmp_path / "log.csv", content, values=CONSTANTS, columns={"reward": "score"})
    assert "steps count from 0" in found.notes
    assert [(row["learner_step"], row["reward"]) for row in rows(found)][:4] == [(0, 0.5), (4, 0.5), (8, 0.25), (12, 0)]
    assert (found.runs[0].collapse_step, found.runs[0].label) == (12, "a")
    assert "no metric that is known" in mistakes(tmp_path / "log.csv", content, values=CONSTANTS)[0]


def test_a_table_that_names_runs_is_checked(tmp_path: Path) -> None:
    for content, expected in {
        "model,k\nm,4\n": "row 1: has no column run",
        "run,k\na,4\na,8\n": "row 3: names run 'a' a second time",
        "run,k\n,4\n": "row 2: names no run",
    }.items():
        (tmp_path / "runs.csv").write_text(content)
        assert expected in mistakes(tmp_path / "log.csv", "step,reward\n1,1\n", runs_file=tmp_path / "runs.csv")[0]


# Exports

TIMES = "2026-01-01 10:00:00+00:00,2026-01-01 10:00:05+00:00"
EXPORT = {
    "runs": "run,model,k,eta,seed,horizon,collapse_step\n7,m,2,1e-3,0,48,\n9,m,2,1e-3,1,48,\n",
    "attempts": "run,attempt,executor,job_id,task_id,restart_count,host,started_at,ended_at,outcome,resumed_from_sync\n"
    f"7,1,local,,,0,h,{TIMES},stable,\n",
    "syncs": "run,sync,attempt,learner_step,reward\n7,0,1,0,0.5\n7,1,1,2,0.5\n",
    "evals": "run,attempt,learner_step,val_reward,val_n\n7,1,0,0.5,256\n",
}
BAD_EXPORT = {
    "a run that is none": ("attempts", "\n7,1", "\n8,1", "attempts.csv: row 2: run 8 is not among the export's runs"),
    "a run twice": ("runs", "\n9", "\n7", "runs.csv: row 3: run 7 is there twice"),
    "a run without number": ("runs", "\n9", "\n", "runs.csv: row 3: run must be the number"),
    "another attempt": ("syncs", "7,1,1", "7,1,2", "syncs.csv: row 3: attempt 2 of run 7 is not among"),
    "a sync twice": ("syncs", "7,1,1", "7,0,1", "syncs.csv: row 3: sync 0 of this run stands in row 2 already"),
    "a step below 0": ("syncs", "1,2,", "1,-2,", "syncs.csv: row 3: learner_step must be a whole number of at least 0"),
    "a step missing": ("syncs", "1,2,", "1,,", "syncs.csv: row 3: learner_step must be a whole number of at least 0"),
    "a reward in words": ("syncs", "2,0.5", "2,x", "syncs.csv: row 3: reward should be a valid number"),
    "a column less": ("syncs", "learner_step", "step", "syncs.csv: row 1: has no column learner_step"),
    "a validation without reward": ("evals", "0.5", "", "evals.csv: row 2: val_reward must be there"),
    "no prompts": (
        "evals",
        "256",
        "0",
        "evals.csv: row 2: val_reward must be there, and val_n",
    ),
    "an end without outcome": ("attempts", "stable", "", "attempts.csv: row 2: outcome and ended_at must both"),
    "an unknown outcome": ("attempts", "stable", "fine", "attempts.csv: row 2: outcome should be 'collapsed'"),
    "an unknown class": (
        "runs",
        "collapse_step\n7,m,2,1e-3,0,48,\n",
        "failure_class\n7,m,2,1e-3,0,48,bad luck\n",
        "runs.csv: row 2: failure_class should be 'exception'",
    ),
    "an unknown class of an attempt": (
        "attempts",
        f"resumed_from_sync\n7,1,local,,,0,h,{TIMES},stable,\n",
        f"resumed_from_sync,failure_class\n7,1,local,,,0,h,{TIMES},lost,,bad luck\n",
        "attempts.csv: row 2: failure_class should be 'exception'",
    ),
    "an attempt 0": ("attempts", "7,1,l", "7,0,l", "attempts.csv: row 2: attempt should be greater than or equal to 1"),
    "no host": ("attempts", ",h,", ",,", "attempts.csv: row 2: host not given"),
    "a time in words": (
        "attempts",
        "2026-01-01 10:00:00+00:00",
        "noon",
        "attempts.csv: row 2: started_at should be a valid datetime",
    ),
}


def write_export(folder: Path, changed: tuple[str, str, str] | None = None) -> Path:
    for name, content in EXPORT.items():
        if changed and changed[0] == name:
            assert changed[1] in content
            content = content.replace(changed[1], changed[2])
        (folder / f"{name}.csv").write_text(content)
    return folder


def test_a_good_export(tmp_path: Path) -> None:
    found = read_import(write_export(tmp_path), Options())
    assert (found.format, len(found.runs), len(found.syncs), len(found.evals)) == ("export", 2, 2, 1)
    assert [len(run.attempts or ()) for run in found.runs] == [1, 0]


@pytest.mark.parametrize("name", BAD_EXPORT)
def test_a_mistake_in_an_export(tmp_path: Path, name: str) -> None:
    *changed, expected = BAD_EXPORT[name]
    with pytest.raises(GridError) as refused:
        read_import(write_export(tmp_path, (changed[0], changed[1], changed[2])), Options())
    assert any(expected in one for one in refused.value.mistakes), refused.value.mistakes


def test_an_export_is_taken_as_it_is(tmp_path: Path) -> None:
    write_export(tmp_path)
    with pytest.raises(GridError, match="imported as it is"):
        read_import(tmp_path, Options(values={"k": "2"}))
    (tmp_path / "runs.parquet").touch()
    with pytest.raises(GridError, match=r"holds both runs.csv and runs.parquet"):
        read_import(tmp_path, Options())


# Trainers' names, lags, learning rates

TRAINERS = {
    "verl": (
        "training/global_step",
        "critic/rewards/mean",
        "training/off_policy/trajectory_staleness/mean",
        "actor/lr",
    ),
    "SkyRL": ("trainer/global_step", "reward/avg_raw_reward", "async/staleness_mean", "policy/policy_lr"),
    "AReaL": (
        "global_step",
        "ppo_actor/task_reward/avg",
        "ppo_actor/update/version_stats/sample_staleness_theta_avg",
        "ppo_actor/update/lr",
    ),
    "prime-rl": ("step", "reward/all/mean", "off_policy/mean", "optim/lr"),
    "NeMo-RL": ("step", "train/reward", "train/avg_trajectory_age", "train/lr"),
    "miles": ("train/step", "rollout/raw_reward", "staleness/total/mean", "train/lr-pg_0"),
    "TRL": ("train/global_step", "train/reward", "lag_mean", "train/learning_rate"),
}


def log_of(trainer: str, rates: list[float] | None = None) -> str:
    step, reward, lag, rate = TRAINERS[trainer]
    rows = [{step: s, reward: 0.5, lag: s % 3, rate: (rates or [1e-6])[s % len(rates or [1])]} for s in range(1, 13)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_names_of_trainers(tmp_path: Path, trainer: str) -> None:
    values = {"model": "m", "k": "4", "seed": "0"}
    found = read(tmp_path / "log.jsonl", log_of(trainer), values=values, lag_unit="steps")
    assert (found.runs[0].eta, found.runs[0].horizon) == (1e-6, 12)
    assert "eta = 1e-06: the learning rate is constant at 1e-06" in found.notes
    assert [(row["learner_step"], row["reward"], row["lag_mean"]) for row in rows(found)] == [
        (0, 0.5, 1.0), (4, 0.5, 1.25), (8, 0.5, 0.75),
    ]  # fmt: skip
    if trainer != "TRL":
        wrong = mistakes(tmp_path / "log.jsonl", log_of(trainer), values=values)
        assert f"row 1: {TRAINERS[trainer][2]}: say what a lag of 1 is with --lag-unit" in wrong[0]


@pytest.mark.parametrize(("unit", "steps"), [("steps", 1), ("versions", 4), ("fraction", 4), ("2.5", 2.5)])
def test_units_of_lag(tmp_path: Path, unit: str, steps: float) -> None:
    content = "step,reward,off_policy/mean,off_policy/max\n" + "".join(f"{s},0.5,0.3,1\n" for s in range(1, 9))
    found = read(tmp_path / "log.csv", content, values=CONSTANTS, lag_unit=unit)
    lags = [(row["lag_mean"], row["lag_max"]) for row in rows(found)]
    assert lags == [(pytest.approx(0.3 * steps), round(steps))] * 2
    assert rows(read(tmp_path / "log.csv", content, values=CONSTANTS, skip=["off_policy/mean", "off_policy/max"]))
    ours = content.replace("off_policy/mean", "lag_mean").replace("off_policy/max", "lag_max")
    assert rows(read(tmp_path / "log.csv", ours, values=CONSTANTS, lag_unit=unit))[0]["lag_mean"] == pytest.approx(0.3)


def test_a_learning_rate_that_changes(tmp_path: Path) -> None:
    values = {"model": "m", "k": "4", "seed": "0"}
    found = read(tmp_path / "log.jsonl", log_of("TRL", [2e-6, 1e-6, 0.0]), values=values)
    assert found.runs[0].eta == 2e-6
    assert (
        "eta = 2e-06: the learning rate is scheduled from 0 to 2e-06; its largest value was taken, --eta sets another"
    ) in found.notes
    given = read(tmp_path / "log.jsonl", log_of("TRL"), values={**values, "eta": "5e-6"})
    assert given.runs[0].eta == 5e-6
    assert "eta is given as 5e-6, but the learning rate is constant at 1e-06" in given.notes
    warmed_up = read_import(TRL / "k4-lr1e-4", Options(values={"model": "t", "seed": "0"}))
    assert warmed_up.runs[0].eta == 1e-4
    assert any("scheduled from 0 to 0.0001; its largest value was taken" in note for note in warmed_up.notes)


def test_the_page_lists_the_names_of_trainers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "import-export.md").read_text()
    names = {name for listed in ALIASES.values() for name in listed.split()}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_a_log_of_validations_alone(tmp_path: Path) -> None:
    content = "step,val_reward,reward\n" + "".join(f"{4 * n},{0.5 if n < 3 else 0.1},\n" for n in range(7))
    for text in (content, content.replace(",reward\n", "\n").replace(",\n", "\n")):
        found = read(tmp_path / "log.csv", text, values=CONSTANTS)
        (run,) = found.runs
        assert (run.state, run.collapse_step_lo, run.collapse_step, run.collapse_sync) == ("collapsed", 8, 12, None)
        assert (run.collapse_detector, run.horizon, len(found.evals), rows(found)) == ("half", 24, 7, [])


OLDER = RUNS.replace("collapse_step", "state,collapse_step_lo,failure,failure_class")


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("stopped,8,,", ("cancelled", "predicted_collapse")),
        ("stopped,8,,decided", ("cancelled", "decided")),
        ("failed,,diverged: the loss is NaN,", ("failed", "diverged")),
        ("failed,,OSError,exception", ("failed", "exception")),
        ("running,,,", ("lost", "lost")),
        ("queued,,,", ("pending", None)),
    ],
)
def test_states_of_older_exports(tmp_path: Path, stated: str, expected: tuple[str, str | None]) -> None:
    content = OLDER.strip() + ",collapse_step,learner_steps\n" + f"m,2,1e-3,0,480,{stated},,16\n"
    (run,) = read(tmp_path / "runs.csv", content).runs
    assert (run.state, run.failure_class, run.learner_steps) == (*expected, 16)
    wrong = content.replace("stopped,8", "stopped,17").replace(",,16", ",,481")
    assert "must lie in 0 to" in mistakes(tmp_path / "runs.csv", wrong)[0]


def test_an_early_stop_is_a_cancelled_run(tmp_path: Path) -> None:
    content = OLDER.strip() + ",collapse_step\n" + "m,2,1e-3,0,480,failed,,,decided,\n"
    assert "failure_class decided needs state cancelled (found failed)" in mistakes(tmp_path / "runs.csv", content)[0]
