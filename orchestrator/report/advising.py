"""Advice as text, as a table and as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from orchestrator.laws.advice import Advice, advise
from orchestrator.laws.estimates import Estimate
from orchestrator.laws.evidence import cells
from orchestrator.report.numbers import range_text, scientific, short

CONSTRAINTS = {
    "local": "the local law (at its limit half of the runs are immune)",
    "horizon": "the horizon law (at its limit half of the runs collapse after the horizon)",
}

RISK = 0.05
"""The share of runs that may collapse, by default."""


def as_text(group: str, advice: Advice) -> str:
    """A few lines for a terminal."""
    k, horizon = f"{advice.k:g}", f"{advice.horizon:,}"
    lines = [
        f"{group}, k = {k}, {horizon} learner steps",
        "",
        f"The fitted laws call safe: η ≤ {_limit(advice.eta)}.",
        f"The limit is that of {CONSTRAINTS[advice.binds]}.",
        "",
        f"  local law     η ≤ {_limit(advice.local)}",
        f"  horizon law   η ≤ {_limit(advice.late)}",
    ]
    if advice.paper is not None:
        lines.append(f"  the paper's   η ≤ {short(advice.paper)}   min(C_local/k, C_horizon/T), exponents held at 1")
    at_risk, near, share = advice.eta_at_risk, advice.nearest, _share(advice.risk)
    lines += [
        "",
        "A limit is where half of the runs change, so some runs collapse below it.",
        f"At this η, {_share(advice.p_collapse)} are expected to collapse within the horizon.",
        f"No η near it keeps that at {share}."
        if at_risk is None
        else f"At most {share} are expected to collapse up to η = {short(at_risk)}.",
        f"Nearest measured cell: k = {near.k}, η = {scientific(near.eta)}, {near.n_collapsed} of {near.n_runs} runs "
        f"collapsed within {near.horizon:,} steps.",
        *(f"- {note}" for note in advice.notes),
    ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class AdviceTable:
    """The advice at each measured k, as texts of `ADVICE_COLUMNS`, and notes with the k that each is about."""

    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str]


ADVICE_COLUMNS = (
    "k", "T", "largest safe η", "95 % interval", "binds", "expected to collapse there",
    f"at most {100 * RISK:g} % collapse up to η", "within the tested η",
)  # fmt: skip


def advice_table(members: pd.DataFrame) -> AdviceTable:
    """Find the largest safe η at each measured k of one group, for the horizon that was measured there."""
    rows, of_group, notes = members[members["bounds"]], cells(members), defaultdict[str, list[int]](list)
    etas, lines = [cell.eta for cell in of_group if cell.n_runs], []
    for k in sorted({cell.k for cell in of_group if cell.n_runs}):
        horizon = max(cell.horizon for cell in of_group if cell.k == k and cell.horizon)
        answer = advise(rows, of_group, k, horizon, RISK)
        if isinstance(answer, str):
            return AdviceTable([], [answer])
        limit, share = answer.eta.estimate, f"{100 * answer.p_collapse:.0f} %"
        numbers = ["–" if number is None else short(number) for number in (limit, answer.eta_at_risk)]
        tried = "yes" if limit and min(etas) <= limit <= max(etas) else "no"
        texts = (numbers[0], range_text(answer.eta.ci95, short) or "–", answer.binds, share, numbers[1], tried)
        lines.append((str(k), f"{horizon:,}", *texts))
        for note in answer.notes:
            notes[note].append(k)
    about = {note: "" if len(ks) == len(lines) else f"k = {', '.join(map(str, ks))}: " for note, ks in notes.items()}
    return AdviceTable(lines, [f"{ks}{note}" for note, ks in about.items()])


def as_json(group: str, advice: Advice) -> dict[str, Any]:
    """The advice for JSON."""
    return {"model": group, **asdict(advice)}


def _limit(value: Estimate) -> str:
    if value.estimate is None:
        return "not known"
    interval = range_text(value.ci95, short)
    return f"{short(value.estimate)} (95 %: {interval})" if interval else f"{short(value.estimate)} (no interval)"


def _share(share: float) -> str:
    return f"{100 * share:.0f} % of the runs" if share >= 0.005 else "fewer than 1 % of the runs"
