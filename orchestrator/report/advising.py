"""Advice in words and as JSON."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.laws.advice import Advice
from orchestrator.laws.estimates import Estimate
from orchestrator.report.verdicts import scientific, short

CONSTRAINTS = {
    "local": "the local law, where half of the runs are immune",
    "horizon": "the horizon law, where half of the runs collapse later",
}


def as_text(group: str, advice: Advice) -> str:
    """A few lines for a terminal."""
    k, horizon = f"{advice.k:g}", f"{advice.horizon:,}"
    lines = [
        f"{group}, k = {k}, {horizon} learner steps",
        "",
        f"The fitted laws call safe: η ≤ {_limit(advice.eta)}.",
        f"What binds is {CONSTRAINTS[advice.binds]}.",
        "",
        f"  local law     η ≤ {_limit(advice.local)}",
        f"  horizon law   η ≤ {_limit(advice.late)}",
    ]
    if advice.paper is not None:
        lines.append(f"  the paper's   η ≤ {short(advice.paper)}   min(C_local/k, C_horizon/T), exponents held at 1")
    lines += ["", f"A law is a line that half of the runs cross. At this η {_share(advice.p_collapse)} are expected to"]
    lines[-1] += " collapse within the horizon;"
    lines.append(
        f"at most {_share(advice.risk)} are up to η = {short(advice.eta_at_risk)}."
        if advice.eta_at_risk is not None
        else f"no η near it keeps that at {_share(advice.risk)}."
    )
    near = advice.nearest
    lines.append(
        f"Nearest measured cell: k = {near.k}, η = {scientific(near.eta)}, {near.n_collapsed} of {near.n_runs} runs "
        f"collapsed within {near.horizon:,} steps."
    )
    lines += [f"- {note}" for note in advice.notes]
    return "\n".join(lines)


def as_json(group: str, advice: Advice) -> dict[str, Any]:
    """Tuples as lists."""
    plain: dict[str, Any] = json.loads(json.dumps({"model": group, **advice.to_json()}, allow_nan=False))
    return plain


def _limit(value: Estimate) -> str:
    if value.estimate is None:
        return "not known"
    lo, hi = value.ci95 or (None, None)
    interval = (
        f"{short(lo)} to {short(hi)}" if lo and hi else f"≥ {short(lo)}" if lo else f"≤ {short(hi)}" if hi else ""
    )
    return f"{short(value.estimate)} (95 %: {interval})" if interval else f"{short(value.estimate)} (no interval)"


def _share(share: float) -> str:
    return f"{100 * share:.0f} % of the runs" if share >= 0.005 else "fewer than 1 % of the runs"
