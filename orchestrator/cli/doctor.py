"""``doctor``: checks this machine, and with ``--cluster`` a compute node."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.base.errors import UsageError
from orchestrator.base.settings import database_url
from orchestrator.cli.options import Database
from orchestrator.cli.output import emit, say

if TYPE_CHECKING:
    from orchestrator.grid.sweep import Resources
    from orchestrator.jobs.doctor import Finding


def doctor(
    cluster: Annotated[bool, typer.Option("--cluster", help="Submit a job that checks a compute node too.")] = False,
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Submit the job with the resources of this grid's runs.")
    ] = None,
    partition: Annotated[str | None, typer.Option(metavar="P", help="The job's partition.")] = None,
    account: Annotated[str | None, typer.Option(metavar="A", help="The account to charge.")] = None,
    gpus: Annotated[int, typer.Option(metavar="N", min=0, help="GPUs that the job asks for.")] = 0,
    timeout: Annotated[float, typer.Option(metavar="S", min=1, help="Seconds to wait for the job's answer.")] = 120,
    db: Database = None,
) -> None:
    """Check packages, database, folders, Slurm and torch on this machine; with --cluster also on a compute node."""
    from orchestrator.jobs.doctor import examine

    if not cluster and (grid or partition or account or gpus):
        raise UsageError("--grid, --partition, --account and --gpus say what the job of --cluster asks for")
    if grid and (partition or account or gpus):
        raise UsageError("--grid says what the job asks for: leave out --partition, --account and --gpus")
    asked = _resources(grid, partition, account, gpus) if cluster else []
    bad = _show(examine(db))
    for resources in asked:
        bad |= _examine_cluster(db, resources, timeout)
    if bad:
        raise typer.Exit(2)


def _resources(grid: Path | None, partition: str | None, account: str | None, gpus: int) -> list[Resources]:
    from orchestrator.grid.sweep import Resources, load_sweep

    if grid is None:
        return [Resources(partition=partition, account=account, gpus=gpus)]
    return list({run.resources.model_dump_json(): run.resources for run in load_sweep(grid).runs}.values())


def _examine_cluster(db: str | None, resources: Resources, timeout_s: float) -> bool:
    from orchestrator.jobs.doctor_cluster import examine
    from orchestrator.jobs.slurm import client

    if not client.is_here():
        raise UsageError("--cluster: sbatch is not on this machine, or SLURM_CONF names no cluster")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the job is cancelled then too
    with closing(examine(database_url(db), resources, timeout_s, say)) as findings:
        return _show(findings)


def _show(findings: Iterable[Finding]) -> bool:
    """Print findings as they come; returns whether one is bad."""
    bad = False
    for finding in findings:
        mark = {True: "ok", False: "BAD", None: "-"}[finding.good]
        emit(f"{mark:>3}  {finding.name:16} {finding.detail}")
        bad |= finding.good is False
    return bad
