"""All that is known of one run, from the database and from its run directory."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.rundir import journal
from orchestrator.store import details
from orchestrator.store.database import Store

_RUN = (
    "sweep", "source", "model", "k", "eta", "axes", "seed", "state", "failure", "failure_class", "horizon",
    "learner_steps", "sync", "reward", "val_reward", "collapse_step", "collapse_step_lo", "collapse_sync",
    "collapse_detector",
)  # fmt: skip
_CODE = ("code_version", "git_commit", "config_digest", "config", "resources")
_ATTEMPT = (
    "number", "executor", "job_id", "task_id", "restart_count", "host", "pid", "started_at", "ready_at", "ended_at",
    "duration_s", "heartbeat_at", "heartbeat_age_s", "outcome", "failure", "failure_class", "node",
    "resumed_from_sync", "resumed_from_step",
    "code_version", "git_commit", "git_dirty", "versions", "device", "threads", "parameters", "setup_s", "syncs",
    "evaluations",
)  # fmt: skip


def run_details(store: Store, run_id: int) -> dict[str, Any]:
    """Gather all that is known of a run.

    Raises:
        SelectionError: There is no such run.
    """
    with store.read() as connection:
        run = details.run(connection, run_id)
        attempts = details.attempts(connection, run_id)
    directory = None if run["directory"] is None else Path(run["directory"])
    there = sorted(directory.iterdir()) if directory and directory.is_dir() else []
    files = {path.name: path.stat().st_size for path in there if path.is_file()}
    return {
        "run": run["id"],
        **{name: run[name] for name in _RUN},
        "wall_s": sum(attempt["duration_s"] for attempt in attempts),
        "updated_at": run["updated_at"],
        **{name: run[name] for name in _CODE},
        "imported": json.loads(run["grid_text"]) if run["source"] == "import" else None,
        "directory": {
            "path": run["directory"],
            "exists": directory is not None and directory.is_dir(),
            "bytes": sum(files.values()),
            "files": files,
        },
        "attempts": [_attempt(attempt, directory, files) for attempt in attempts],
    }


def as_json(value: Any) -> Any:
    """Convert details into JSON's types: times as ISO 8601 in UTC, numbers that are not finite as text."""
    match value:
        case dict():
            return {key: as_json(one) for key, one in value.items()}
        case list():
            return [as_json(one) for one in value]
        case datetime():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else str(value)
    return value


def _attempt(attempt: dict[str, Any], directory: Path | None, files: dict[str, int]) -> dict[str, Any]:
    path = journal.path_of(directory or Path(), attempt["number"])
    diff = path.with_suffix(".diff")
    return {
        **{name: attempt[name] for name in _ATTEMPT},
        "diff": str(diff) if diff.name in files else None,
        "journal": {"bytes": files.get(path.name), "stored_bytes": attempt["journal_bytes"]},
    }
