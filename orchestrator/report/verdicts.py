"""What a fit says in words and in one list of numbers, for every face of the report alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.laws.forms import Cell, Estimate, HorizonFit, HorizonLaw, Laws, LocalLaw, ModelLaws

RUNS_NAMED = 12
"""Left-out runs are listed up to so many per reason, then counted."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One line of the list of fitted numbers; texts are ready to print, ``–`` where not identified."""

    symbol: str
    meaning: str
    estimate: str
    se: str
    interval: str


def scientific(number: float) -> str:
    """A learning rate as people write it: 2.5e-4; every digit that it has."""
    mantissa, exponent = f"{number:.11e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def short(number: float) -> str:
    """Three significant digits, without the zero that pads an exponent."""
    return f"{number:.3g}".replace("e-0", "e-").replace("e+0", "e+")


def decimal(number: float) -> str:
    """Two decimals, as exponents are given; never ``-0.00``."""
    return f"{round(number, 2) + 0.0:.2f}"


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


def cell_lines(cell: Cell) -> list[str]:
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
    """The fitted numbers under headings, those without any left out: the boundary, then T* twice."""
    local, horizon = model.local, model.horizon
    sections = [
        (
            "Boundary",
            [
                _quantity("a", "η_max ∝ k^−a", local.exponent),
                _quantity("C_local", "k·η_max if a = 1", local.constant, positive=True),
            ],
        )
    ]
    if horizon.censored.n_censored:
        sections.append(("T*, stable runs censored", _horizon_quantities(horizon.censored)))
    sections.append(("T*, collapsed runs alone", _horizon_quantities(horizon.collapsed_only)))
    return [section for section in sections if any(line.estimate + line.interval != "––" for line in section[1])]


def bracket_texts(local: LocalLaw) -> list[tuple[str, str, str]]:
    """Per k: the largest stable η, the smallest collapsing η, and k·η_max between them."""

    def text(number: float | None) -> str:
        return "–" if number is None else scientific(number)

    texts = []
    for b in local.brackets:
        lo, hi = (None if eta is None else short(b.k * eta) for eta in (b.eta_stable, b.eta_collapsed))
        product = f"{lo} to {hi}" if lo and hi else f"above {lo}" if lo else f"below {hi}" if hi else "–"
        texts.append((text(b.eta_stable), text(b.eta_collapsed), product))
    return texts


def verdicts(model: ModelLaws) -> list[str]:
    """What the numbers mean, one plain sentence each; nothing about what is not identified."""
    return [*_on_boundary(model.local), *_on_horizon(model.horizon), *_on_rule(model)]


def left_out_texts(laws: Laws) -> list[str]:
    """One line per reason with the runs it concerns."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for item in laws.left_out:
        by_reason[item.why].append(item.run)
    return [f"{why} ({_runs(runs)})" for why, runs in sorted(by_reason.items())]


def _on_boundary(local: LocalLaw) -> list[str]:
    ends = local.exponent.identified_set
    if ends is None:
        return []
    lo, hi = ends
    rounding = 1e-9
    inside = (lo is None or lo <= 1 + rounding) and (hi is None or hi >= 1 - rounding)
    return [
        f"η_max falls as k^−a with a in the range {_range(ends, decimal)}: that is how far the grid resolves a, "
        f"not a confidence interval. a = 1 (k·η_max constant) lies {'within' if inside else 'outside'} it."
    ]


def _on_horizon(horizon: HorizonLaw) -> list[str]:
    sentences = []
    readings = [(horizon.collapsed_only, "over the collapsed runs alone")]
    if horizon.censored.n_censored:
        readings.insert(0, (horizon.censored, "with stable runs censored at their last step"))
    for fit, how in readings:
        b, q = fit.eta_exponent, fit.k_exponent
        if b.estimate is None:
            continue
        k_part = f" and as k^−q with q = {_with_error(q)}" if q.estimate is not None else ""
        sentences.append(
            f"T* falls as η^−b with b = {_with_error(b)}{k_part}, {how} ({fit.n_collapsed} collapsed).{_on_law(fit)}"
        )
    if horizon.cv_eta_T is not None:
        percent = f"{100 * horizon.cv_eta_T:.0f} %"
        sentences.append(f"η·T* varies by {percent} (one standard deviation) between the cells that collapsed.")
    return sentences


def _on_law(fit: HorizonFit) -> str:
    if fit.law_in_set is not None:
        return f" T* = C/η whatever k is {'fits' if fit.law_in_set else 'does not fit'} every interval of T*."
    if fit.p_law is None:
        return ""
    verdict = "is rejected" if fit.p_law < 0.05 else "is not rejected"
    return f" T* = C/η whatever k is (b = 1, q = 0) {verdict}, p = {short(fit.p_law)}."


def _on_rule(model: ModelLaws) -> list[str]:
    rule = model.two_constraint
    if rule.cells is None:
        return []
    return [
        f"The rule η ≤ min(C_local/k, C_horizon/T) is right in {rule.cells_right} of {rule.cells} cells, "
        "the same that its constants were fitted to."
    ]


def _horizon_quantities(fit: HorizonFit) -> list[Quantity]:
    return [
        _quantity("b", "T* ∝ η^−b", fit.eta_exponent),
        _quantity("q", "T* ∝ k^−q", fit.k_exponent),
        _quantity("C_horizon", "η·T* if T* ∝ 1/η", fit.constant, positive=True),
        _quantity("σ", "scatter of log T*", fit.sigma, positive=True),
    ]


def _quantity(symbol: str, meaning: str, value: Estimate, *, positive: bool = False) -> Quantity:
    text = short if positive else decimal
    interval = "–"
    if value.ci95:
        interval = f"{_range(value.ci95, text)} (95 %)"
    elif value.identified_set and value.identified_set != (None, None):
        interval = f"{_range(value.identified_set, text)} (grid)"
    estimate = "–" if value.estimate is None else text(value.estimate)
    # the standard error of a constant is that of its logarithm, which the interval shows better
    se = "–" if positive or value.se is None else text(value.se)
    return Quantity(symbol, meaning, estimate, se, interval)


def _range(ends: tuple[float | None, float | None], text: Callable[[float], str]) -> str:
    lo, hi = (None if end is None else text(end) for end in ends)
    return f"{lo} to {hi}" if lo and hi else f"≥ {lo}" if lo else f"≤ {hi}"


def _with_error(value: Estimate) -> str:
    estimate = "unknown" if value.estimate is None else decimal(value.estimate)
    if value.se is not None:
        return f"{estimate} ± {decimal(value.se)}"
    lo, hi = value.identified_set or (None, None)
    if lo is None or hi is None:
        return estimate
    return f"{estimate} (anything from {decimal(lo)} to {decimal(hi)} fits)"


def _runs(runs: list[int]) -> str:
    named = ", ".join(map(str, runs[:RUNS_NAMED]))
    more = f" and {len(runs) - RUNS_NAMED} more" if len(runs) > RUNS_NAMED else ""
    return f"{'run' if len(runs) == 1 else 'runs'} {named}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
