"""``stalesweep doctor``: check what this machine offers."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from orchestrator.base.errors import NoAccounting, SlurmUnavailable, UsageError
from orchestrator.base.settings import cache_dir, code_version, database_url, runs_dir
from orchestrator.base.urls import harmless_environment, parse
from orchestrator.jobs.slurm import client, limits
from orchestrator.store import schema
from orchestrator.store.filesystems import network_filesystem
from orchestrator.store.session import describe

_TIMEOUT_S = 60.0
PACKAGES = ("torch", "transformers", "submitit", "sqlalchemy", "pandas", "optuna", "typer", "psycopg", "vllm")
_OPTIONAL = {"psycopg": "Postgres needs stalesweep[postgres]", "vllm": "the vLLM engine needs stalesweep[vllm]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        name: What.
        good: Whether it is as it should be; None where it is optional and absent.
        detail: What was found, or what to do.
    """

    name: str
    good: bool | None
    detail: str


def examine(option: str | None) -> Iterator[Finding]:
    """Check the environment, the slow checks last.

    Args:
        option: The database's URL as the command was given it, None = as the settings say. Never printed with a
            password.
    """
    yield Finding("stalesweep", True, f"{code_version()} on Python {platform.python_version()}")
    for package in PACKAGES:
        yield _package(package)
    yield _database(option)
    yield folder("run directories", runs_dir())
    yield folder("policy cache", cache_dir())
    yield from _slurm()
    yield torch()


def versions() -> dict[str, str]:
    """The versions of the packages that matter, as far as they are installed, and of Python."""
    found = metadata.packages_distributions()
    installed = {name: metadata.version(found[name][0]) for name in PACKAGES if name in found}
    return {"stalesweep": code_version(), "python": platform.python_version(), **installed}


def _package(name: str) -> Finding:
    # By the module's name: builds of vLLM for other devices are packages of other names.
    distributions = metadata.packages_distributions().get(name)
    if distributions:
        return Finding(name, True, metadata.version(distributions[0]))
    optional = _OPTIONAL.get(name)
    return Finding(name, None if optional else False, f"not installed; {optional or 'reinstall stalesweep'}")


def _database(option: str | None) -> Finding:
    try:
        return database(database_url(option))
    except UsageError as error:
        return Finding("database", False, str(error))


def database(url: str) -> Finding:
    """Check whether a database answers, and its schema."""
    try:
        parsed = parse(url)
        if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
            return Finding("database", None, f"{describe(parsed)}: not there yet, `stalesweep launch` creates it")
        revision = schema.current(url)
        if revision is None:
            return Finding("database", None, f"{describe(parsed)}: empty, `stalesweep launch` will set it up")
        schema.check(url)
    except UsageError as error:
        return Finding("database", False, str(error))
    shared = network_filesystem(Path(str(parsed.database))) if parsed.get_backend_name() == "sqlite" else None
    where = f", on a network file system ({shared}): jobs write journals only" if shared else ""
    return Finding("database", True, f"{describe(parsed)}, schema {revision}{where}")


def folder(name: str, path: Path) -> Finding:
    """Whether a folder, or the one in which it will be made, can be written."""
    try:
        existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    except PermissionError as error:
        return Finding(name, False, f"{path}: {error.filename} cannot be entered")
    if not os.access(existing, os.W_OK):
        return Finding(name, False, f"{path}: {existing} is not writable")
    free_gb = shutil.disk_usage(existing).free / 1e9
    return Finding(name, free_gb > 1, f"{path}, {free_gb:,.0f} GB free")


def _slurm() -> Iterator[Finding]:
    if shutil.which("sbatch") is None:
        yield Finding("slurm", None, "no sbatch on this machine: runs go to local processes")
        return
    try:
        version, controller = client.ask("sinfo", "--version").strip(), client.ask("scontrol", "ping").strip()
        yield Finding("slurm", True, f"{version}; {'; '.join(controller.splitlines())}")
        found = limits.read()
        partitions = client.ask("sinfo", "--noheader", "--format=%P|%a|%l|%D|%c|%G").splitlines()
    except SlurmUnavailable as error:
        yield Finding("slurm", None, f"{error}; runs go to local processes")
        return
    jobs = "as many jobs as you like" if found.jobs is None else f"{found.jobs:,} jobs at once ({found.source})"
    yield Finding("slurm limits", True, f"arrays of {found.array_size:,} tasks; {jobs}; you have {found.submitted:,}")
    yield _accounting()
    for line in partitions:
        name, state, limit, nodes, cpus, gres = line.split("|")
        has = f"{nodes} nodes of {cpus} CPUs" + ("" if gres == "(null)" else f" and {gres}")
        yield Finding("partition", state == "up" or None, f"{name} is {state}: {has}, time limit {limit}")


def _accounting() -> Finding:
    try:
        client.ask("sacct", "--noheader", "--allocations", "--starttime=now", "--format=JobID")
    except NoAccounting:
        return Finding(
            "slurm accounts", None, "none: what became of a job that Slurm no longer lists is known from its run alone"
        )
    except SlurmUnavailable as error:
        return Finding("slurm accounts", False, f"{error}: until it answers, what became of old jobs is not known")
    return Finding("slurm accounts", True, "sacct answers")


def torch() -> Finding:
    """Whether torch can be imported, and what it sees."""
    # In a process of its own: the control plane never imports torch.
    code = "import torch; print(torch.cuda.device_count(), torch.get_num_threads())"
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, env=harmless_environment(), capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("torch sees", False, f"{command[0]}: {error}")
    if done.returncode:
        last = (done.stderr.strip() or "failed").splitlines()[-1]
        return Finding("torch sees", False, f"{' '.join(command[:2])}: {last}")
    gpus, threads = done.stdout.split()[-2:]
    return Finding("torch sees", True, f"{gpus} GPUs, {threads} CPU threads")
