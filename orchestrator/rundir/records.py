"""What a journal's records must hold to be stored; whatever else they hold is kept as it is.

A line whose checksum is right may still be wrong, because another program wrote it, or another version. Such a line is
left out like a damaged one, so that it cannot stop what stands around it.
"""

from __future__ import annotations

import functools
from operator import or_
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from grpo_worker.schema.records import EvalRecord, Outcome, SyncRecord

Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0), AllowInfNan(False)]


class Record(BaseModel):
    """Any record."""

    model_config = ConfigDict(strict=True, defer_build=True)

    elapsed_s: Seconds


class Begin(Record):
    """An attempt begins: whose it is and where it resumes."""

    record: Literal["begin"]
    sweep: str
    config_digest: str
    resumed_from_sync: Count | None
    resumed_from_step: Count | None
    origin: dict[str, bool | int | float | str | None]


class Start(Record):
    """The worker is ready to train."""

    record: Literal["start"]
    resumed_from_sync: Count | None
    resumed_from_step: Count | None
    versions: dict[str, str]
    device: str
    parameters: Count
    threads: Count
    setup_s: Seconds


class Finish(Record):
    """The attempt has ended in good order."""

    record: Literal["finish"]
    outcome: Outcome
    learner_steps: Count


class Fail(Record):
    """The attempt has ended by an error."""

    record: Literal["fail"]
    failure: str


class Beat(Record):
    """The attempt is alive."""

    record: Literal["beat"]


class Word(Record):
    """Somebody has ended the run from outside."""

    record: Literal["cancel", "stop"]
    reason: str


def _measured(record: str, kind: type[SyncRecord | EvalRecord], *keys: str) -> Any:
    """A row of a table: the fields of a record of the worker's. All but keys may be missing, as in other versions."""
    fields: dict[str, Any] = {name: (of_type, None) for name, of_type in get_type_hints(kind).items()}
    fields |= dict.fromkeys(keys, (Count, ...)) | {"record": (Literal[record], ...)}
    return create_model(kind.__name__, __base__=Record, **fields)


@functools.cache  # not at import: most commands read no journal, and building the checks takes 25 ms
def _any_record() -> TypeAdapter[Any]:
    kinds = [
        *(Begin, Start, Finish, Fail, Beat, Word),
        _measured("sync", SyncRecord, "sync", "learner_step"),
        _measured("eval", EvalRecord, "learner_step"),
    ]
    one_of_them: Any = Annotated[functools.reduce(or_, kinds), Field(discriminator="record")]
    return TypeAdapter(one_of_them)


def fits(entry: object) -> bool:
    """Whether a record can be stored."""
    try:
        _any_record().validate_python(entry)
    except ValidationError:
        return False
    return True
