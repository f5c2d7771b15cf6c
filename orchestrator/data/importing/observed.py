"""From what a log shows of a run to the run: its horizon, and whether and when it collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grpo_worker.schema.collapse import detect
from grpo_worker.schema.config import CollapseConfig
from orchestrator.data.importing.runs import Runs, axis_values
from orchestrator.data.importing.values import Mistakes, whole

CONFIG = CollapseConfig()

GIVEN = ("state", "collapse_step")
"""Facts that say how a run ended, so that nothing is derived."""


@dataclass(slots=True, eq=False)
class Observed:
    """What a log shows of one run.

    Attributes:
        facts: Raw values by column, as far as they are known.
        place: Where the run begins, for messages.
        label: What the file calls it.
        sync_steps: Learner step of each weight sync, rising.
        cycle: Learner steps of its last rollout cycle.
        reward_steps: Learner steps of the weight syncs whose training reward was logged.
        rewards: Those rewards.
        eval_steps: Learner steps of its validations, rising.
        val_rewards: Their rewards.
        last_step: Learner steps known to be applied, where the log says so itself.
    """

    facts: dict[str, Any]
    place: str
    label: str | None = None
    sync_steps: Sequence[int] = ()
    cycle: int = 1
    reward_steps: Sequence[int] = ()
    rewards: Sequence[float] = ()
    eval_steps: Sequence[int] = ()
    val_rewards: Sequence[float] = ()
    last_step: int | None = None

    @property
    def trained(self) -> int:
        """Learner steps that the log reaches."""
        reached = [self.sync_steps[-1] + self.cycle] if len(self.sync_steps) else []
        reached += [self.eval_steps[-1]] if len(self.eval_steps) else []
        return int(max(reached, default=0)) if self.last_step is None else self.last_step


def runs_of(observed: Sequence[Observed], asked: str | None, mistakes: Mistakes) -> tuple[Runs, list[str]]:
    """Make runs of what logs show.

    Args:
        observed: The runs.
        asked: The detector to use; None = ``half`` where every run was validated before its first step and often
            enough, else ``zero``.
        mistakes: Takes what is missing or wrong.

    Returns:
        The runs, in the same order if there was no mistake; and what to tell about them.
    """
    runs, notes = Runs(mistakes), []
    derived = [run for run in observed if not _says_how_it_ended(run)]
    detector = asked or ("half" if derived and all(map(_suits_half, derived)) else "zero")
    if derived:
        why = "" if asked or detector == "half" else f" ({_why_not_half(derived)})"
        notes.append(f"collapse: found by the detector '{detector}'{why}")
    if any(_horizon(run) is None for run in observed):
        notes.append("horizon: the last learner step that each run's log reaches")
    _type_axes(observed)
    for run in observed:
        if mistakes.count and _given(run, "k") and not run.trained:
            continue  # nothing of its log could be read
        horizon = run.facts["horizon"] = run.trained if (given := _horizon(run)) is None else given
        if not _given(run, "learner_steps"):
            run.facts["learner_steps"] = min(run.trained, horizon) if isinstance(horizon, int) else None
        _refuse_beyond_horizon(run, mistakes)
        if not _says_how_it_ended(run) and _is_decidable(run, detector, mistakes):
            run.facts |= _result(run, detector)
        runs.add(run.facts, run.place, label=run.label)
    return runs, notes


def _says_how_it_ended(run: Observed) -> bool:
    return any(_given(run, name) for name in GIVEN)


def _given(run: Observed, name: str) -> bool:
    return run.facts.get(name) not in (None, "")


def _horizon(run: Observed) -> Any:
    """The horizon as far as it is given; what cannot be read is refused later."""
    try:
        return whole(run.facts.get("horizon"))
    except ValueError:
        return run.facts["horizon"]


def _refuse_beyond_horizon(run: Observed, mistakes: Mistakes) -> None:
    horizon = run.facts["horizon"]
    for what, steps in (("a weight sync", run.sync_steps), ("a validation", run.eval_steps)):
        if isinstance(horizon, int) and len(steps) and steps[-1] > horizon:
            mistakes.note(run.place, f"has {what} at learner step {steps[-1]}, beyond its horizon {horizon}")


def _type_axes(observed: Sequence[Observed]) -> None:
    names = dict.fromkeys(name for run in observed for name in run.facts if name.startswith("axes."))
    for name, values in axis_values({name: [run.facts.get(name) for run in observed] for name in names}).items():
        for run, value in zip(observed, values, strict=True):
            run.facts[name] = value


def _suits_half(run: Observed) -> bool:
    return len(run.eval_steps) > CONFIG.min_evals and run.eval_steps[0] == 0


def _why_not_half(derived: Sequence[Observed]) -> str:
    run = next(run for run in derived if not _suits_half(run))
    if not len(run.eval_steps):
        return "'half' needs validation rewards, and there are none"
    if run.eval_steps[0] != 0:
        return f"'half' needs a validation before the first learner step; {run.place} begins at {run.eval_steps[0]}"
    return f"'half' needs more than {CONFIG.min_evals} validations; {run.place} has {len(run.eval_steps)}"


def _is_decidable(run: Observed, detector: str, mistakes: Mistakes) -> bool:
    if detector == "half" and not _suits_half(run):
        mistakes.note(run.place, f"{_why_not_half([run])}; use --detector zero")
    elif detector == "zero" and not len(run.rewards):
        # Without k no reward belongs to a weight sync; after a mistake it may be there, but could not be read.
        if _given(run, "k") and not mistakes.count:
            mistakes.note(
                run.place, "has no training reward to find a collapse by; name its column with --map reward=..."
            )
    else:
        return True
    return False


def _result(run: Observed, detector: str) -> Mapping[str, Any]:
    config = CollapseConfig.model_validate({"detector": detector})
    seen = (run.eval_steps, run.val_rewards) if detector == "half" else (run.reward_steps, run.rewards)
    verdict = detect(*seen, config)
    result: dict[str, Any] = {"state": verdict.state, "collapse_detector": detector}
    if verdict.collapse is not None:
        step = verdict.collapse.hi
        result |= {"collapse_step": step, "collapse_step_lo": verdict.collapse.lo}
        result["collapse_sync"] = sum(1 for start in run.sync_steps if start < step) if len(run.sync_steps) else None
    return result
