"""Which column of a file is which of ours: as named on the command line, by the same name, or by a well-known one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import inspect

from orchestrator.data.importing.runs import AXIS, READ
from orchestrator.data.importing.values import Mistakes
from orchestrator.grid.yaml_file import suggest
from orchestrator.store.models import SyncMetric
from orchestrator.store.types import NanFloat

METRICS = {
    column.name: isinstance(column.type, NanFloat)
    for column in inspect(SyncMetric).columns
    if column.name not in ("run_id", "sync", "attempt", "learner_step")
}
"""The metrics of a weight sync, and whether each is a number with decimals."""

LABEL = "run"
"""The column that tells runs apart by name."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about a file.

    Attributes:
        format: auto, runs, syncs, trl or wandb.
        columns: Their column by ours.
        values: Constants by our column, as text.
        skip: Their columns to leave out.
        detector: half, zero; None = whichever the data allow.
        runs_file: A table that says what each named run is.
    """

    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    skip: Sequence[str] = ()
    detector: str | None = None
    runs_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """The columns of one file.

    Attributes:
        used: Their column by ours.
        left_out: Columns that nothing was made of.
    """

    used: dict[str, str]
    left_out: list[str]

    def facts(self) -> dict[str, str]:
        """The columns that say something about the whole run, by our name."""
        return {ours: theirs for ours, theirs in self.used.items() if ours in READ or ours.startswith(AXIS)}

    def metrics(self) -> dict[str, str]:
        """The columns of metrics, by our name."""
        return {ours: theirs for ours, theirs in self.used.items() if ours in METRICS}


def map_columns(
    columns: Sequence[str],
    known: Iterable[str],
    options: Options,
    mistakes: Mistakes,
    *,
    usual: Mapping[str, Sequence[str]] | None = None,
    rest_are_axes: bool = False,
) -> Mapped:
    """Decide what each column of a file is.

    Args:
        columns: The file's columns.
        known: Our columns that this form has.
        options: What the command line says; it comes first.
        mistakes: Takes what cannot be.
        usual: Well-known names of our columns, the first that is there counts.
        rest_are_axes: Whether a column that is none of ours is a further axis.
    """
    known = list(known)
    used = _as_asked(columns, known, options, mistakes)
    free = [name for name in columns if name not in used.values() and name not in options.skip]
    for ours in known:
        names = [ours, *(usual or {}).get(ours, ())]
        found = next((name for name in names if name in free), None)
        if ours not in used and found is not None:
            used[ours] = found
            free.remove(found)
    for name in [name for name in free if name.startswith(AXIS) or (rest_are_axes and name.strip())]:
        used[f"{AXIS}{name.removeprefix(AXIS)}"] = name
        free.remove(name)
    for ours in used.keys() & options.values.keys():
        mistakes.note(
            "", f"{ours} is given by --set and by the column {used[ours]!r}; leave one out (--skip {used[ours]!r})"
        )
    return Mapped(used, [*free, *options.skip])


def _as_asked(columns: Sequence[str], known: list[str], options: Options, mistakes: Mistakes) -> dict[str, str]:
    def no_column(option: str, name: str) -> None:
        hint = f"{suggest(name, columns)}found: {', '.join(columns[:30])}"
        mistakes.note("", f"{option}: the file has no column {name!r} ({hint})")

    def not_ours(option: str, name: str, allowed: Iterable[str]) -> None:
        hint = f"{suggest(name, allowed)}allowed: {', '.join(allowed)}, axes.NAME"
        mistakes.note("", f"{option}: no such column of ours ({hint})")

    used = {}
    for ours, theirs in options.columns.items():
        if ours not in known and not ours.startswith(AXIS):
            not_ours(f"--map {ours}={theirs}", ours, known)
        elif theirs not in columns:
            no_column(f"--map {ours}={theirs}", theirs)
        else:
            used[ours] = theirs
    for name in options.skip:
        if name not in columns:
            no_column(f"--skip {name}", name)
    for ours in options.values:
        if ours not in READ and not ours.startswith(AXIS):
            not_ours(f"--set {ours}", ours, list(READ))
    return used
