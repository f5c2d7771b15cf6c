"""``stalesweep advise``: the largest learning rate that the laws call safe."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from orchestrator.base.errors import NothingToDo, UsageError
from orchestrator.cli.options import Database, SweepNames
from orchestrator.cli.output import collect_all, emit, one_blas_thread, one_of, open_store


def advise(
    k: Annotated[int, typer.Option(min=1, help="Staleness: learner steps per rollout cycle.")],
    horizon: Annotated[int, typer.Option(min=1, help="Learner steps you want to train.")],
    model: Annotated[
        str | None, typer.Option(help="Model, or model · axis=value; needed if there are several.")
    ] = None,
    sweeps: SweepNames = None,
    risk: Annotated[float, typer.Option(help="Share of runs that may collapse, between 0 and 1.")] = 0.05,
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
    db: Database = None,
) -> None:
    """Print the largest safe learning rate for a model, a staleness and a horizon, and what limits it."""
    one_blas_thread()
    from orchestrator.data import frames
    from orchestrator.laws.advice import advise as ask
    from orchestrator.laws.evidence import cells, evidence, groups
    from orchestrator.report.advising import as_json, as_text

    one_of("--format", format, ("table", "json"))
    if not 0 < risk < 1:
        raise UsageError(f"--risk: expected a share between 0 and 1, found {risk:g}")
    with open_store(db) as store:
        names = collect_all(store, sweeps)
        of_groups = dict(groups(evidence(frames.runs(store, names))))
    group = _chosen(model, list(of_groups))
    members = of_groups[group]
    answer = ask(members[members["bounds"]], cells(members), k, horizon, risk)
    if isinstance(answer, str):
        raise NothingToDo(f"{group}: {answer}")
    if format == "json":
        emit(json.dumps(as_json(group, answer), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        emit(as_text(group, answer))


def _chosen(model: str | None, groups: list[str]) -> str:
    if not groups:
        raise NothingToDo("no runs to fit")
    if model is None and len(groups) == 1:
        return groups[0]
    if model in groups:
        return str(model)
    listed = ", ".join(repr(group) for group in groups)
    said = "name one with --model" if model is None else f"there is no {model!r}"
    raise UsageError(f"--model: {said}; these have runs: {listed}")
