"""Runs → Slurm job arrays, through submitit."""

from __future__ import annotations

import itertools
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit

from orchestrator import grid
from orchestrator.db.store import Store
from orchestrator.errors import UsageError
from orchestrator.job import job_spec, run_share
from orchestrator.settings import runs_dir
from orchestrator.urls import handed_over

TIMEOUT_S = 20.0


def submit(store: Store, sweep_id: int, sweep_name: str, directories: Mapping[int, Path]) -> list[str]:
    """Submit one array task a run, in arrays of equal resources within the cluster's MaxArraySize.

    Args:
        store: The results database.
        sweep_id: The sweep.
        sweep_name: Its name, which squeue shows.
        directories: What to train: the run directories by run number.

    Returns:
        The ids of the arrays.

    Raises:
        UsageError: Slurm refused; what it had not taken is pending again.
    """
    folder = runs_dir().absolute() / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    needs = store.run_resources(sweep_id)
    array_ids = []
    for resources, chunk in _chunks([(run_id, needs[run_id]) for run_id in directories]):
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
        executor.update_parameters(name=f"stalesweep-{sweep_name}", **parameters(resources))
        store.set_queued(chunk)  # before the jobs exist, so that one that starts at once is not set back
        try:
            with handed_over(store.url) as database:
                specs = [job_spec(database, [directories[run_id]], "slurm") for run_id in chunk]
                jobs = executor.map_array(run_share, specs)
        except (submitit.core.utils.FailedJobError, subprocess.SubprocessError, OSError) as error:
            store.set_pending(chunk)
            raise UsageError(f"Slurm refused the submission: {str(error).strip().splitlines()[-1]}") from error
        array_ids.append(jobs[0].job_id.split("_")[0])
    return array_ids


def planned_arrays(sweep: grid.Sweep) -> list[str]:
    """A line for each array that a launch of the whole sweep would submit."""
    return [
        f"Array of {len(chunk)} tasks: {', '.join(f'{k} = {v}' for k, v in parameters(resources).items() if v)}"
        for resources, chunk in _chunks([(index, run.resources) for index, run in enumerate(sweep.runs)])
    ]


def _chunks(runs: Sequence[tuple[int, grid.Resources]]) -> Iterator[tuple[grid.Resources, list[int]]]:
    """Runs of equal resources, at most as many at a time as one array may hold."""
    size = max_array_size()
    for _, group in itertools.groupby(sorted(runs, key=_resources_key), key=_resources_key):
        members = list(group)
        for start in range(0, len(members), size):
            yield members[0][1], [run_id for run_id, _ in members[start : start + size]]


def parameters(resources: grid.Resources) -> dict[str, Any]:
    """Resources in submitit's spelling; what is not set is left to the cluster."""
    additional: dict[str, Any] = {name: getattr(resources, name) for name in ("account", "qos", "gres", "constraint")}
    wanted = {
        "timeout_min": resources.time_min,
        "cpus_per_task": resources.cpus,
        "mem_gb": resources.mem_gb,
        "gpus_per_node": resources.gpus or None,
        "slurm_partition": resources.partition,
        "slurm_array_parallelism": resources.array_parallelism,
        "slurm_additional_parameters": {
            **{name: value for name, value in additional.items() if value is not None},
            **resources.slurm,
        },
    }
    return {name: value for name, value in wanted.items() if value is not None}


def max_array_size() -> int:
    """Most tasks of one array on this cluster: MaxArraySize is the first index that is too large."""
    config = subprocess.run(
        ["scontrol", "show", "config"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    ).stdout
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    return max(1, int(found.group(1)) - 1) if found else 1000


def answers() -> bool:
    """Whether there is a Slurm here, and its controller answers."""
    if shutil.which("sbatch") is None:
        return False
    try:
        ping = subprocess.run(["sinfo", "-h", "-o", "%P"], capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ping.returncode == 0


def _resources_key(run: tuple[int, grid.Resources]) -> str:
    return run[1].model_dump_json()
