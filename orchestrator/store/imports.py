"""What marks an imported sweep, and the config of an imported run, in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.base.errors import UsageError

SOURCE = "import"
"""What `orchestrator.store.models.Sweep.source` says of an import."""


def refuse_imported(run_id: int, config: Mapping[str, Any]) -> None:
    """Make sure that a stored config is a worker's.

    Raises:
        UsageError: It describes an imported run.
    """
    if config.get("source") == SOURCE:
        raise UsageError(
            f"run {run_id} was imported, so there is no config to train it by; launch a grid with its axes "
            "under another name"
        )
