"""The laws under every definition of collapse, side by side: what changes with the definition is fragile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.laws.estimates import Estimate, contains
from orchestrator.laws.forms import Bracket, MeasuredCell
from orchestrator.laws.result import Comparison, DetectorFit, ModelLaws

STORED = "stored"
"""Not a definition of its own: what each run was called when it ended, or was imported."""


def compare(
    models: Mapping[str, ModelLaws], decided: Mapping[str, int], n_between: int | None, n_never_alive: int = 0
) -> Comparison:
    """Put the fits of one group of runs side by side.

    Args:
        models: The laws by the definition's name, `STORED` among them.
        decided: How many finished runs each definition could decide; the others stay as they are stored.
        n_between: See `Comparison`.
        n_never_alive: Finished runs that started without a validation reward.
    """
    fits = [_fit(name, model, decided[name]) for name, model in models.items()]
    finished = sum(cell.n_runs for cell in models[STORED].cells)
    notes = _on_undecided(max(decided.values()), finished)
    if n_between:
        notes.append(
            f"{n_between} of {finished} finished runs end between 20 % and 70 % of their initial validation reward: "
            "whether they collapsed is a matter of definition; train them longer."
        )
    if n_never_alive:
        notes.append(
            f"{n_never_alive} of {finished} finished runs started with a validation reward of 0, so they count as "
            "stable whatever happened; start from a policy that earns some reward on this task."
        )
    return Comparison(tuple(fits), tuple(_fragile(fits, models[STORED].cells)), n_between, tuple(notes))


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


def _on_undecided(decided: int, finished: int) -> list[str]:
    if not finished or decided == finished:
        return []
    if not decided:
        return ["These runs have no rewards stored, only how they ended, so there is one definition of collapse: that "
                "of whoever made them."]  # fmt: skip
    return [f"{finished - decided} of {finished} finished runs have no rewards stored and keep the end that they were "
            "stored with under every definition of collapse."]  # fmt: skip


def _fragile(fits: Sequence[DetectorFit], cells: Sequence[MeasuredCell]) -> list[str]:
    sentences = []
    p_values = {fit.detector: fit.p_law for fit in fits if fit.p_law is not None}
    if len({p < 0.05 for p in p_values.values()}) > 1:
        found = _each({name: f"p = {p:.2g}" for name, p in p_values.items()})
        sentences.append(f"Whether T* = C/η whatever k is rejected depends on the definition of collapse: {found}.")
    immune = {fit.detector: fit.immune is not None for fit in fits if fit.p_law is not None}
    if len(set(immune.values())) > 1:
        found = _each({name: "they do" if speak else "they do not" for name, speak in immune.items()})
        sentences.append(
            f"Whether the runs speak for immune ones depends on the definition of collapse, and T* is fitted "
            f"accordingly: {found}."
        )
    within = {fit.detector: inside for fit in fits if (inside := _holds_one(fit.exponent)) is not None}
    if len(set(within.values())) > 1:
        found = _each({name: "it is" if inside else "it is not" for name, inside in within.items()})
        sentences.append(
            f"Whether the boundary is compatible with a = 1 (k·η_max constant) depends on the definition of collapse: "
            f"{found}."
        )
    for k in sorted({bracket.k for fit in fits for bracket in fit.brackets}):
        brackets = {fit.detector: bracket for fit in fits for bracket in fit.brackets if bracket.k == k}
        if _moves(list(brackets.values()), [cell.eta for cell in cells if cell.k == k]):
            found = _each({name: _ends(bracket) for name, bracket in brackets.items()})
            sentences.append(
                f"eta_max at k={k} moves by more than a step of the grid with the definition of collapse: {found}."
            )
    return sentences


def _each(texts: Mapping[str, str]) -> str:
    """Each text once, with the definitions that lead to it."""
    names = {text: [name for name in texts if texts[name] == text] for text in texts.values()}
    return ", ".join(f"{text} under {' and '.join(of_text)}" for text, of_text in names.items())


def _holds_one(exponent: Estimate) -> bool | None:
    ends = exponent.ci95 or exponent.identified_set
    return None if ends is None else contains(ends, 1.0)


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
