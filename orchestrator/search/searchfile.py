"""Read a search file: a grid file whose runs may be made, and a section that says what is wanted of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictBool

from grpo_worker.schema.config import Count, PositiveFloat, PositiveInt, Section
from orchestrator.grid.checking import checked
from orchestrator.grid.sweep import Sweep, expand
from orchestrator.grid.yaml_file import GridFile, read_grid_file
from orchestrator.search.design import Goal

Factor = Annotated[float, Field(ge=1.1, allow_inf_nan=False)]

DEFAULT_FACTOR = 1.5
CONFIRMED_BY = "collapse.stop_after_evals"
"""The worker field that `EarlyStops.confirmed` sets."""


class Target(Section):
    """How well the boundary is to be known; where nothing is said, eta_max within a factor of 1.5."""

    eta_max: Factor | None = Field(default=None, description="eta_max at every k within this factor either way")
    exponent: Annotated[float, Field(ge=0.05, allow_inf_nan=False)] | None = Field(
        default=None, description="the exponent a of eta_max = C*k^-a to so much either way"
    )
    constant: Factor | None = Field(default=None, description="the constant C within this factor either way")

    def goals(self, ks: list[int]) -> list[Goal]:
        """What is wanted of a group of runs at these k."""
        found = [Goal("exponent", self.exponent)] if self.exponent else []
        found += [Goal("constant", math.log(self.constant))] if self.constant else []
        factor = self.eta_max or (None if found else DEFAULT_FACTOR)
        return found + ([Goal("eta_max", math.log(factor), k) for k in ks] if factor else [])


class EarlyStops(Section):
    """Which runs end before their horizon."""

    confirmed: Count = Field(default=3, description="a collapse that so many observations confirm ends its run; 0 = no")
    predicted: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.05,
        description="a predicted collapse ends a run; of runs that would not collapse, such a share; 0 = no",
    )
    decided: StrictBool = Field(default=True, description="a run ends when its result can change nothing any more")


class SearchConfig(Section):
    """What a search wants, and what it may cost."""

    target: Target = Target()
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(default=0.95, description="of the intervals")
    learner_steps: PositiveInt | None = Field(default=None, description="the budget: learner steps of all runs")
    gpu_hours: PositiveFloat | None = Field(default=None, description="the budget: GPU-hours of all runs")
    parallel: PositiveInt = Field(default=2, description="runs at once")
    early_stops: EarlyStops = EarlyStops()


def load_search(path: Path, *, profile: Path | None = None) -> tuple[Sweep, SearchConfig]:
    """Read a search file.

    Args:
        path: The file: as a grid file, and a section ``search:``.
        profile: The site's profile, as for a grid file.

    Returns:
        The sweep of all runs that may be made, and what is wanted.

    Raises:
        GridError: The file or the profile has mistakes; all of them are listed, by line.
    """
    return _search_of(read_grid_file(path), profile)


def load_either(path: Path, *, profile: Path | None = None) -> tuple[Sweep, SearchConfig | None]:
    """As `load_search`, or a grid file, in which nothing is wanted."""
    file = read_grid_file(path)
    return _search_of(file, profile) if "search" in file.content else (expand(file, profile=profile), None)


def _search_of(file: GridFile, profile: Path | None) -> tuple[Sweep, SearchConfig]:
    wanted = _wanted(file, file.content.pop("search", None))
    _confirm(file, wanted)
    sweep = expand(file, profile=profile)
    if wanted.learner_steps is None and not any(run.resources.gpus for run in sweep.runs):
        file.mistake(("search", "gpu_hours"), "no run of this file asks for a GPU; give a budget in learner_steps")
        file.raise_mistakes()
    return sweep, wanted


def _wanted(file: GridFile, written: object) -> SearchConfig:
    """Check the section; a wrong one is noted, and left as it would be by itself."""
    wanted: SearchConfig | None = checked(file, ("search",), SearchConfig, written or {})
    if isinstance(written, dict | None) and not {"learner_steps", "gpu_hours"} & (written or {}).keys():
        place = ("search", "learner_steps")
        file.mistake(place, "is missing; give a budget as learner_steps, as gpu_hours, or as both")
    return wanted or SearchConfig()


def _confirm(file: GridFile, wanted: SearchConfig) -> None:
    """Let a confirmed collapse end its run, unless the file says of itself when."""
    fixed, grid = (file.content.get(name) for name in ("fixed", "grid"))
    if fixed is not None and not isinstance(fixed, dict):
        return  # a mistake that is told elsewhere
    section, _, name = CONFIRMED_BY.partition(".")
    nested = (fixed or {}).get(section)
    said = CONFIRMED_BY in (fixed or {}) or (isinstance(nested, dict) and name in nested)
    said = said or (isinstance(grid, dict) and CONFIRMED_BY in grid)
    if not said:
        file.content["fixed"] = {**(fixed or {}), CONFIRMED_BY: wanted.early_stops.confirmed}
    elif "confirmed" in wanted.early_stops.model_fields_set:
        file.mistake(("search", "early_stops", "confirmed"), f"is set by {CONFIRMED_BY} too; keep one of the two")
