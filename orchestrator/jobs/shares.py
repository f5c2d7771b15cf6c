"""``shares.json``: which runs the jobs of a folder train. It is written before the jobs are submitted.

Tasks of Slurm arrays read their runs from it. `orchestrator.runs.removal` reads when a folder can be deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orchestrator.attempt.job import JobSpec
from orchestrator.base.files import write_whole

SHARES = "shares.json"
_SPEC = TypeAdapter(JobSpec)


def write(folder: Path, shares: Iterable[Iterable[Path]], spec: JobSpec | None = None, **more: Any) -> None:
    """Write the run directories of each job, or of jobs that take runs from one list; anew when runs are added.

    ``spec`` is what all jobs have in common, for those that read it here, and ``more`` what they need beside, as JSON.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # others may not change what is executed
    lists = [[str(directory) for directory in share] for share in shares]
    common = _SPEC.dump_python(spec, mode="json") if spec else {}
    write_whole(folder / SHARES, json.dumps({**common, **more, "shares": lists}))


def read(folder: Path) -> dict[str, Any]:
    """Read what `write` has written; ``shares`` are lists of paths as text.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    content: dict[str, Any] = json.loads((folder / SHARES).read_text(encoding="utf-8"))
    return content


def spec_of(content: dict[str, Any], job: int) -> JobSpec:
    """What one of the jobs needs."""
    return _SPEC.validate_python({**content, "directories": content["shares"][job]})
