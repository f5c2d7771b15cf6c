"""A stand-in for Slurm's commands that only counts and answers: no test cluster takes 10,000 jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_SBATCH = """#!/bin/sh
here=$(dirname "$0")
for file; do :; done
name=$(sed -n 's/^#SBATCH --job-name=//p' "$file")
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$file")
id=$((1001 + $(cat "$here/submitted" 2>/dev/null | wc -l)))
echo "$id|$name|$((last + 1))" >> "$here/submitted"
echo "Submitted batch job $id"
"""

_SQUEUE = """#!/bin/sh
here=$(dirname "$0")
for word; do case $word in --name=*) names=${word#--name=};; --format=*) format=${word#--format=};; esac; done
touch "$here/submitted"
awk -F'|' -v names="$names" -v format="$format" '
    BEGIN { count = split(names, list, ","); for (i = 1; i <= count; i++) wanted[list[i]] = 1 }
    names == "" || ($2 in wanted) {
        for (i = 0; i < $3; i++) print format == "%i" ? $1 "_" i : $1 "|" i "|" $2 "|PENDING||Priority"
    }' "$here/submitted"
"""

_SCANCEL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/cancelled"
"""

_SCONTROL = """#!/bin/sh
echo 'AccountingStorageEnforce = none'
echo 'MaxArraySize            = 1001'
echo 'MaxJobCount             = 100000'
"""


@dataclass(frozen=True)
class StandIn:
    """Commands in a folder, which is to come first on PATH.

    Attributes:
        folder: Theirs alone.
    """

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> StandIn:
        """Write the commands."""
        folder.mkdir(parents=True)
        scripts = {
            "sbatch": _SBATCH,
            "squeue": _SQUEUE,
            "scancel": _SCANCEL,
            "scontrol": _SCONTROL,
            "sinfo": "#!/bin/sh\necho 'main*'\n",
        }
        for name, script in {**scripts, "sacct": "#!/bin/sh\n"}.items():
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)
        return cls(folder)

    @property
    def submitted(self) -> list[tuple[str, str, int]]:
        """The arrays that were submitted: job id, name, tasks."""
        path = self.folder / "submitted"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(job_id, name, int(tasks)) for job_id, name, tasks in (line.split("|") for line in lines)]
