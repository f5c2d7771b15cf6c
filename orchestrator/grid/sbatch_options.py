"""Which keys ``resources.slurm`` may hold: sbatch's long options and submitit's own, but for what stalesweep sets.

The options are those of Slurm 22.05 to 26.05 (`src/common/slurm_opt.c`); a cluster that does not know one refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.grid.mistakes import refuse, unknown
from orchestrator.grid.yaml_file import show

LISTS = ("setup", "srun-args", "teardown")
"""submitit's: lines before the run, arguments of srun, lines after the run."""

OPTIONS = (
    "acctg-freq", "batch", "bb", "bbf", "begin", "chdir", "cluster-constraint", "consolidate-segments", "container",
    "container-id", "contiguous", "core-spec", "cores-per-socket", "cpu-freq", "cpus-per-gpu", "deadline",
    "delay-boot", "dependency", "distribution", "exclude", "exclusive", "export", "export-file", "extra",
    "extra-node-info", "get-user-env", "gid", "gpu-bind", "gpu-freq", "gres-flags", "hint", "hold", "ignore-pbs",
    "input", "kill-on-invalid-dep", "licenses", "mail-type", "mail-user", "mcs-label", "mem-bind", "mincpus",
    "network", "nice", "no-kill", "no-requeue", "nodefile", "nodelist", "oom-kill-step", "overcommit",
    "oversubscribe", "power", "prefer", "priority", "profile", "propagate", "reboot", "requeue", "reservation",
    "resv-ports", "segment", "sockets-per-node", "spread-job", "spread-segments", "stepmgr", "switches",
    "thread-spec", "threads-per-core", "time-min", "tmp", "tres-bind", "tres-per-task", "uid", "use-min-nodes",
    "wait-all-nodes", "wckey", *LISTS,
)  # fmt: skip
"""What may be set, with dashes."""

_FIELDS = {
    "time": "time_min", "mem": "mem_gb", "mem-per-cpu": "mem_gb", "mem-per-gpu": "mem_gb", "cpus-per-task": "cpus",
    "gpus": "gpus", "gpus-per-node": "gpus", "gpus-per-task": "gpus", "gpus-per-socket": "gpus", "num-gpus": "gpus",
    "array": "runs_per_job and array_parallelism", "array-parallelism": "array_parallelism",
    **{name: name for name in ("partition", "account", "qos", "gres", "constraint")},
}  # fmt: skip
_REASONS = {
    "a run is one process on one node": "nodes ntasks tasks-per-node ntasks-per-node ntasks-per-core ntasks-per-gpu "
        "ntasks-per-socket ntasks-per-tres",
    "stalesweep finds its jobs by it": "job-name comment",
    "logs are where `stalesweep logs` looks for them": "output error open-mode stderr-to-stdout",
    "stalesweep sets it, so that a checkpoint is saved before time_min is over": "signal signal-delay-s",
    "it does not submit a job, or changes what sbatch answers": "help usage version test-only parsable quiet verbose "
        "wait wrap",
    "stalesweep asks one cluster, that of SLURM_CONF, what has become of its jobs": "clusters",
    "srun passes on to a job's process the signal that its time is nearly over": "use-srun",
    "options of sbatch stand side by side under 'slurm:'": "additional-parameters",
}  # fmt: skip
_REASON_OF = {name: reason for reason, names in _REASONS.items() for name in names.split()}


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Spell the options under ``slurm:`` as sbatch does, with dashes; submitit's spelling has underscores.

    Raises:
        ValidationError: Some cannot be used; for pydantic, within a validator.
    """
    mistakes: dict[str, str] = {}
    checked: dict[str, Any] = {}
    for key, value in options.items():
        name = key.replace("_", "-")
        if why := refusal(name):
            mistakes[key] = why
        elif name not in OPTIONS:
            mistakes[key] = unknown("no such option of sbatch or submitit", name, OPTIONS, all_known=False)
        elif name in checked:
            mistakes[key] = "given twice, with dashes and with underscores; keep one of the two"
        elif isinstance(value, list) != (name in LISTS):
            allowed = "a list of text" if name in LISTS else "one value"
            mistakes[key] = f"cannot be used (found {show(value)}; allowed: {allowed})"
        checked[name] = value
    if mistakes:
        refuse(mistakes)
    return checked


def refusal(name: str) -> str | None:
    """Say why an option, with dashes, cannot be used; None where it can, or is no such option."""
    if field := _FIELDS.get(name):
        return f"is set by the field {field} of 'resources:', so write it there"
    reason = _REASON_OF.get(name)
    return reason and f"cannot be set: {reason}"
