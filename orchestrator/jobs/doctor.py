"""``stalesweep doctor``: check what this machine offers."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator.base.errors import NoAccounting, SlurmUnavailable, UsageError
from orchestrator.base.filesystems import network_filesystem
from orchestrator.base.settings import cache_dir, code_version, database_url, runs_dir
from orchestrator.base.urls import harmless_environment, parse
from orchestrator.grid.sweep import Resources
from orchestrator.jobs.slurm import client, limits
from orchestrator.store import schema
from orchestrator.store.session import describe

PACKAGES = ("torch", "transformers", "submitit", "sqlalchemy", "pandas", "optuna", "typer", "psycopg", "vllm")
_OPTIONAL = {"psycopg": "Postgres needs stalesweep[postgres]", "vllm": "the vLLM engine needs stalesweep[vllm]"}


class Absent(UsageError):
    """What was looked for is not there, and need not be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    name: str  # What
    good: bool | None  # Whether it is as it should be; None where it is optional and absent
    detail: str  # What was found, or what to do


def find(name: str, check: Callable[..., str], *of: Any) -> Finding:
    """Call a check: it returns what it found, and raises `Absent`, or another `UsageError` that says what to do."""
    try:
        return Finding(name, True, check(*of))
    except UsageError as error:
        return Finding(name, None if isinstance(error, Absent) else False, str(error))


def examine(option: str | None) -> Iterator[Finding]:
    """Check the environment, the slow checks last; ``option`` is the database's URL as ``--db`` has it, or None."""
    yield Finding("stalesweep", True, f"{code_version()} on Python {platform.python_version()}")
    installed = versions()
    for name in PACKAGES:
        yield find(name, _package, name, installed)
    yield find("database", lambda: database(database_url(option)))
    yield find("run directories", folder, runs_dir())
    yield find("policy cache", folder, cache_dir())
    yield from _slurm()
    yield find("torch sees", torch)


def versions() -> dict[str, str]:
    """The versions of the packages that matter, as far as they are installed, and of Python."""
    # By the module's name: builds of vLLM for other devices are packages of other names.
    found = metadata.packages_distributions()
    installed = {name: metadata.version(found[name][0]) for name in PACKAGES if name in found}
    return {"stalesweep": code_version(), "python": platform.python_version(), **installed}


def _package(name: str, installed: Mapping[str, str]) -> str:
    if name in installed:
        return installed[name]
    if name in _OPTIONAL:
        raise Absent(f"not installed; {_OPTIONAL[name]}")
    raise UsageError("not installed; reinstall stalesweep")


def database(url: str) -> str:
    """Check whether a database answers, and its schema."""
    parsed = parse(url)
    is_file = parsed.get_backend_name() == "sqlite"
    if is_file and not Path(str(parsed.database)).exists():
        raise Absent(f"{describe(parsed)}: not there yet, `stalesweep launch` creates it")
    revision = schema.current(url)
    if revision is None:
        raise Absent(f"{describe(parsed)}: empty, `stalesweep launch` will set it up")
    schema.check(url)
    shared = network_filesystem(Path(str(parsed.database))) if is_file else None
    where = f", on a network file system ({shared}): jobs write journals only" if shared else ""
    return f"{describe(parsed)}, schema {revision}{where}"


def folder(path: Path) -> str:
    """Check whether a folder, or the one in which it will be made, can be written."""
    try:
        existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    except PermissionError as error:
        raise UsageError(f"{path}: {error.filename} cannot be entered") from error
    if not os.access(existing, os.W_OK):
        raise UsageError(f"{path}: {existing} is not writable")
    free_gb = shutil.disk_usage(existing).free / 1e9
    if free_gb <= 1:
        raise UsageError(f"{path}, {free_gb:,.1f} GB free")
    return f"{path}, {free_gb:,.0f} GB free"


def _slurm() -> Iterator[Finding]:
    if shutil.which("sbatch") is None:
        yield Finding("slurm", None, "no sbatch on this machine: runs go to local processes")
        return
    try:
        version, controller = client.ask("sinfo", "--version").strip(), client.ask("scontrol", "ping").strip()
        yield Finding("slurm", True, f"{version}; {'; '.join(controller.splitlines())}")
        found = limits.read(Resources())
        partitions = client.ask("sinfo", "--noheader", "--format=%P|%a|%l|%D|%c|%G").splitlines()
    except SlurmUnavailable as error:
        yield Finding("slurm", None, f"{error}; runs go to local processes")
        return
    jobs = "as many jobs as you like" if found.jobs is None else f"{found.jobs:,} jobs at once ({found.source})"
    yield Finding("slurm limits", True, f"arrays of {found.array_size:,} tasks; {jobs}; you have {found.submitted:,}")
    yield find("slurm accounts", _accounting)
    for line in partitions:
        name, state, limit, nodes, cpus, gres = line.split("|")
        has = f"{nodes} nodes of {cpus} CPUs" + ("" if gres == "(null)" else f" and {gres}")
        yield Finding("partition", state == "up" or None, f"{name} is {state}: {has}, time limit {limit}")


def _accounting() -> str:
    try:
        client.ask("sacct", "--noheader", "--allocations", "--starttime=now", "--format=JobID")
    except NoAccounting as error:
        raise Absent("none: what became of a job that Slurm no longer lists is known from its run alone") from error
    except SlurmUnavailable as error:
        raise UsageError(f"{error}: until it answers, what became of old jobs is not known") from error
    return "sacct answers"


def torch() -> str:
    """Check whether torch can be imported, and say what it sees."""
    said = in_python("import torch; print(torch.cuda.device_count(), torch.get_num_threads())")
    gpus, threads = said.split()[-2:]
    return f"{gpus} GPUs, {threads} CPU threads"


def in_python(code: str, timeout_s: float = 60.0) -> str:
    """Run code in a process of its own, because the control plane never imports torch, and return what it prints."""
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, env=harmless_environment(), capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{sys.executable}: `{code}` takes more than {timeout_s:.0f} s") from error
    except OSError as error:
        raise UsageError(f"{sys.executable}: {error}") from error
    if done.returncode:
        raise UsageError(f"{sys.executable}: {(done.stderr.strip() or 'it failed').splitlines()[-1]}")
    return done.stdout
