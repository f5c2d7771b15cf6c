"""What a grid file may set: worker fields by dotted path, resources, names, forms of an axis; checked."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from grpo_worker.schema.config import Count, ModelConfig, PositiveFloat, PositiveInt, Section, WorkerConfig
from orchestrator.grid.sbatch_options import LISTS, OPTIONS, refusal, with_dashes
from orchestrator.grid.yaml_file import GridFile, KeyPath, show, suggest

RETRIES = {
    "time_limit": 50, "preempted": 100, "node_failure": 5, "out_of_memory": 2, "killed": 1, "lost": 3, "forgotten": 3,
    "stopped": 3, "exception": 0, "gpu_out_of_memory": 0, "never_began": 0,
}  # fmt: skip
"""How often a run is tried again by itself, by failure class, where the grid file does not say."""


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
        default={}, description="how often a run is tried again by itself, by failure class, e.g. {node_failure: 5}"
    )

    def retries_of(self, failure_class: str) -> int:
        """How often a run is tried again by itself after a failure of a class."""
        return {**RETRIES, **self.retries}.get(failure_class, 0)


class LogSpace(Section):
    """Values evenly spaced in the logarithm, both ends included."""

    start: PositiveFloat = Field(description="the first value itself, not its exponent")
    stop: PositiveFloat = Field(description="the last value")
    num: Annotated[StrictInt, Field(ge=2)] = Field(description="how many values")


class Range(Section):
    """Whole numbers from ``start`` up to, not including, ``stop``."""

    start: StrictInt = Field(description="the first value")
    stop: StrictInt = Field(description="the end, not included")
    step: PositiveInt = Field(default=1, description="distance of neighbours")


class Names(Section):
    """Names become folders and columns, so they hold nothing that a path or a shell would read."""

    sweep: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="up to 64 of a-z, 0-9 and '-', the first no '-'; the file's own name if absent",
    )
    model: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="a short name of letters, digits, '.', '_', '-'; its path or hub id goes under 'models:'",
    )


def leaf_fields(section: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """List a schema's fields by dotted path, sections unfolded."""
    leaves: dict[str, FieldInfo] = {}
    for name, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            leaves |= leaf_fields(info.annotation, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = info
    return leaves


WORKER_FIELDS = {path: info for path, info in leaf_fields(WorkerConfig).items() if not path.startswith("model.")}
"""Every worker field but the model's own, by dotted path. The model is set by name, see ``models:``."""

SECTIONS = {path.partition(".")[0] for path in WORKER_FIELDS if "." in path}


MODEL_FIELDS = {name: info for name, info in ModelConfig.model_fields.items() if name != "name"} | {
    "resources": FieldInfo(annotation=dict[str, Any], default=None, description="as under resources:")
}
"""The settings of an entry of ``models:``; its key is the model's name."""


def field_of(file: GridFile, place: KeyPath, name: str) -> FieldInfo | None:
    """Find an axis or worker field by dotted path; an unknown one is a mistake."""
    if name == "model":
        return Names.model_fields["model"]
    if name in WORKER_FIELDS:
        return WORKER_FIELDS[name]
    if name.startswith("model."):
        file.mistake(place, f"belongs under 'models:', in the entry of each model (found {show(name)})")
    elif name in SECTIONS:
        fields = ", ".join(path for path in WORKER_FIELDS if path.startswith(f"{name}."))
        file.mistake(place, f"is a group of fields; name one of them (allowed: {fields})")
    else:
        named_last = {path.rpartition(".")[2]: path for path in reversed(WORKER_FIELDS)}
        hint = f"did you mean '{named_last[name]}'?; " if name in named_last else suggest(name, WORKER_FIELDS)
        allowed = "" if hint else f"allowed: {', '.join(WORKER_FIELDS)}"
        file.mistake(place, f"no such worker field ({(hint + allowed).removesuffix('; ')})")
    return None


def check(file: GridFile, place: KeyPath, info: FieldInfo, value: Any) -> Any:
    """Give a value back as its field takes it (1 becomes 1.0); note a wrong one and give it back as it is."""
    if place in file.wrong:
        return value
    try:
        return _adapter(info).validate_python(value, strict=True)
    except ValidationError:
        hint = ""
        if isinstance(value, str):
            schema = _schema(info)
            hint = suggest(value, [word for one in schema.get("anyOf", [schema]) for word in one.get("enum", [])])
        file.mistake(place, f"cannot be used (found {show(value)}; {hint}allowed: {allowed_values(info)})")
        return value


def check_section(
    file: GridFile,
    place: KeyPath,
    fields: Mapping[str, FieldInfo],
    content: Mapping[str, Any],
    *,
    required: Iterable[str] = (),
) -> dict[str, Any]:
    """Check each setting of a section; unknown ones, and absent ones without a default, are mistakes.

    Args:
        file: Takes the mistakes.
        place: Where the section stands.
        fields: The section's fields.
        content: The section as written.
        required: Fields that must be given although they have a default.
    """
    file.refuse_unknown(place, content, fields)
    for name, info in fields.items():
        if name not in content and (name in required or info.is_required()):
            file.mistake((*place, name), f"is missing ({info.description}; allowed: {allowed_values(info)})")
    given = content.keys() & fields.keys()
    return {name: check(file, (*place, name), fields[name], content[name]) for name in given}


def check_resources(file: GridFile, place: KeyPath, content: Any) -> dict[str, Any]:
    """Check a ``resources:`` block; its options of sbatch are given back with dashes.

    Args:
        file: Takes the mistakes.
        place: Where the block stands.
        content: The block as written.
    """
    checked = check_section(file, place, Resources.model_fields, file.mapping(place, content))
    if "retries" in checked and (at := (*place, "retries")) not in file.wrong:
        for name in checked["retries"].keys() - RETRIES.keys():
            hint = f"{suggest(name, RETRIES)}allowed: {', '.join(RETRIES)}"
            file.mistake((*at, name), f"no such failure class ({hint})")
    if "slurm" in checked and (at := (*place, "slurm")) not in file.wrong:
        checked["slurm"] = _check_options(file, at, checked["slurm"])
    return checked


def _check_options(file: GridFile, place: KeyPath, options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in options.items():
        name = with_dashes(key)
        if why := refusal(name):
            file.mistake((*place, key), why)
        elif name not in OPTIONS:
            hint = suggest(name, OPTIONS) or f"allowed: {', '.join(OPTIONS)}"
            file.mistake((*place, key), f"no such option of sbatch or submitit ({hint.removesuffix('; ')})")
        elif name in found:
            file.mistake((*place, key), "given twice, with dashes and with underscores; keep one of the two")
        elif isinstance(value, list) != (name in LISTS):
            allowed = "a list of text" if name in LISTS else "one value"
            file.mistake((*place, key), f"cannot be used (found {show(value)}; allowed: {allowed})")
        else:
            found[name] = value
    return found


def allowed_values(info: FieldInfo) -> str:
    """Say in words which values a field takes, e.g. ``a whole number, at least 1``."""
    return _in_words(_schema(info))


def _in_words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_in_words(option) for option in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(schema.get("enum", [schema.get("const")]))
    if "pattern" in schema:
        return str(schema["description"])
    kinds = {
        "integer": "a whole number", "number": "a finite number", "boolean": "true or false",
        "string": "text", "null": "null", "object": "a mapping",
    }  # fmt: skip
    if schema["type"] == "array":
        return f"a list of {_in_words(schema['items'])}"
    if isinstance(options := schema.get("additionalProperties"), dict):
        return f"a mapping of words to {_in_words(options)}"
    bounds = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below",
    }  # fmt: skip
    limits = (f"{words} {schema[key]:g}" for key, words in bounds.items() if key in schema)
    return ", ".join([kinds[schema["type"]], *limits])


def _schema(info: FieldInfo) -> dict[str, Any]:
    return _adapter(info).json_schema()


@functools.lru_cache(maxsize=256)
def _adapter(info: FieldInfo) -> TypeAdapter[Any]:
    field_type: Any = Annotated[info.annotation, info]
    return TypeAdapter(field_type)


@dataclass(frozen=True, slots=True)
class Spread:
    """An axis as written: its values are made only once their number is known to be allowed."""

    size: int
    values: Iterable[Any]
    has_lines: bool = False


def read_spread(file: GridFile, place: KeyPath, spec: Any) -> Spread:
    """Read how an axis gives its values; what is no such form is a mistake, and an empty spread."""
    if isinstance(spec, list):
        if not spec:
            file.mistake(place, "an axis needs at least one value (found an empty list)")
        return Spread(len(spec), spec, has_lines=True)
    if isinstance(spec, dict) and spec.keys() == {"logspace"}:
        return _logspace(file, (*place, "logspace"), spec["logspace"])
    if isinstance(spec, dict) and spec.keys() == {"range"}:
        return _range(file, (*place, "range"), spec["range"])
    forms = "a list as in [1, 2], {logspace: {start, stop, num}} or {range: {start, stop}}"
    file.mistake(place, f"not the values of an axis (found {show(spec)}; allowed: {forms})")
    return Spread(0, ())


def _logspace(file: GridFile, place: KeyPath, content: Any) -> Spread:
    """Round to 12 significant digits, so that values are readable and the same on every machine."""
    try:
        points = LogSpace(**check_section(file, place, LogSpace.model_fields, file.mapping(place, content)))
    except ValidationError:  # noted by check_section, with its line
        return Spread(0, ())
    log_ratio = math.log(points.stop) - math.log(points.start)
    exact = (points.start * math.exp(log_ratio * i / (points.num - 1)) for i in range(points.num))
    return Spread(points.num, (float(f"{value:.12g}") for value in exact))


def _range(file: GridFile, place: KeyPath, content: Any) -> Spread:
    try:
        ends = Range(**check_section(file, place, Range.model_fields, file.mapping(place, content)))
    except ValidationError:  # noted by check_section, with its line
        return Spread(0, ())
    size = max(0, -(-(ends.stop - ends.start) // ends.step))
    if not size:
        found = f"found start {ends.start}, stop {ends.stop}"
        file.mistake(place, f"holds no value ({found}; stop is not included)")
    return Spread(size, range(ends.start, ends.stop, ends.step))
