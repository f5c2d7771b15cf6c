"""Read a search file: a grid file of the runs that may be made, with a section ``search:`` that says what is wanted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictBool

from grpo_worker.schema.config import Count, PositiveFloat, PositiveInt, Section
from orchestrator.grid.mistakes import checked
from orchestrator.grid.sweep import Sweep, expand
from orchestrator.grid.yaml_file import GridFile, read_grid_file
from orchestrator.search.beliefs import Goal

Factor = Annotated[float, Field(ge=1.1, allow_inf_nan=False)]

DEFAULT_FACTOR = 1.5
CONFIRMED_BY = "collapse.stop_after_evals"
"""The worker field that `EarlyStops.confirmed` sets."""


class Target(Section):
    """How well the boundary is to be known; by default, eta_max within a factor of 1.5."""

    eta_max: Factor | None = Field(default=None, description="eta_max at every k within this factor either way")
    exponent: Annotated[float, Field(ge=0.05, allow_inf_nan=False)] | None = Field(
        default=None, description="half-width of the interval of the exponent a of eta_max = C*k^-a"
    )
    constant: Factor | None = Field(default=None, description="the constant C within this factor either way")

    def goals(self, ks: list[int]) -> list[Goal]:
        """The goals for a group of runs at these k."""
        found = [Goal("exponent", self.exponent)] if self.exponent else []
        found += [Goal("constant", math.log(self.constant))] if self.constant else []
        factor = self.eta_max or (None if found else DEFAULT_FACTOR)
        return found + ([Goal("eta_max", math.log(factor), k) for k in ks] if factor else [])


class EarlyStops(Section):
    """Which runs end before their horizon."""

    confirmed: Count = Field(default=3, description="a run ends when so many validations confirm its collapse; 0 = no")
    decided: StrictBool = Field(default=True, description="a run ends when its result can change no answer any more")


class SearchConfig(Section):
    """What a search is to find out, and what it may cost."""

    target: Target = Target()
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(default=0.95, description="of the intervals")
    learner_steps: PositiveInt | None = Field(default=None, description="the budget: learner steps of all runs")
    gpu_hours: PositiveFloat | None = Field(default=None, description="the budget: GPU-hours of all runs")
    parallel: PositiveInt = Field(default=2, description="runs at once")
    early_stops: EarlyStops = EarlyStops()

    def is_spent(self, learner_steps: float, gpu_hours: float, times: int = 1) -> bool:
        """Whether so much training spends the budget so many times."""
        limits = (self.learner_steps, learner_steps), (self.gpu_hours, gpu_hours)
        return any(limit is not None and used >= times * limit for limit, used in limits)


def load_search(path: Path, *, profile: Path | None = None) -> tuple[Sweep, SearchConfig]:
    """Read a search file: the sweep of all runs that may be made, and what is wanted.

    Raises:
        GridError: The file or the site's profile has mistakes; all of them are listed, by line.
    """
    return _search_of(read_grid_file(path), profile)


def load_either(path: Path, *, profile: Path | None = None) -> tuple[Sweep, SearchConfig | None]:
    """As `load_search`; a plain grid file is read too, and gives None for what is wanted."""
    file = read_grid_file(path)
    return _search_of(file, profile) if "search" in file.content else (expand(file, profile=profile), None)


def _search_of(file: GridFile, profile: Path | None) -> tuple[Sweep, SearchConfig]:
    written = file.content.pop("search", None) or {}
    if isinstance(written, dict) and not {"learner_steps", "gpu_hours"} & written.keys():
        what = "is missing; give a budget as learner_steps, as gpu_hours, or as both"
        file.mistake(("search", "learner_steps"), what)
    found: SearchConfig | None = checked(file, ("search",), SearchConfig, written)
    wanted = found or SearchConfig()  # what is wrong in the section is noted
    confirmed = wanted.early_stops.confirmed
    sweep = expand(file, profile=profile, defaults={CONFIRMED_BY: confirmed})
    if wanted.learner_steps is None and not any(run.resources.gpus for run in sweep.runs):
        file.mistake(("search", "gpu_hours"), "no run of this file asks for a GPU; give a budget in learner_steps")
    is_set = "confirmed" in wanted.early_stops.model_fields_set
    if is_set and any(run.config.collapse.stop_after_evals != confirmed for run in sweep.runs):
        file.mistake(("search", "early_stops", "confirmed"), f"is set by {CONFIRMED_BY} too; keep one of the two")
    file.raise_mistakes()
    return sweep, wanted
