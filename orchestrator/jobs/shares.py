"""``shares.json``: which runs the jobs of a folder train. It is written before the jobs are submitted.

Tasks of Slurm arrays read their runs from it. `orchestrator.runs.cleaning` reads when a folder can be deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.base.files import write_whole

SHARES = "shares.json"


def write(folder: Path, shares: Iterable[Iterable[Path]], **more: Any) -> None:
    """Write the shares of a folder's jobs, which may be written anew when runs are added.

    Args:
        folder: The folder; created if it is not there.
        shares: The run directories of each job, or of jobs that take runs from one list.
        more: What the jobs need beside, as JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lists = [[str(directory) for directory in share] for share in shares]
    write_whole(folder / SHARES, json.dumps({**more, "shares": lists}))


def read(folder: Path) -> dict[str, Any]:
    """Read what `write` has written; ``shares`` are lists of paths as text.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    content: dict[str, Any] = json.loads((folder / SHARES).read_text(encoding="utf-8"))
    return content
