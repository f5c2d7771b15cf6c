"""The laws under every definition of collapse, side by side: a conclusion that changes with it is fragile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from orchestrator.laws.collapse import ends_between, never_alive
from orchestrator.laws.early_warnings import first_steps
from orchestrator.laws.estimates import contains
from orchestrator.laws.evidence import groups
from orchestrator.laws.fit import fit_evidence
from orchestrator.laws.regimes import Regime, regime
from orchestrator.laws.result import Bracket, Comparison, DetectorFit, Laws, MeasuredCell, ModelLaws

STORED = "stored"
"""Not a definition of its own: the state with which each run ended or was imported."""


@dataclass(frozen=True, eq=False, slots=True)
class Metrics:
    """What runs measured, with their numbers, ``run``, and ``learner_step``."""

    evals: pd.DataFrame  # val_reward
    drifts: pd.DataFrame  # drift_from_start of all weight syncs
    early: pd.DataFrame  # METRICS of early warnings, of the weight syncs up to last_early_step


def last_early_step(rows: pd.DataFrame) -> int:
    """The last learner step that early warnings read of any group of runs, given their evidence."""
    shortest = _finished(rows).groupby(["model", "group"])["horizon"].min()
    return max((step for horizon in shortest for step in first_steps(int(horizon))), default=0)


def fit_definitions(rows: Mapping[str, pd.DataFrame], metrics: Metrics, chosen: str) -> Laws:
    """Fit under every definition of collapse, and return the laws, drift and early warnings under the chosen one.

    ``rows`` is the evidence of the same runs by the definition's name, `STORED` among them.
    """
    fits = _fit_each(rows)
    of_groups = {name: dict(groups(of_definition)) for name, of_definition in rows.items()}
    between, without_reward = set(ends_between(metrics.evals)), set(never_alive(metrics.evals))

    def of_group(group: str) -> ModelLaws:
        members = {name: _finished(by_group[group]) for name, by_group in of_groups.items()}
        decided = {name: int(of["decided"].sum()) if "decided" in of else 0 for name, of in members.items()}
        runs = set(members[STORED]["run"])
        n_between = len(runs & between) if len(metrics.evals) else None
        models = {name: laws.models[group] for name, laws in fits.items()}
        comparison = compare(models, decided, n_between, len(runs & without_reward))
        fragile = tuple(f"Fragile: {sentence}" for sentence in comparison.fragile)
        return replace(
            models[chosen],
            regime=regime(members[chosen], metrics.drifts, metrics.early) if runs else Regime(),
            detectors=comparison,
            warnings=(*fragile, *models[chosen].warnings, *comparison.notes),
        )

    return replace(fits[chosen], models={group: of_group(group) for group in fits[chosen].models})


def _fit_each(rows: Mapping[str, pd.DataFrame]) -> dict[str, Laws]:
    """Fit under each definition; if two agree on every run, fit once."""
    fits: dict[str, Laws] = {}
    columns = ["run", "state", "lo", "hi"]
    outcomes = {name: of[columns].sort_values("run", ignore_index=True) for name, of in rows.items()}
    for name, outcome in outcomes.items():
        same = next((other for other in fits if outcomes[other].equals(outcome)), None)
        fits[name] = fits[same] if same else fit_evidence(rows[name])
    return fits


def _finished(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["why"] == ""]


def compare(
    models: Mapping[str, ModelLaws], decided: Mapping[str, int], n_between: int | None, n_never_alive: int = 0
) -> Comparison:
    """Put the fits of one group of runs side by side, by the definition's name, `STORED` among them.

    ``decided`` finished runs could each definition decide; ``n_never_alive`` started without a validation reward.
    """
    fits = [_fit(name, model, decided[name]) for name, model in models.items()]
    finished = sum(cell.n_runs for cell in models[STORED].cells)
    undecided, notes = finished - max(decided.values()), []
    if undecided and undecided == finished:
        notes.append("No rewards are stored for these runs, only how they ended, so another definition of collapse "
                     "cannot be tried.")  # fmt: skip
    elif undecided:
        notes.append(f"{undecided} of {finished} finished runs have no rewards stored and keep their stored end under "
                     "every definition of collapse.")  # fmt: skip
    if n_between:
        notes.append(f"{n_between} of {finished} finished runs end between 20 % and 70 % of their initial validation "
                     "reward. Whether they collapsed depends on the definition; train them longer.")  # fmt: skip
    if n_never_alive:
        notes.append(f"{n_never_alive} of {finished} finished runs started with a validation reward of 0, so they "
                     "count as stable. Start from a policy that earns some reward on this task.")  # fmt: skip
    fragile = (*_changing_answers(fits), *_moving_brackets(fits, models[STORED].cells))
    return Comparison(tuple(fits), fragile, n_between, tuple(notes))


def _fit(name: str, model: ModelLaws, decided: int) -> DetectorFit:
    latency = model.horizon.censored if model.joint.immune is None else model.joint.horizon
    return DetectorFit(
        detector=name,
        n_decided=decided,
        n_collapsed=sum(cell.n_collapsed for cell in model.cells),
        n_degraded=sum(cell.n_degraded for cell in model.cells),
        exponent=model.local.exponent,
        c_local=model.local.constant,
        immune=model.joint.immune,
        eta_exponent=latency.eta_exponent,
        k_exponent=latency.k_exponent,
        c_horizon=latency.constant,
        p_law=latency.p_law,
        brackets=model.local.brackets,
    )


def _changing_answers(fits: Sequence[DetectorFit]) -> Iterator[str]:
    """A sentence for each question that the definitions answer differently."""
    said: dict[str, dict[str, str]] = defaultdict(dict)
    answers: dict[str, set[bool]] = defaultdict(set)
    for fit in fits:
        for question, answer, text in _answers(fit):
            said[question][fit.detector] = text
            answers[question].add(answer)
    for question in said:
        if len(answers[question]) > 1:
            yield f"{question} depends on the definition of collapse: {_each(said[question])}."


def _answers(fit: DetectorFit) -> Iterator[tuple[str, bool, str]]:
    """Questions that one definition answers, each answer as it is compared and in words."""
    words = {True: "it does", False: "it does not"}
    if fit.p_law is not None:
        yield "Whether T* = C/η (b = 1, q = 0) is rejected", fit.p_law < 0.05, f"p = {fit.p_law:.2g}"
        immune = fit.immune is not None
        yield "Whether a model with immune runs fits better", immune, words[immune]
    if ends := fit.exponent.ci95 or fit.exponent.identified_set:
        inside = contains(ends, 1.0)
        yield "Whether a = 1 (k·η_max constant) lies in the range of a", inside, words[inside]


def _moving_brackets(fits: Sequence[DetectorFit], cells: Sequence[MeasuredCell]) -> Iterator[str]:
    """A sentence for each k at which the bracket of η_max moves."""
    for k in sorted({bracket.k for fit in fits for bracket in fit.brackets}):
        brackets = {fit.detector: bracket for fit in fits for bracket in fit.brackets if bracket.k == k}
        if _moves(list(brackets.values()), [cell.eta for cell in cells if cell.k == k]):
            found = _each({name: _ends(bracket) for name, bracket in brackets.items()})
            yield f"eta_max at k={k} moves by more than a step of the grid with the definition of collapse: {found}."


def _each(texts: Mapping[str, str]) -> str:
    """Each text once, with the definitions that lead to it."""
    names = {text: [name for name in texts if texts[name] == text] for text in texts.values()}
    return ", ".join(f"{text} under {' and '.join(of_text)}" for text, of_text in names.items())


def _moves(brackets: Sequence[Bracket], etas: Sequence[float]) -> bool:
    """Whether either end moves by more than one place on the grid of its k; an open end lies one place beyond it."""
    place = {eta: number for number, eta in enumerate(etas)}
    stable = [-1 if one.eta_stable is None else place[one.eta_stable] for one in brackets]
    collapsed = [len(etas) if one.eta_collapsed is None else place[one.eta_collapsed] for one in brackets]
    return any(max(places) - min(places) > 1 for places in (stable, collapsed))


def _ends(bracket: Bracket) -> str:
    stable, collapsed = bracket.eta_stable, bracket.eta_collapsed
    if stable is None:
        return "unknown" if collapsed is None else f"below {collapsed:g}"
    return f"above {stable:g}" if collapsed is None else f"between {stable:g} and {collapsed:g}"
