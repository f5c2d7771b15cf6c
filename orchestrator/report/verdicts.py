"""A fit in sentences, shared by all outputs."""

from __future__ import annotations

from collections import defaultdict

from orchestrator.base.words import counted, plural
from orchestrator.laws.estimates import Estimate, contains
from orchestrator.laws.result import HorizonFit, Laws, LocalLaw, ModelLaws
from orchestrator.report.numbers import decimal, range_text, short

RUNS_NAMED = 12
"""How many left-out runs are named for each reason; more are counted."""

ESTIMATORS_AGREE = 0.2
"""If exponents differ by more than this, a sentence says so."""

ALL_LATE, ALONE = "if all runs collapse in the end", "from the collapsed runs alone"
"""How runs that did not collapse may be treated, if none is immune."""

SIGNIFICANT = 0.05
"""A p-value below this counts as a rejection."""

READINGS = {"ballistic": "1/η", "diffusive": "1/η²", "eta": "η^−b", "eta and k": "η^−b·k^−q"}
"""How each alternative for T* is written."""


def summary(model: ModelLaws) -> str:
    """How many cells and runs there are, and how the runs ended."""
    names = ("n_runs", "n_collapsed", "n_degraded", "n_left_out")
    runs, collapsed, degraded, out = (sum(getattr(cell, name) for cell in model.cells) for name in names)
    ends = f"{collapsed} collapsed, {f'{degraded} degraded, ' if degraded else ''}{runs - collapsed - degraded} stable"
    left_out = f"; {out} more left out" if out else ""
    return f"{counted(len(model.cells), 'cell')}, {counted(runs, 'finished run')}: {ends}{left_out}"


def verdicts(model: ModelLaws) -> list[str]:
    """What the numbers mean, in sentences. There is none about what is not identified."""
    on_steps = _on_joint(model) or _on_horizon(model)
    readings = _on_alternatives(model.joint.horizon if model.joint.immune is not None else model.horizon.censored)
    cv = model.horizon.cv_eta_T
    spread = f"η·T* varies by {100 * (cv or 0):.0f} % (one standard deviation) between the cells that collapsed."
    on_steps += [*readings, *([] if cv is None else [spread])]
    return [*_on_boundary(model.local), *on_steps, *_on_rule(model), *model.regime.sentences]


def left_out_texts(laws: Laws) -> list[str]:
    """A line for each reason, with its runs."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for item in laws.left_out:
        by_reason[item.why].append(item.run)
    return [f"{why} ({_runs(runs)})" for why, runs in sorted(by_reason.items())]


def _on_boundary(local: LocalLaw) -> list[str]:
    sentences = []
    a, ends = local.exponent, local.exponent.identified_set
    if a.ci95 and a.estimate is not None and local.p_exponent_is_1 is not None:
        sentences.append(
            f"The η at which half of the runs collapse is proportional to k^−a with a = {_with_interval(a)}. "
            f"a = 1 (k·η_max constant) {_tested(local.p_exponent_is_1)}."
        )
    if ends and ends != (None, None):
        where = "within" if contains(ends, 1.0) else "outside"
        sentences.append(
            f"For a sharp boundary between the tested η, the grid allows a in the range {range_text(ends, decimal)}. "
            f"This is not a confidence interval. a = 1 lies {where} it."
        )
    return sentences


def _on_joint(model: ModelLaws) -> list[str]:
    """With immune runs in the fit; and b without them, if it differs."""
    joint = model.joint
    b, q = joint.horizon.eta_exponent, joint.horizon.k_exponent
    if b.estimate is None or joint.immune is None or joint.aic is None or joint.aic_all_susceptible is None:
        return []
    sentences = [
        f"A model in which some runs never collapse fits better (ΔAIC {joint.aic_all_susceptible - joint.aic:.1f}). Of "
        f"the runs that did not collapse, {100 * joint.immune:.0f} % would never have collapsed.",
        f"In the other runs T* is proportional to η^−b·k^−q with b = {_with_interval(b)} and q = {_with_interval(q)}."
        f"{_on_law(joint.horizon)} The η at which half of the runs never collapse is proportional to k^−a with a = "
        f"{_with_interval(joint.exponent)}. The paper's three exponents together (b = 1, q = 0, a = 1): "
        f"{_p(joint.p_laws)}.",
    ]
    others = {how: fit.eta_exponent for how, fit in _without_immune(model).items()}
    if any(abs((value.estimate or 0.0) - b.estimate) > ESTIMATORS_AGREE for value in others.values()):
        each = " and ".join(f"{_with_interval(value)} {how}" for how, value in others.items())
        sentences.append(f"b depends on how runs that did not collapse are treated: it is {each}.")
    return sentences


def _on_horizon(model: ModelLaws) -> list[str]:
    """Without immune runs in the fit."""
    sentences, fits = [], _without_immune(model)
    for how, fit in fits.items():
        b, q = fit.eta_exponent, fit.k_exponent
        by_k, k_part = ("·k^−q", f" and q = {_with_interval(q)}") if q.estimate is not None else ("", "")
        sentences.append(
            f"T* is proportional to η^−b{by_k} with b = {_with_interval(b)}{k_part}, {how} ({fit.n_collapsed} "
            f"collapsed).{_on_law(fit)}"
        )
    estimates = [fit.eta_exponent.estimate or 0.0 for fit in fits.values()]
    if max(estimates, default=0.0) - min(estimates, default=0.0) > ESTIMATORS_AGREE:
        sentences.append(
            f"b depends on how runs that did not collapse are treated: it lies between {decimal(min(estimates))} and "
            f"{decimal(max(estimates))}."
        )
    return sentences


def _without_immune(model: ModelLaws) -> dict[str, HorizonFit]:
    """The fits of T* without immune runs that are known, by how they treat runs that did not collapse."""
    late, alone = model.horizon.censored, model.horizon.collapsed_only
    fits = {ALL_LATE: late, ALONE: alone} if late.n_censored else {ALONE: alone}
    return {how: fit for how, fit in fits.items() if fit.eta_exponent.estimate is not None}


def _on_alternatives(fit: HorizonFit) -> list[str]:
    if len(fit.alternatives) < 2:
        return []
    best, *others = fit.alternatives
    rest = ", ".join(f"{READINGS[other.name]} {other.delta_aic:.1f}" for other in others)
    return [f"By AIC, T* ∝ {READINGS[best.name]} fits best. ΔAIC of the others: {rest}. Below 2 is no difference."]


def _on_law(fit: HorizonFit) -> str:
    if fit.law_in_set is not None:
        return f" T* = C/η at every k {'passes' if fit.law_in_set else 'does not pass'} through all intervals of T*."
    if fit.p_law is None:
        return ""
    return f" T* = C/η at every k (b = 1, q = 0) {_tested(fit.p_law)}."


def _on_rule(model: ModelLaws) -> list[str]:
    rule = model.two_constraint
    if rule.cells is None or rule.crossing is None:
        return []
    binding = sum(one.binds == "horizon" for one in rule.predictions)
    return [
        f"The rule η ≤ min(C_local/k, C_horizon/T) is right in {rule.left_out_right} of {rule.left_out_cells} cells if "
        f"each is predicted from the others, and in {rule.cells_right} of {rule.cells} with constants from all. "
        f"C_horizon/T is the smaller limit in {binding} cells, those with more than {short(rule.crossing)} rollout "
        f"cycles (T/k). The rule η ≤ max(C_local/k, C_horizon/T) is right in {rule.either_left_out_right} of "
        f"{rule.left_out_cells}, and in {rule.either_right} of {rule.cells}."
    ]


def _with_interval(value: Estimate) -> str:
    estimate = "unknown" if value.estimate is None else decimal(value.estimate)
    if interval := range_text(value.ci95, decimal):
        return f"{estimate} (95 %: {interval})"
    return f"{estimate} (no interval: the data leave both sides open)" if value.ci95 else estimate


def _tested(p: float) -> str:
    return f"is {'rejected' if p < SIGNIFICANT else 'not rejected'}, {_p(p)}"


def _p(p: float | None) -> str:
    return "not tested" if p is None else "p < 1e-6" if p < 1e-6 else f"p = {short(p)}"


def _runs(runs: list[int]) -> str:
    named = ", ".join(map(str, runs[:RUNS_NAMED]))
    more = f" and {len(runs) - RUNS_NAMED} more" if len(runs) > RUNS_NAMED else ""
    return f"{plural(len(runs), 'run')} {named}{more}"
