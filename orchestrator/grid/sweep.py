"""The grid: a YAML file → a `Sweep` of ordered cells and runs, or all of its mistakes. Otherwise pure.

Each value is checked on its own against the field it is for, so a wrong value is one mistake however many
cells hold it. Only a file without mistakes is expanded.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from grpo_worker.schema.config import ModelConfig, WorkerConfig, content_digest
from orchestrator.grid.fields import (
    MODEL_FIELDS,
    SECTIONS,
    Names,
    Resources,
    Spread,
    check,
    check_resources,
    check_section,
    field_of,
    read_spread,
)
from orchestrator.grid.yaml_file import GridFile, KeyPath, dotted, read_grid_file, show, suggest

MAX_RUNS = 1_000_000
REQUIRED_AXES = {"model": "[tiny]", "k": "[2, 8, 32]", "eta": "[5e-4, 1e-3]", "seed": "[0]"}
"""The axes that every grid has, each with an example."""

__all__ = ["MAX_RUNS", "Cell", "Resources", "Run", "Sweep", "load_sweep"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid without its seed.

    Attributes:
        model: The model's name.
        k: Staleness in learner steps.
        eta: Learning rate η.
        axes: Further axes as (dotted worker field, value), in file order.
    """

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
    """One grid file, by content.

    Attributes:
        name: The sweep's name.
        text: The file as read.
        digest: Hash of the experiment: comments, white space, the order of keys and what runs ask of a cluster
            do not change it.
        runs: In the order model, k, η, further axes, seed; values in file order.
    """

    name: str
    text: str
    digest: str
    runs: tuple[Run, ...]

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
    """Read a grid file and expand it.

    Args:
        path: The grid file.
        allow_huge: Whether to expand a grid of more than `MAX_RUNS` runs.
        profile: The site's profile, whose ``resources:`` hold where the grid file says nothing.

    Raises:
        GridError: The file or the profile has mistakes; all of them are listed, by line.
    """
    file = read_grid_file(path)
    if "search" in file.content:
        file.mistake(("search",), f"makes this a search file; give it to: stalesweep search {path}")
        file.raise_mistakes()
    return expand(file, allow_huge=allow_huge, profile=profile)


def expand(file: GridFile, *, allow_huge: bool = False, profile: Path | None = None) -> Sweep:
    """Check a file that was read, and expand it, see `load_sweep`."""
    site = _profile(profile) if profile else {}
    file.refuse_unknown((), file.content, ("name", "grid", "fixed", "models", "exclude", "resources"))
    name = check(file, ("name",), Names.model_fields["sweep"], file.content.get("name", file.path.stem))
    axes = _axes(file, allow_huge=allow_huge)
    fixed = _fixed(file)
    models = _models(file, axes.get("model", []), site)
    excluded = _excluded(file, axes)
    file.raise_mistakes()
    runs = tuple(_runs(file, axes, fixed, models, excluded))
    if not runs and not file.wrong:
        file.mistake(("exclude",), "leaves no run at all")
    file.raise_mistakes()
    return Sweep(name, file.text, _digest(name, file.content), runs)


def _digest(name: str, content: dict[str, Any]) -> str:
    # A time limit may be raised between two launches without making another experiment of the sweep.
    models = {model: {**entry, "resources": None} for model, entry in (content.get("models") or {}).items()}
    return content_digest({**content, "name": name, "models": models, "resources": None})


def _axes(file: GridFile, *, allow_huge: bool) -> dict[str, list[Any]]:
    grid = file.mapping(("grid",), file.content.get("grid"))
    if not grid:
        if ("grid",) not in file.wrong:
            axes = ", ".join(REQUIRED_AXES)
            file.mistake(("grid",), f"is missing or empty; it holds the axes {axes}, each with a list")
        return {}
    for name, example in REQUIRED_AXES.items():
        if name not in grid:
            file.mistake(("grid", name), f"this axis is missing; give it a list, e.g. {name}: {example}")
    spreads = {name: read_spread(file, ("grid", name), spec) for name, spec in grid.items()}
    size = math.prod(spread.size for spread in spreads.values())
    if size > MAX_RUNS and not allow_huge:
        allowed = f"up to {MAX_RUNS:,}, or more with --allow-huge"
        file.mistake(("grid",), f"too many runs (found {size:,}; allowed: {allowed})")
    return {
        name: _axis(file, name, spread if allow_huge or spread.size <= MAX_RUNS else Spread(0, ()))
        for name, spread in spreads.items()
    }


def _axis(file: GridFile, name: str, spread: Spread) -> list[Any]:
    """Check the values of one axis, each against its field and against those before it."""
    place: KeyPath = ("grid", name)
    field = field_of(file, place, name)
    if field is None:
        return []
    first: dict[tuple[bool, Any], int] = {}
    values: list[Any] = []
    for index, written in enumerate(spread.values):
        at = (*place, index) if spread.has_lines else place
        value = check(file, at, field, written)
        values.append(value)
        if isinstance(value, list | dict):
            if at not in file.wrong:
                file.mistake(at, f"a mapping has no place in tables; write it under 'fixed:' (found {show(value)})")
            continue
        earlier = first.setdefault((isinstance(value, bool), value), index)
        if earlier != index:
            again = dotted((*place, earlier))
            file.mistake(at, f"stands in the axis twice (found {show(written)}, first as {again})")
        if at == place and place in file.wrong:
            break  # values of a logspace or range share a line and, mostly, what is wrong with them
    return values


def _fixed(file: GridFile) -> dict[str, Any]:
    """Read the fixed worker fields by dotted path; nested and dotted spellings may be mixed."""
    grid = file.mapping(("grid",), file.content.get("grid"))
    fixed: dict[str, Any] = {}
    places: dict[str, KeyPath] = {}
    for name, place, value in _flat(("fixed",), file.mapping(("fixed",), file.content.get("fixed"))):
        if name in REQUIRED_AXES:
            file.mistake(place, f"is an axis; write it under 'grid:', e.g. {name}: [{show(value)}]")
        elif name in grid:
            file.mistake(place, f"is an axis too, in line {file.lines['grid', name]}; keep one of the two")
        elif name in places:
            file.mistake(place, f"is fixed already, in line {file.lines[places[name]]}; keep one of the two")
        elif isinstance(value, list):
            file.mistake(place, f"has one value; write an axis under 'grid:' (found {show(value)})")
        elif field := field_of(file, place, name):
            fixed[name] = check(file, place, field, value)
            places[name] = place
    return fixed


def _flat(place: KeyPath, content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, KeyPath, Any]]:
    for key, value in content.items():
        if not prefix and key in {*SECTIONS, "model"} and isinstance(value, dict):
            yield from _flat((*place, key), value, f"{key}.")
        else:
            yield prefix + key, (*place, key), value


@dataclass(frozen=True, slots=True)
class _Model:
    """The checked settings of a ``models:`` entry, its resources over the common ones."""

    config: dict[str, Any]
    resources: dict[str, Any]


def _profile(path: Path) -> dict[str, Any]:
    """Read the resources of a site's profile."""
    file = read_grid_file(path)
    file.refuse_unknown((), file.content, ("resources",))
    found = check_resources(file, ("resources",), file.content.get("resources"))
    file.raise_mistakes()
    return found


def _models(file: GridFile, used: list[Any], site: dict[str, Any]) -> dict[str, _Model]:
    common = _over(site, check_resources(file, ("resources",), file.content.get("resources")))
    entries = {"tiny": None, **file.mapping(("models",), file.content.get("models"))}
    for index, name in enumerate(used):
        if isinstance(name, str) and name not in entries and ("grid", "model", index) not in file.wrong:
            hint = f"{suggest(name, entries)}add '{name}: {{path: FOLDER_OR_HUB_ID}}' there"
            what = f"has no entry under 'models:' (found {show(name)}; {hint})"
            file.mistake(("grid", "model", index), what)
    models: dict[str, _Model] = {}
    for name, written in entries.items():
        place: KeyPath = ("models", name)
        check(file, place, Names.model_fields["model"], name)
        required = () if name == "tiny" else ("path",)
        settings = check_section(file, place, MODEL_FIELDS, file.mapping(place, written), required=required)
        place = (*place, "resources")
        own = check_resources(file, place, settings.pop("resources", None))
        models[name] = _Model({**settings, "name": name}, _over(common, own))
    return models


def _over(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Lay resources over those of a wider scope; what they say under ``slurm`` and ``retries`` is added to theirs."""
    found = common | own
    for name in ("slurm", "retries"):
        options = [resources[name] for resources in (common, own) if isinstance(resources.get(name), dict)]
        found[name] = {key: value for some in options for key, value in some.items()}
    return found


def _excluded(file: GridFile, axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Read the partial points to leave out. Each value must stand in its axis, so every point matches."""
    points = file.content.get("exclude")
    if points is not None and not isinstance(points, list):
        file.mistake(("exclude",), f"must be a list, as in [{{k: 32, eta: 2e-3}}] (found {show(points)})")
        return []
    excluded = []
    for index, written in enumerate(points or []):
        place: KeyPath = ("exclude", index)
        point = file.mapping(place, written)
        if not point:
            file.mistake(place, f"names no axis, so it would exclude every run (found {show(written)})")
        file.refuse_unknown(place, point, axes)
        for name in point.keys() & axes.keys():
            if axes[name] and point[name] not in axes[name]:
                few = ", ".join(show(value) for value in axes[name][:20])
                file.mistake((*place, name), f"matches nothing (found {show(point[name])}; allowed: {few})")
        excluded.append(point)
    return excluded


def _runs(
    file: GridFile,
    axes: dict[str, list[Any]],
    fixed: dict[str, Any],
    models: dict[str, _Model],
    excluded: list[dict[str, Any]],
) -> Iterator[Run]:
    """Expand the checked file. A mistake that only a combination of fields can make is noted once."""
    further = [name for name in axes if name not in REQUIRED_AXES]
    names = ["model", "k", "eta", *further, "seed"]
    configs = {name: ModelConfig(**models[name].config) for name in axes["model"]}
    resources = {name: Resources(**models[name].resources) for name in axes["model"]}
    noted: set[str] = set()
    for values in itertools.product(*(axes[name] for name in names)):
        point = dict(zip(names, values, strict=True))
        if any(all(point[name] == value for name, value in partial.items()) for partial in excluded):
            continue
        cell = Cell(point["model"], point["k"], point["eta"], tuple((name, point[name]) for name in further))
        content = _nested(fixed | point) | {"model": configs[cell.model]}
        try:
            config = WorkerConfig.model_validate(content, strict=True)
        except ValidationError as error:
            for what in {problem["msg"] for problem in error.errors()} - noted:
                noted.add(what)
                file.mistake(("grid",), f"{what} (found first in {_describe(cell)})")
            continue
        yield Run(cell, point["seed"], config, resources[cell.model])


def _nested(fields: dict[str, Any]) -> dict[str, Any]:
    """Fold dotted paths into sections: ``{"task.name": x}`` → ``{"task": {"name": x}}``."""
    nested: dict[str, Any] = {}
    for path, value in fields.items():
        section, _, name = path.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return nested


def _describe(cell: Cell) -> str:
    axes = (("model", cell.model), ("k", cell.k), ("eta", cell.eta), *cell.axes)
    return "the cell " + ", ".join(f"{name} = {show(value)}" for name, value in axes)
