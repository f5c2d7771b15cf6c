"""What a journal's records must hold to be stored; whatever else they hold is kept as it is.

A line whose checksum is right may still be wrong, because another program wrote it, or another version. Such a line is
left out like a damaged one, so that it cannot stop what stands around it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AllowInfNan, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0), AllowInfNan(False)]
Value = bool | int | float | str | None
"""What a column can hold."""

_STRICT = ConfigDict(strict=True)


class _Record(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    elapsed_s: Seconds


class Begin(_Record):
    """An attempt begins: whose it is and where it resumes."""

    record: Literal["begin"]
    sweep: str
    config_digest: str
    resumed_from_sync: Count | None
    resumed_from_step: Count | None
    origin: dict[str, Value]


class Start(_Record):
    """The worker is ready to train."""

    record: Literal["start"]
    resumed_from_sync: Count | None
    resumed_from_step: Count | None
    versions: dict[str, str]
    device: str
    parameters: Count
    threads: Count
    setup_s: Seconds


class Sync(_Record):
    """A row of ``sync_metric``."""

    record: Literal["sync"]
    sync: Count
    learner_step: Count


class Eval(_Record):
    """A row of ``evaluation``."""

    record: Literal["eval"]
    learner_step: Count


class Finish(_Record):
    """The attempt has ended in good order."""

    record: Literal["finish"]
    outcome: Literal["collapsed", "degraded", "stable", "diverged", "interrupted"]
    learner_steps: Count


class Fail(_Record):
    """The attempt has ended by an error."""

    record: Literal["fail"]
    failure: str


class Beat(_Record):
    """The attempt is alive."""

    record: Literal["beat"]


class Word(_Record):
    """Somebody has ended the run from outside."""

    record: Literal["cancel", "stop"]
    reason: str


_ANY: TypeAdapter[Any] = TypeAdapter(
    Annotated[Begin | Start | Sync | Eval | Finish | Fail | Beat | Word, Field(discriminator="record")]
)


def fits(entry: object) -> bool:
    """Whether a record can be stored."""
    try:
        _ANY.validate_python(entry)
    except ValidationError:
        return False
    return True
