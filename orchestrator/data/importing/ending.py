"""How runs ended, found in what they logged: the horizon, and whether and when each collapsed."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from grpo_worker.schema.collapse import detect
from grpo_worker.schema.config import CollapseConfig
from orchestrator.data.importing.rows import ImportedRun
from orchestrator.data.importing.runs import RunLog, RunLogs, checked_runs
from orchestrator.data.importing.values import Mistakes

CONFIG = CollapseConfig()


def ended_runs(logs: RunLogs, asked: str | None) -> tuple[list[ImportedRun], list[str]]:
    """Make runs of what their logs show.

    Args:
        logs: The runs; takes what is missing or wrong.
        asked: The detector to use; None = ``half`` if every run was validated before its first step and often enough,
            else ``zero``.

    Returns:
        The runs, in the same order if there was no mistake; and what a user should know of them.
    """
    runs, mistakes = logs.found, logs.mistakes
    open_runs = [run for run in runs if not (run.has("state") or run.has("collapse_step"))]
    reasons = [why for run in open_runs if (why := _why_not_half(run))]
    detector = asked or ("half" if open_runs and not reasons else "zero")
    notes = []
    if open_runs:
        why = "" if asked or detector == "half" else f" ({reasons[0]})"
        notes.append(f"collapse: found by the detector '{detector}'{why}")
    if not all(run.has("horizon") for run in runs):
        notes.append("horizon: the last learner step that each run's log reaches")
    unread = mistakes.count > 0  # then what seems to be missing may only be unreadable
    if unread:
        runs = [run for run in runs if run.trained or not run.has("k")]
    for run in runs:
        _complete(run, mistakes)
        if run in open_runs and run.has("k") and _is_decidable(run, detector, mistakes, unread=unread):
            run.facts |= _ending(run, detector)
    return checked_runs([(run.place, run.facts, run.label) for run in runs], mistakes), notes


def _complete(run: RunLog, mistakes: Mistakes) -> None:
    """Take the horizon and the learner steps from the log where they are not given."""
    if not run.has("horizon"):
        run.facts["horizon"] = run.trained
    horizon = run.number("horizon")
    if horizon is None:
        return
    if not run.has("learner_steps"):
        run.facts["learner_steps"] = min(run.trained, int(horizon))
    for what, rows in (("a weight sync", run.syncs), ("a validation", run.evals)):
        last = rows["learner_step"][-1].as_py() if len(rows) else 0
        if last > horizon:
            mistakes.note(run.place, f"has {what} at learner step {last}, beyond its horizon {horizon}")


def _why_not_half(run: RunLog) -> str:
    """Why the detector ``half`` cannot be used for a run; empty if it can."""
    if not len(run.evals):
        return "'half' needs validation rewards, and there are none"
    if (first := run.evals["learner_step"][0].as_py()) != 0:
        return f"'half' needs a validation before the first learner step; {run.place} begins at {first}"
    if len(run.evals) <= CONFIG.min_evals:
        return f"'half' needs more than {CONFIG.min_evals} validations; {run.place} has {len(run.evals)}"
    return ""


def _is_decidable(run: RunLog, detector: str, mistakes: Mistakes, *, unread: bool) -> bool:
    if detector == "half":
        if why := _why_not_half(run):
            mistakes.note(run.place, f"{why}; use --detector zero")
        return not why
    has_rewards = "reward" in run.syncs.schema.names and pc.any(pc.is_valid(run.syncs["reward"])).as_py()
    if not has_rewards and not unread:
        mistakes.note(run.place, "has no training reward to find a collapse by; name its column with --map reward=...")
    return bool(has_rewards)


def _ending(run: RunLog, detector: str) -> dict[str, Any]:
    rows, name = (run.evals, "val_reward") if detector == "half" else (run.syncs, "reward")
    rows = rows.filter(pc.is_valid(rows[name]))
    config = CONFIG.model_copy(update={"detector": detector})
    verdict = detect(rows["learner_step"].to_pylist(), rows[name].to_pylist(), config)
    ending: dict[str, Any] = {"state": verdict.state, "collapse_detector": detector}
    if verdict.collapse is not None:
        lo, step = verdict.collapse.lo, verdict.collapse.hi
        before = pc.sum(pc.less(run.syncs["learner_step"], step)).as_py()  # None if there are no weight syncs
        ending |= {"collapse_step": step, "collapse_step_lo": lo, "collapse_sync": before}
    return ending
