"""Read a search file: a grid file whose runs may be made, and a section that says what is wanted of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from grpo_worker.config import PositiveInt, Section
from orchestrator.grid import Sweep, expand
from orchestrator.gridfields import check_section
from orchestrator.gridfile import read_grid_file


class SearchConfig(Section):
    """What a search wants, and what it may cost."""

    learner_steps: PositiveInt = Field(description="the budget: learner steps of all runs together")
    factor: float = Field(
        default=1.5,
        gt=1.0,
        allow_inf_nan=False,
        description="wanted: eta_max at every k known within this factor either way",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="of the interval of eta_max")
    parallel: PositiveInt = Field(default=2, description="runs at once; the next are chosen when these have ended")


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
    file = read_grid_file(path)
    place = ("search",)
    written: dict[str, Any] = file.mapping(place, file.content.pop("search", None))
    settings = check_section(file, place, SearchConfig.model_fields, written)
    sweep = expand(file, profile=profile)
    return sweep, SearchConfig(**settings)
