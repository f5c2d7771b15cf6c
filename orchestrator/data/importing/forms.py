"""Which form a file has, which files belong to it, and how its columns are described."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from orchestrator.base.errors import GridError
from orchestrator.data.importing import folder, logs
from orchestrator.data.importing.mapping import Mapped, Options
from orchestrator.data.importing.runs import AXIS
from orchestrator.data.importing.tables import open_table

FORMATS = ("auto", "runs", "syncs", "trl", "wandb")


def find_form(source: Path, options: Options) -> tuple[str, list[Path]]:
    """Tell which form a file has, and list the files to read.

    Raises:
        GridError: It has none that is known.
    """
    if source.is_dir():
        tables = folder.files_of(source)
        if "runs" in tables:
            return "export", list(tables.values())
        states = logs.find_trainer_states(source)
        if states:
            return "trl", list(states.values())
        raise GridError([f"{source}: holds neither an export (runs.csv or runs.parquet) nor a trainer_state.json"])
    if options.format != "auto":
        return options.format, [source]
    if source.suffix == ".json" and source.name.endswith("trainer_state.json"):
        return "trl", [source]
    columns = {*open_table(source).columns, *options.columns}
    if "sync" in columns:
        return "syncs", [source]
    if "collapse_step" in columns:
        return "runs", [source]
    steps = {"step", *logs.USUAL["step"]}
    if columns & steps or logs.panel_names(list(columns)):
        return "wandb", [source]
    raise GridError(
        [
            f"{source}: is none of the forms that can be imported: one row per run needs a column collapse_step, one "
            f"per weight sync a column sync, one per logged step a column step or {', '.join(logs.USUAL['step'])} "
            f"(found: {', '.join(sorted(columns)[:30])}); name yours with --map OURS=THEIRS"
        ]
    )


def described(mapped: Mapped, options: Options) -> list[str]:
    """Tell which column was taken for what, and which were left out."""
    columns = [
        ours if theirs == ours else f"{ours} = {theirs}"
        for ours, theirs in mapped.used.items()
        if not ours.startswith(AXIS)
    ]
    notes = [f"columns: {', '.join(columns)}"]
    if axes := [theirs for ours, theirs in mapped.used.items() if ours.startswith(AXIS)]:
        notes.append(f"further axes: {', '.join(axes)}")
    if options.values:
        notes.append(f"given: {', '.join(f'{name} = {value}' for name, value in options.values.items())}")
    if mapped.left_out:
        notes.append(f"left out: {', '.join(name or '(a column without a name)' for name in mapped.left_out)}")
    return notes


def gathered(notes: Mapping[str, list[str]]) -> list[str]:
    """Tell what holds for every run once; what does not, with the runs' names."""
    runs_of_note: dict[str, list[str]] = {}
    for name, of_run in notes.items():
        for note in of_run:
            runs_of_note.setdefault(note, []).append(name)
    return [note if len(names) == len(notes) else f"{', '.join(names)}: {note}" for note, names in runs_of_note.items()]


def sha256(path: Path) -> str:
    """Digest a file's content.

    Raises:
        GridError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GridError([f"{path}: cannot be read: {error.strerror}"]) from error
