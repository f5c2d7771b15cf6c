"""What a fit says in words and in one list of numbers, for every face of the report alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.laws.estimates import Estimate, Side, contains
from orchestrator.laws.forms import GroupComparison, HorizonFit, LocalLaw, MeasuredCell
from orchestrator.laws.result import Laws, ModelLaws
from orchestrator.report.numbers import decimal, short
from orchestrator.report.selection import labels

RUNS_NAMED = 12
"""Left-out runs are listed up to so many per reason, then counted."""

ESTIMATORS_AGREE = 0.2
"""Exponents that differ by no more are not worth a sentence."""

ALL_LATE, ALONE = "if all runs collapse in the end", "over the collapsed runs alone"
"""What a run that did not collapse may be taken for, immune runs apart."""

SIGNIFICANT = 0.05
"""p-values below are called rejections."""

READINGS = {"ballistic": "1/η", "diffusive": "1/η²", "eta": "η^−b", "eta and k": "η^−b·k^−q"}
"""How each reading of T* is written."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One line of the list of fitted numbers; texts are ready to print, ``–`` where not identified.

    Attributes:
        symbol: Of the docs.
        meaning: What it is.
        estimate: The point estimate.
        interval: 95 % confidence interval.
        grid: Identified set.
    """

    symbol: str
    meaning: str
    estimate: str
    interval: str
    grid: str


def summary(model: ModelLaws) -> str:
    """How many cells and runs, and how they ended."""
    runs = sum(cell.n_runs for cell in model.cells)
    collapsed = sum(cell.n_collapsed for cell in model.cells)
    degraded = sum(cell.n_degraded for cell in model.cells)
    out = sum(cell.n_left_out for cell in model.cells)
    ends = [f"{collapsed} collapsed"]
    ends += [f"{degraded} degraded"] if degraded else []
    ends += [f"{runs - collapsed - degraded} stable"]
    left_out = f"; {out} more left out" if out else ""
    return f"{_count(len(model.cells), 'cell')}, {_count(runs, 'finished run')}: {', '.join(ends)}{left_out}"


def cell_lines(cell: MeasuredCell) -> list[str]:
    """A cell of the phase diagram: collapsed/runs with the median T*, η·T*, then what else is to be known."""
    lines = []
    if cell.collapse_step and cell.eta_T is not None:
        lines.append(f"{cell.n_collapsed}/{cell.n_runs} T* {cell.collapse_step.median:.15g}")
        lines.append(f"η·T* {short(cell.eta_T)}")
    elif cell.n_degraded < cell.n_runs:
        lines.append(f"0/{cell.n_runs} stable")
    elif cell.n_runs:
        lines.append(f"0/{cell.n_runs}")
    if cell.n_degraded:
        lines.append(f"{cell.n_degraded} degraded")
    if cell.n_left_out:
        lines.append(f"… {cell.n_left_out} left out")
    return lines


def quantities(model: ModelLaws) -> list[tuple[str, list[Quantity]]]:
    """The fitted numbers under headings, those without any left out: the boundary, both laws at once, then T* twice."""
    local, horizon, joint = model.local, model.horizon, model.joint
    sections = [
        ("Boundary", _boundary_quantities(local.exponent, local.constant)),
        (
            "Both laws, runs immune",
            [*_boundary_quantities(joint.exponent, joint.constant), *_horizon_quantities(joint.horizon)],
        ),
    ]
    if horizon.censored.n_censored:
        sections.append(("T*, all collapse at last", _horizon_quantities(horizon.censored)))
    sections.append(("T*, collapsed runs alone", _horizon_quantities(horizon.collapsed_only)))
    known = [(heading, [line for line in lines if line.estimate + line.grid != "––"]) for heading, lines in sections]
    return [section for section in known if section[1]]


def bracket_texts(model: ModelLaws) -> list[tuple[str, str, str, str]]:
    """Per k: largest stable and smallest collapsing η, k·η_max between them, and the η at which half collapse."""
    etas = labels(model)
    texts = []
    for b in model.local.brackets:
        lo, hi = (None if eta is None else short(b.k * eta) for eta in (b.eta_stable, b.eta_collapsed))
        product = f"{lo} to {hi}" if lo and hi else f"above {lo}" if lo else f"below {hi}" if hi else "–"
        half = "–" if b.eta_half.estimate is None else short(b.eta_half.estimate)
        interval = f" ({_range(b.eta_half.ci95, short)})" if b.eta_half.ci95 not in (None, (None, None)) else ""
        stable, collapsed = ("–" if eta is None else etas[eta] for eta in (b.eta_stable, b.eta_collapsed))
        texts.append((stable, collapsed, product, half + interval))
    return texts


def verdicts(model: ModelLaws) -> list[str]:
    """What the numbers mean, one plain sentence each; nothing about what is not identified."""
    on_steps = _on_joint(model) or _on_horizon(model)
    readings = _on_alternatives(model.joint.horizon if model.joint.immune is not None else model.horizon.censored)
    on_laws = [*_on_boundary(model.local), *on_steps, *readings, *_on_spread(model.horizon.cv_eta_T), *_on_rule(model)]
    return [*on_laws, *(model.regime.sentences if model.regime else ())]


def comparison_heading(comparison: GroupComparison) -> str:
    """What is compared, for the head of the sentences."""
    return f"Between {', '.join(comparison.groups)}"


def comparison_texts(comparison: GroupComparison) -> list[str]:
    """Whether exponents or constants moved between groups, a sentence each for T* and for the boundary."""
    p_values = {test.what: test for test in comparison.tests}
    sentences = []
    for slopes, constant, subject in (
        ("exponents of T*", "constant of T*", "T*"),
        ("slopes of the boundary", "constant of the boundary", "η_max"),
    ):
        if slopes not in p_values or constant not in p_values:
            continue
        differ, moved = p_values[slopes], p_values[constant]
        if differ.p < SIGNIFICANT:
            sentences.append(f"The {slopes} differ between the groups, {_p(differ.p)}: one power law does not do.")
            continue
        factors = ", ".join(
            f"{short(factor)} for {name}" for name, factor in zip(comparison.groups, moved.factors, strict=True)
        )
        sentences.append(
            f"The {slopes} do not differ detectably, {_p(differ.p)}. With them shared, the constant "
            f"{'moved' if moved.p < SIGNIFICANT else 'did not move detectably'}, {_p(moved.p)}: {subject} by factors "
            f"of {factors}."
        )
    if comparison.left_out:
        sentences.append(f"Too little collapsed for a comparison in {', '.join(comparison.left_out)}.")
    return sentences


def left_out_texts(laws: Laws) -> list[str]:
    """One line per reason with the runs it concerns."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for item in laws.left_out:
        by_reason[item.why].append(item.run)
    return [f"{why} ({_runs(runs)})" for why, runs in sorted(by_reason.items())]


def _on_boundary(local: LocalLaw) -> list[str]:
    sentences = []
    a, ends = local.exponent, local.exponent.identified_set
    if a.ci95 and a.estimate is not None and local.p_exponent_is_1 is not None:
        sentences.append(
            f"The η at which half of the runs collapse falls as k^−a with a = {_with_interval(a)}. "
            f"a = 1 (k·η_max constant) {_tested(local.p_exponent_is_1)}."
        )
    if ends and ends != (None, None):
        where = "within" if contains(ends, 1.0) else "outside"
        sentences.append(
            f"A sharp boundary between the tested η would have a in the range {_range(ends, decimal)}: that is how far "
            f"the grid resolves a, not a confidence interval. a = 1 lies {where} it."
        )
    return sentences


def _on_joint(model: ModelLaws) -> list[str]:
    """With immune runs in the fit; and what b would be without them, where that differs."""
    joint, horizon = model.joint, model.horizon
    b, q = joint.horizon.eta_exponent, joint.horizon.k_exponent
    if b.estimate is None or joint.immune is None or joint.aic is None or joint.aic_all_susceptible is None:
        return []
    sentences = [
        f"The runs speak for immune ones: AIC is smaller by {joint.aic_all_susceptible - joint.aic:.1f} than if all "
        f"collapse in the end. Of the runs that did not collapse {100 * joint.immune:.0f} % never would have.",
        f"T* of the others falls as η^−b and as k^−q with b = {_with_interval(b)} and q = {_with_interval(q)}."
        f"{_on_law(joint.horizon)} The boundary of the immune falls as k^−a with a = {_with_interval(joint.exponent)}. "
        f"All three of the paper's exponents (1, 0 and 1) together: {_p(joint.p_laws)}.",
    ]
    readings = {ALL_LATE: horizon.censored.eta_exponent, ALONE: horizon.collapsed_only.eta_exponent}
    others = {how: value for how, value in readings.items() if value.estimate is not None}
    if any(
        abs(value.estimate - b.estimate) > ESTIMATORS_AGREE for value in others.values() if value.estimate is not None
    ):
        each = " and ".join(f"{_with_interval(value)} {how}" for how, value in others.items())
        sentences.append(f"The estimator decides: b is {each}.")
    return sentences


def _on_horizon(model: ModelLaws) -> list[str]:
    """Without immune runs in the fit, where none speak for them."""
    horizon = model.horizon
    readings = {ALL_LATE: horizon.censored} if horizon.censored.n_censored else {}
    known = {how: fit for how, fit in (readings | {ALONE: horizon.collapsed_only}).items() if fit.eta_exponent.estimate}
    sentences = []
    for how, fit in known.items():
        b, q = fit.eta_exponent, fit.k_exponent
        k_part = f" and as k^−q with q = {_with_interval(q)}" if q.estimate is not None else ""
        sentences.append(
            f"T* falls as η^−b with b = {_with_interval(b)}{k_part}, {how} ({fit.n_collapsed} collapsed).{_on_law(fit)}"
        )
    estimates = [fit.eta_exponent.estimate or 0.0 for fit in known.values()]
    if max(estimates, default=0.0) - min(estimates, default=0.0) > ESTIMATORS_AGREE:
        sentences.append(
            f"The estimator decides: b lies between {decimal(min(estimates))} and {decimal(max(estimates))} by how "
            "runs that did not collapse are taken."
        )
    return sentences


def _on_spread(cv_eta_T: float | None) -> list[str]:
    if cv_eta_T is None:
        return []
    percent = f"{100 * cv_eta_T:.0f} %"
    return [f"η·T* varies by {percent} (one standard deviation) between the cells that collapsed."]


def _on_alternatives(fit: HorizonFit) -> list[str]:
    if len(fit.alternatives) < 2:
        return []
    best, *others = fit.alternatives
    rest = ", ".join(f"{READINGS[other.name]} by {other.delta_aic:.1f}" for other in others)
    return [f"By AIC the best reading of T* is {READINGS[best.name]}; behind it are {rest} (below 2 is no difference)."]


def _on_law(fit: HorizonFit) -> str:
    if fit.law_in_set is not None:
        return f" T* = C/η whatever k is {'fits' if fit.law_in_set else 'does not fit'} every interval of T*."
    if fit.p_law is None:
        return ""
    return f" T* = C/η whatever k is (b = 1, q = 0) {_tested(fit.p_law)}."


def _on_rule(model: ModelLaws) -> list[str]:
    rule = model.two_constraint
    if rule.cells is None or rule.crossing is None:
        return []
    binding = sum(one.binds == "horizon" for one in rule.predictions)
    return [
        f"The rule η ≤ min(C_local/k, C_horizon/T) is right in {rule.left_out_right} of {rule.left_out_cells} cells if "
        f"each is predicted from the others ({rule.cells_right} of {rule.cells} with constants from all). C_horizon/T "
        f"binds in {binding} of them, beyond {short(rule.crossing)} rollout cycles (T/k). That either constraint be "
        f"enough, η ≤ max(…), is right in {rule.either_left_out_right} of {rule.left_out_cells} "
        f"({rule.either_right} of {rule.cells})."
    ]


def _boundary_quantities(exponent: Estimate, constant: Estimate) -> list[Quantity]:
    return [
        _quantity("a", "η_max ∝ k^−a", exponent),
        _quantity("C_local", "k·η_max if a=1", constant, positive=True),
    ]


def _horizon_quantities(fit: HorizonFit) -> list[Quantity]:
    return [
        _quantity("b", "T* ∝ η^−b", fit.eta_exponent),
        _quantity("q", "T* ∝ k^−q", fit.k_exponent),
        _quantity("C_horizon", "η·T* if b=1", fit.constant, positive=True),
        _quantity("σ", "sd of log T*", fit.sigma, positive=True),
    ]


def _quantity(symbol: str, meaning: str, value: Estimate, *, positive: bool = False) -> Quantity:
    text = short if positive else decimal

    def ends(side: Side | None) -> str:
        return "–" if side is None or side == (None, None) else _range(side, text)

    estimate = "–" if value.estimate is None else text(value.estimate)
    return Quantity(symbol, meaning, estimate, ends(value.ci95), ends(value.identified_set))


def _range(ends: Side, text: Callable[[float], str]) -> str:
    lo, hi = (None if end is None else text(end) for end in ends)
    return f"{lo} to {hi}" if lo and hi else f"≥ {lo}" if lo else f"≤ {hi}"


def _with_interval(value: Estimate) -> str:
    estimate = "unknown" if value.estimate is None else decimal(value.estimate)
    if value.ci95 and value.ci95 != (None, None):
        return f"{estimate} (95 %: {_range(value.ci95, decimal)})"
    return f"{estimate} (the data leave both sides open)" if value.ci95 else estimate


def _tested(p: float) -> str:
    return f"is {'rejected' if p < SIGNIFICANT else 'not rejected'}, {_p(p)}"


def _p(p: float | None) -> str:
    return "not tested" if p is None else "p < 1e-6" if p < 1e-6 else f"p = {short(p)}"


def _runs(runs: list[int]) -> str:
    named = ", ".join(map(str, runs[:RUNS_NAMED]))
    more = f" and {len(runs) - RUNS_NAMED} more" if len(runs) > RUNS_NAMED else ""
    return f"{'run' if len(runs) == 1 else 'runs'} {named}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
