"""Run directories: one folder a run, which says whose it is and holds what must survive the database.

run-000007/
    run.json               the run, its sweep and its config: a job reads them here
    attempt-0001.journal   what attempt 1 has recorded (`orchestrator.rundir.journal`)
    attempt-0001.diff      how its code differed from the commit, if it did
    attempt-0001.log       what attempt 1 has logged, for people
    checkpoint-00000640.pt

A run that was removed begins anew in ``run-000007-after-3``, where 3 is its fence: older attempts do not know it.
``run-000007.removed`` is on its way out.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from grpo_worker.schema.config import WorkerConfig
from orchestrator.base.errors import UsageError
from orchestrator.base.files import write_whole

_DIRECTORY = re.compile(r"run-(\d{6,})(?:-after-(\d+))?(\.removed)?")
REMOVED = ".removed"
"""What the name of a folder ends with that is on its way out."""

FORMER_LOG = "log.txt"
"""The log of all attempts of a run that an older version has trained."""


@dataclass(frozen=True, slots=True)
class RunFile:
    """What ``run.json`` says.

    Attributes:
        config: The worker's config, as JSON.
        fence: Attempts up to this number were over when the run was last submitted.
        folder_id: The folder's own, which the database knows too; None in one that an older version made.
    """

    run_id: int
    sweep: str
    config_digest: str
    config: dict[str, Any]
    fence: int
    folder_id: str | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """What distinguishes the run from those of any database."""
        return self.sweep, self.config_digest

    def worker_config(self) -> WorkerConfig:
        """Validate the config.

        Raises:
            UsageError: It does not fit this version's fields.
        """
        try:
            return WorkerConfig.model_validate(self.config)
        except ValidationError as error:
            raise UsageError(f"run {self.run_id} has a config that this version cannot use: {error}") from error


def log_of(directory: Path, attempt: int) -> Path:
    """Where an attempt of a run logs."""
    return directory / f"attempt-{attempt:04d}.log"


def logs(directory: Path) -> list[Path]:
    """List the logs in a run directory, oldest first."""
    former = directory / FORMER_LOG
    return [*([former] if former.exists() else []), *sorted(directory.glob("attempt-*.log"))]


def name_of(run_id: int, after: int = 0) -> str:
    """How the directory of a run is called, after a removal with its fence at that time."""
    return f"run-{run_id:06d}" + (f"-after-{after}" if after else "")


def all_in(folder: Path) -> dict[int, list[Path]]:
    """Find the run directories in a folder by the run's number, those that are on their way out included."""
    found: dict[int, list[Path]] = {}
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            if match := _DIRECTORY.fullmatch(path.name):
                found.setdefault(int(match[1]), []).append(path)
    return found


def life(directory: Path) -> int:
    """The fence that a run directory began after: 0 before any removal, −1 for one that is on its way out."""
    match = _DIRECTORY.fullmatch(directory.name)
    return -1 if match is None or match[3] else int(match[2] or 0)


def belongs_to(directory: Path, sweep: str, config_digest: str) -> bool:
    """Whether a directory is that of a run; one that is on its way out is nobody's any more."""
    try:
        return directory.suffix == REMOVED or load(directory).identity == (sweep, config_digest)
    except UsageError:
        return False


def discard(directory: Path) -> None:
    """Remove a run directory: by its name at once, then file by file.

    Raises:
        OSError: It cannot be removed.
    """
    aside = directory
    if directory.suffix != REMOVED:
        aside = directory.with_name(directory.name + REMOVED)
        _remove_tree(aside)
        directory.rename(aside)
    _remove_tree(aside)


def size(directory: Path) -> int:
    """Bytes of the files in a directory; 0 where there is none."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            total += size(Path(entry.path)) if is_folder else entry.stat(follow_symlinks=False).st_size
    return total


def prepare(directory: Path, run: RunFile) -> str:
    """Create a run's directory, or refresh its ``run.json``; returns the folder's id, which stays the same.

    Raises:
        UsageError: It holds another run, or cannot be written.
    """
    path = directory / "run.json"
    found = load(directory) if path.exists() else run
    if found.identity != run.identity:
        raise UsageError(
            f"{directory} holds a run of sweep {found.sweep!r} from another database: remove the folder, or "
            "set STALESWEEP_RUNS to another one"
        )
    run = replace(run, folder_id=found.folder_id or uuid.uuid4().hex)
    names = {"run": "run_id", **{name: name for name in ("folder_id", "sweep", "config_digest", "fence", "config")}}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # A line a key; json's own indentation takes ten times as long.
        lines = ",\n".join(f' "{key}": {json.dumps(getattr(run, name))}' for key, name in names.items())
        write_whole(path, f"{{\n{lines}\n}}\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    return str(run.folder_id)


def load(directory: Path) -> RunFile:
    """Read a run directory's ``run.json``.

    Raises:
        UsageError: It is missing or damaged.
    """
    path = directory / "run.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        run_id, folder_id = found["run"], found.get("folder_id")
        return RunFile(run_id, found["sweep"], found["config_digest"], found["config"], found["fence"], folder_id)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged; `stalesweep launch` writes it anew when it is removed") from error


def _remove_tree(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # two may remove it at once
        shutil.rmtree(path)
