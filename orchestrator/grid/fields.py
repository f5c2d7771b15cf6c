"""What a grid file may set, as pydantic models: its sections, resources, forms of an axis, and the worker's fields."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictInt, field_validator, model_validator
from pydantic.fields import FieldInfo

from grpo_worker.schema.config import Count, ModelConfig, PositiveFloat, PositiveInt, Section, WorkerConfig
from orchestrator.base.states import FailureClass
from orchestrator.grid.mistakes import refuse, unknown
from orchestrator.grid.yaml_file import KeyPath, show

RETRIES: dict[str, int] = {
    FailureClass.TIME_LIMIT: 50, FailureClass.PREEMPTED: 100, FailureClass.NODE_FAILURE: 5,
    FailureClass.OUT_OF_MEMORY: 2, FailureClass.KILLED: 1, FailureClass.LOST: 3, FailureClass.FORGOTTEN: 3,
    FailureClass.STOPPED: 3, FailureClass.EXCEPTION: 0, FailureClass.GPU_OUT_OF_MEMORY: 0, FailureClass.NEVER_BEGAN: 0,
}  # fmt: skip
"""How often a run is retried automatically, by failure class, unless the grid file says otherwise."""

SBATCH_LISTS = ("setup", "srun-args", "teardown")
"""submitit's: lines before the run, arguments of srun, lines after the run."""

SBATCH_OPTIONS = (
    "acctg-freq", "batch", "bb", "bbf", "begin", "chdir", "cluster-constraint", "consolidate-segments", "container",
    "container-id", "contiguous", "core-spec", "cores-per-socket", "cpu-freq", "cpus-per-gpu", "deadline",
    "delay-boot", "dependency", "distribution", "exclude", "exclusive", "export", "export-file", "extra",
    "extra-node-info", "get-user-env", "gid", "gpu-bind", "gpu-freq", "gres-flags", "hint", "hold", "ignore-pbs",
    "input", "kill-on-invalid-dep", "licenses", "mail-type", "mail-user", "mcs-label", "mem-bind", "mincpus",
    "network", "nice", "no-kill", "no-requeue", "nodefile", "nodelist", "oom-kill-step", "overcommit",
    "oversubscribe", "power", "prefer", "priority", "profile", "propagate", "reboot", "requeue", "reservation",
    "resv-ports", "segment", "sockets-per-node", "spread-job", "spread-segments", "stepmgr", "switches",
    "thread-spec", "threads-per-core", "time-min", "tmp", "tres-bind", "tres-per-task", "uid", "use-min-nodes",
    "wait-all-nodes", "wckey", *SBATCH_LISTS,
)  # fmt: skip
"""What `Resources.slurm` may hold, with dashes: sbatch's long options and submitit's own, but for what stalesweep sets.

They are those of Slurm 22.05 to 26.05 (`src/common/slurm_opt.c`); a cluster that does not know one refuses it.
"""

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

SweepName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="up to 64 of a-z, 0-9 and '-', the first no '-'; the file's own name if absent",
    ),
]
ModelName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="a short name of letters, digits, '.', '_', '-'; its path or hub id goes under 'models:'",
    ),
]
"""Names become folders and columns, so they hold nothing that a path or a shell would read."""


class Resources(Section):
    """What one run asks of the machine or of Slurm."""

    cpus: PositiveInt = Field(default=1, description="CPU cores of a run")
    gpus: Count = Field(default=0, description="GPUs of a run")
    mem_gb: PositiveFloat = Field(default=2.0, description="memory of a run in GB")
    time_min: PositiveInt = Field(default=30, description="time limit of a run in minutes")
    partition: str | None = Field(default=None, description="Slurm partition; null = the cluster's default")
    account: str | None = Field(default=None, description="Slurm account to charge")
    qos: str | None = Field(default=None, description="Slurm quality of service")
    gres: str | None = Field(default=None, description="Slurm generic resources, e.g. gpu:a100:1")
    constraint: str | None = Field(default=None, description="Slurm node features, e.g. a100")
    python: str | None = Field(
        default=None, description="how a job starts Python, e.g. apptainer exec --nv IMAGE.sif python"
    )
    array_parallelism: PositiveInt = Field(default=256, description="most runs of a job array at once")
    slurm: dict[str, str | int | float | bool | list[str]] = Field(
        default={}, description="further options of sbatch or submitit, e.g. {nice: 100}; setup takes a list"
    )
    runs_per_job: PositiveInt = Field(default=1, description="runs that share a job, one after the other")
    retries: dict[str, Count] = Field(
        default={}, description="how often a run is retried automatically, by failure class, e.g. {node_failure: 5}"
    )

    @field_validator("slurm", mode="before")
    @classmethod
    def _with_dashes(cls, options: Any) -> Any:
        return checked_options(options) if isinstance(options, dict) else options

    @field_validator("retries", mode="before")
    @classmethod
    def _of_known_classes(cls, retries: Any) -> Any:
        if isinstance(retries, dict) and (strange := [name for name in retries if name not in RETRIES]):
            refuse({name: unknown("no such failure class", name, RETRIES) for name in strange})
        return retries

    def retries_of(self, failure_class: str) -> int:
        """How often a run is retried automatically after a failure of a class."""
        return {**RETRIES, **self.retries}.get(failure_class, 0)

    def over(self, wider: Resources) -> Resources:
        """Lay what is set here over the resources of a wider scope; ``slurm`` and ``retries`` are merged by key."""
        merged = {name: {**getattr(wider, name), **getattr(self, name)} for name in ("slurm", "retries")}
        given = [resources.model_dump(exclude_unset=True) for resources in (wider, self)]
        return Resources.model_validate({**given[0], **given[1], **merged})


class ModelEntry(Section):
    """The settings of an entry of ``models:``; its key is the model's name."""

    path: Annotated[str, ModelConfig.model_fields["path"]]
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], ModelConfig.model_fields["dtype"]]
    resources: Resources = Field(default=Resources(), description="as under resources:")

    @model_validator(mode="before")
    @classmethod
    def _or_empty(cls, entry: Any) -> Any:
        return {} if entry is None else entry


class Profile(Section):
    """A site's profile: resources that hold where a grid file says nothing."""

    resources: Resources = Resources()


class GridContent(Section):
    """A grid file's sections. `orchestrator.grid.sweep` checks what ``grid:``, ``fixed:`` and ``exclude:`` hold."""

    name: SweepName
    grid: dict[str, Any] = Field(default={})
    fixed: dict[str, Any] = Field(default={})
    models: dict[str, ModelEntry] = Field(default={})
    exclude: list[dict[str, Any]] = Field(default=[])
    resources: Resources = Resources()


class LogSpace(Section):
    """Values evenly spaced in the logarithm, both ends included."""

    start: PositiveFloat = Field(description="the first value itself, not its exponent")
    stop: PositiveFloat = Field(description="the last value")
    num: Annotated[StrictInt, Field(ge=2)] = Field(description="how many values")

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.num

    @property
    def values(self) -> Iterable[float]:
        """The values, rounded to 12 significant digits: they are readable and the same on every machine."""
        log_ratio = math.log(self.stop) - math.log(self.start)
        exact = (self.start * math.exp(log_ratio * i / (self.num - 1)) for i in range(self.num))
        return (float(f"{value:.12g}") for value in exact)


class Range(Section):
    """Whole numbers from ``start`` up to, not including, ``stop``."""

    start: StrictInt = Field(description="the first value")
    stop: StrictInt = Field(description="the end, not included")
    step: PositiveInt = Field(default=1, description="distance of neighbours")

    @model_validator(mode="after")
    def _holds_a_value(self) -> Range:
        if self.size < 1:
            raise ValueError(f"holds no value (found start {self.start}, stop {self.stop}; stop is not included)")
        return self

    @property
    def size(self) -> int:
        """How many values there are; `len` of `values` fails beyond 63 bits."""
        return -(-(self.stop - self.start) // self.step)

    @property
    def values(self) -> range:
        """The values, in order."""
        return range(self.start, self.stop, self.step)


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
        elif name not in SBATCH_OPTIONS:
            mistakes[key] = unknown("no such option of sbatch or submitit", name, SBATCH_OPTIONS, all_known=False)
        elif name in checked:
            mistakes[key] = "given twice, with dashes and with underscores; keep one of the two"
        elif isinstance(value, list) != (name in SBATCH_LISTS):
            allowed = "a list of text" if name in SBATCH_LISTS else "one value"
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


def _leaves(section: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """List a schema's fields by dotted path, sections unfolded."""
    leaves: dict[str, FieldInfo] = {}
    for name, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            leaves |= _leaves(info.annotation, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = info
    return leaves


WORKER_FIELDS = {path: info for path, info in _leaves(WorkerConfig).items() if not path.startswith("model.")}
"""Every worker field but the model's own, by dotted path. The model is set by name, see ``models:``."""

WORKER_SECTIONS = {path.partition(".")[0] for path in WORKER_FIELDS if "." in path}

REQUIRED_AXES = {"model": "[tiny]", "k": "[2, 8, 32]", "eta": "[5e-4, 1e-3]", "seed": "[0]"}
"""The axes that every grid has, each with an example."""

AXES = {"model": ModelName, **WORKER_FIELDS}
"""What the values of an axis are, by its name."""


def flat(place: KeyPath, content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, KeyPath, Any]]:
    """Unfold the sections of worker fields: of each field its dotted path, its place and its value."""
    for key, value in content.items():
        if not prefix and key in {*WORKER_SECTIONS, "model"} and isinstance(value, dict):
            yield from flat((*place, key), value, f"{key}.")
        else:
            yield prefix + key, (*place, key), value


def nested(fields: dict[str, Any]) -> dict[str, Any]:
    """Fold dotted paths into sections: ``{"task.name": x}`` → ``{"task": {"name": x}}``."""
    found: dict[str, Any] = {}
    for path, value in fields.items():
        section, _, name = path.rpartition(".")
        (found.setdefault(section, {}) if section else found)[name] = value
    return found


def not_a_worker_field(name: str) -> str:
    """Say why a name is no worker field, and which one may be meant."""
    if name.startswith("model."):
        return f"belongs under 'models:', in the entry of each model (found {show(name)})"
    if fields := [path for path in WORKER_FIELDS if path.startswith(f"{name}.")]:
        return f"is a group of fields; name one of them (allowed: {', '.join(fields)})"
    if named_last := [path for path in WORKER_FIELDS if path.rpartition(".")[2] == name]:
        return f"no such worker field (did you mean '{named_last[0]}'?)"
    return unknown("no such worker field", name, WORKER_FIELDS, all_known=False)
