"""A grid file → a `Sweep` of ordered cells and runs, or all of its mistakes.

The file is read once, then each value is checked against the field that it is for, so a wrong value is one mistake
however many cells hold it. Only a file without mistakes is expanded.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from grpo_worker.schema.config import ModelConfig, WorkerConfig, content_digest
from orchestrator.grid import fields
from orchestrator.grid.fields import GridContent, ModelEntry, Resources
from orchestrator.grid.mistakes import as_type, checked, unknown
from orchestrator.grid.yaml_file import GridFile, KeyPath, dotted, read_grid_file, show, suggest

MAX_RUNS = 1_000_000

__all__ = ["MAX_RUNS", "Cell", "Resources", "Run", "Sweep", "load_sweep"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid without its seed; ``axes`` are (dotted worker field, value), in file order."""

    model: str
    k: int
    eta: float
    axes: tuple[tuple[str, Any], ...] = ()

    @property
    def axes_text(self) -> str:
        """The further axes as JSON with sorted keys, as the database has them."""
        return json.dumps(dict(self.axes), sort_keys=True)


def group_name(model: str, axes_text: str) -> str:
    """What people call the cells of a model at one setting of the further axes: ``tiny · clip_eps=0.2``."""
    settings = ", ".join(f"{name}={value}" for name, value in json.loads(axes_text).items())
    return f"{model} · {settings}" if settings else model


@dataclass(frozen=True, slots=True)
class Run:
    """A cell and a seed, with the whole configuration they stand for."""

    cell: Cell
    seed: int
    config: WorkerConfig
    resources: Resources


@dataclass(frozen=True, slots=True)
class Sweep:
    """One grid file, by content."""

    name: str
    text: str  # The file as read
    # Hash of the experiment: comments, white space, the order of keys and what runs ask of a cluster do not
    # change it
    digest: str
    runs: tuple[Run, ...]  # In the order model, k, η, further axes, seed; values in file order

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells in order, each once."""
        return tuple(dict.fromkeys(run.cell for run in self.runs))

    @property
    def total_learner_steps(self) -> int:
        """Learner steps of all runs together, each trained to its horizon."""
        return sum(run.config.horizon for run in self.runs)

    @property
    def gpus(self) -> int:
        """The most that a run asks for."""
        return max(run.resources.gpus for run in self.runs)


def load_sweep(path: Path, *, allow_huge: bool = False, profile: Path | None = None) -> Sweep:
    """Read a grid file and expand it, to more than `MAX_RUNS` runs only if ``allow_huge``.

    The ``resources:`` of the site's profile hold where the grid file says nothing.

    Raises:
        GridError: The file or the profile has mistakes; all of them are listed, by line.
    """
    file = read_grid_file(path)
    if "search" in file.content:
        file.mistake(("search",), f"makes this a search file; give it to: stalesweep search {path}")
        file.raise_mistakes()
    return expand(file, allow_huge=allow_huge, profile=profile)


def expand(
    file: GridFile,
    *,
    allow_huge: bool = False,
    profile: Path | None = None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Sweep:
    """Check a file that was read, and expand it, see `load_sweep`.

    ``defaults`` are worker fields by dotted path, for where the file neither fixes them nor has them as an axis.
    """
    site = _site_resources(profile) if profile else Resources()
    written = {"name": file.path.stem, **file.sections()}
    content = checked(file, (), GridContent, written)
    grid, fixed, models = (_mapping(written.get(name)) for name in ("grid", "fixed", "models"))
    axes = _axes(file, grid, allow_huge=allow_huge)
    settings = _fixed(file, fixed, grid)
    _check_models(file, models, axes.get("model", []))
    _check_excluded(file, written.get("exclude"), axes)
    file.raise_mistakes()
    added = {field: value for field, value in defaults.items() if field not in settings | axes}
    runs = tuple(_runs(file, axes, settings | added, content, content.resources.over(site)))
    if not runs and not file.wrong:
        file.mistake(("exclude",), "leaves no run at all")
    file.raise_mistakes()
    whole = {**file.content, "fixed": {**fixed, **added}} if added else file.content
    return Sweep(content.name, file.text, _digest(content.name, whole), runs)


def _site_resources(profile: Path) -> Resources:
    file = read_grid_file(profile)
    content: fields.Profile = checked(file, (), fields.Profile, file.sections())
    file.raise_mistakes()
    return content.resources


def _digest(name: str, content: Mapping[str, Any]) -> str:
    # A time limit may be raised between two launches without making another experiment of the sweep.
    models = {model: {**entry, "resources": None} for model, entry in (content.get("models") or {}).items()}
    return content_digest({**content, "name": name, "models": models, "resources": None})


def _mapping(value: Any) -> dict[str, Any]:
    """A part of the file as a mapping, and an empty one where it is none, which is noted elsewhere."""
    return value if isinstance(value, dict) else {}


def _axes(file: GridFile, grid: dict[str, Any], *, allow_huge: bool) -> dict[str, list[Any]]:
    """Read the values of every axis; wrong ones are kept, so that ``exclude:`` can be checked against them."""
    if not grid:
        if ("grid",) not in file.wrong:
            what = f"is missing or empty; it holds the axes {', '.join(fields.REQUIRED_AXES)}, each with a list"
            file.mistake(("grid",), what)
        return {}
    for name, example in fields.REQUIRED_AXES.items():
        if name not in grid:
            file.mistake(("grid", name), f"this axis is missing; give it a list, e.g. {name}: {example}")
    spreads = {name: _spread(file, ("grid", name), spec) for name, spec in grid.items()}
    size = math.prod(size for size, _ in spreads.values())
    if size > MAX_RUNS and not allow_huge:
        allowed = f"up to {MAX_RUNS:,}, or more with --allow-huge"
        file.mistake(("grid",), f"too many runs (found {size:,}; allowed: {allowed})")
        spreads = dict.fromkeys(spreads, (0, ()))
    return {name: _axis(file, name, list(values)) for name, (_, values) in spreads.items()}


def _spread(file: GridFile, place: KeyPath, spec: Any) -> tuple[int, Iterable[Any]]:
    """Read how an axis gives its values: their number, and the values, which are made when they are iterated over."""
    if isinstance(spec, list):
        if not spec:
            file.mistake(place, "an axis needs at least one value (found an empty list)")
        return len(spec), spec
    for form, kind in (("logspace", fields.LogSpace), ("range", fields.Range)):
        if isinstance(spec, dict) and spec.keys() == {form}:
            found = checked(file, (*place, form), kind, spec[form])
            return (found.size, found.values) if found else (0, ())
    forms = "a list as in [1, 2], {logspace: {start, stop, num}} or {range: {start, stop}}"
    file.mistake(place, f"not the values of an axis (found {show(spec)}; allowed: {forms})")
    return 0, ()


def _axis(file: GridFile, name: str, written: list[Any]) -> list[Any]:
    """Check the values of one axis against its field and against each other."""
    place: KeyPath = ("grid", name)
    if name not in fields.AXES:
        file.mistake(place, fields.not_a_worker_field(name))
        return []
    values = checked(file, place, list[as_type(fields.AXES[name])], written) or written  # type: ignore[misc]
    first: dict[tuple[bool, Any], int] = {}
    for index, value in enumerate(values):
        at = (*place, index) if (*place, index) in file.lines else place  # those of a logspace or range share a line
        if at in file.wrong:
            continue
        if isinstance(value, dict):
            file.mistake(at, f"a mapping has no place in tables; write it under 'fixed:' (found {show(value)})")
        elif (earlier := first.setdefault((isinstance(value, bool), value), index)) != index:
            again = dotted((*place, earlier))
            file.mistake(at, f"stands in the axis twice (found {show(value)}, first as {again})")
    return list(values)


def _fixed(file: GridFile, fixed: dict[str, Any], grid: dict[str, Any]) -> dict[str, Any]:
    """Read the fixed worker fields by dotted path; nested and dotted spellings may be mixed."""
    settings: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for name, place, value in fields.flat(("fixed",), fixed):
        if name in fields.REQUIRED_AXES:
            wrong = f"is an axis; write it under 'grid:', e.g. {name}: [{show(value)}]"
        elif name in grid:
            wrong = f"is an axis too, in line {file.lines['grid', name]}; keep one of the two"
        elif name in lines:
            wrong = f"is fixed already, in line {lines[name]}; keep one of the two"
        elif isinstance(value, list):
            wrong = f"has one value; write an axis under 'grid:' (found {show(value)})"
        elif name not in fields.WORKER_FIELDS:
            wrong = fields.not_a_worker_field(name)
        else:
            settings[name], lines[name] = checked(file, place, fields.WORKER_FIELDS[name], value), file.line(place)
            continue
        file.mistake(place, wrong)
    return settings


def _check_models(file: GridFile, models: dict[str, Any], used: list[Any]) -> None:
    """Check that each model of the grid has an entry, and each entry a path; the builtin one needs neither."""
    known = ["tiny", *models]
    for index, name in enumerate(used):
        place: KeyPath = ("grid", "model", index)
        if isinstance(name, str) and name not in known and place not in file.wrong:
            hint = f"{suggest(name, known)}add '{name}: {{path: FOLDER_OR_HUB_ID}}' there"
            file.mistake(place, f"has no entry under 'models:' (found {show(name)}; {hint})")
    for name, entry in models.items():
        checked(file, ("models", name), fields.ModelName, name)
        if name != "tiny" and "path" not in _mapping(entry):
            file.mistake(("models", name, "path"), "is missing; give a folder or a hub id")


def _check_excluded(file: GridFile, points: Any, axes: dict[str, list[Any]]) -> None:
    """Check the partial points to leave out. Each value must stand in its axis, so every point matches."""
    for index, point in enumerate(points if isinstance(points, list) else []):
        place: KeyPath = ("exclude", index)
        if not point and place not in file.wrong:
            file.mistake(place, f"names no axis, so it would exclude every run (found {show(point)})")
        for name, value in _mapping(point).items():
            if name not in axes:
                file.mistake((*place, name), unknown("unknown key", name, axes))
            elif axes[name] and value not in axes[name]:
                few = ", ".join(show(value) for value in axes[name][:20])
                file.mistake((*place, name), f"matches nothing (found {show(value)}; allowed: {few})")


def _runs(
    file: GridFile, axes: dict[str, list[Any]], settings: dict[str, Any], content: GridContent, resources: Resources
) -> Iterator[Run]:
    """Expand the checked file. A mistake that only a combination of fields can make is noted once."""
    further = [name for name in axes if name not in fields.REQUIRED_AXES]
    names = ["model", "k", "eta", *further, "seed"]
    entries = {name: content.models.get(name) or ModelEntry.model_validate({}) for name in axes["model"]}
    configs = {name: ModelConfig(name=name, path=entry.path, dtype=entry.dtype) for name, entry in entries.items()}
    asked = {name: entry.resources.over(resources) for name, entry in entries.items()}
    noted: set[str] = set()
    for values in itertools.product(*(axes[name] for name in names)):
        point = dict(zip(names, values, strict=True))
        if any(all(point[name] == value for name, value in partial.items()) for partial in content.exclude):
            continue
        cell = Cell(point["model"], point["k"], point["eta"], tuple((name, point[name]) for name in further))
        settled = fields.nested(settings | point) | {"model": configs[cell.model]}
        try:
            config = WorkerConfig.model_validate(settled, strict=True)
        except ValidationError as error:
            where = ", ".join(f"{name} = {show(value)}" for name, value in point.items() if name != "seed")
            for what in {problem["msg"] for problem in error.errors()} - noted:
                noted.add(what)
                file.mistake(("grid",), f"{what} (found first in the cell {where})")
            continue
        yield Run(cell, point["seed"], config, asked[cell.model])
