"""Check values of a grid file against pydantic types; what pydantic refuses becomes a mistake with its line."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Annotated, Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from orchestrator.grid.yaml_file import GridFile, KeyPath, dotted, show, suggest

REMOVED_KEYS = {
    "search.early_stops.predicted": "was removed in version 0.1.0, because stops by a predicted collapse saved at most "
    "3 % of a search's learner steps; delete this key",
}
"""Keys that an earlier version took, by dotted path, each with a sentence: why it was removed, and since when."""

_KINDS = {
    "integer": "a whole number", "number": "a finite number", "boolean": "true or false", "string": "text",
    "null": "null", "object": "a mapping",
}  # fmt: skip
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def checked(file: GridFile, place: KeyPath, kind: Any, value: Any) -> Any:
    """Return a value as its type takes it (1 becomes 1.0), or None where it is wrong; each mistake is noted.

    ``kind`` is a type, or the field of a model.
    """
    if place in file.wrong:
        return None
    adapter = _adapter(kind)
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            _note(file, place, adapter.json_schema(), one)
        return None


def refuse(mistakes: Mapping[str, str]) -> NoReturn:
    """Refuse a mapping from within a pydantic validator, with what is wrong by the mapping's key."""
    problems = [
        InitErrorDetails(type=PydanticCustomError("refused", "{what}", {"what": what}), loc=(key,), input=key)
        for key, what in mistakes.items()
    ]
    raise ValidationError.from_exception_data("mapping", problems)


def unknown(what: str, word: str, known: Collection[str], *, all_known: bool = True) -> str:
    """Say that a word is not known: the closest known word, then, unless that is enough, the known ones."""
    close = suggest(word, known)
    allowed = f"allowed: {', '.join(known)}" if all_known or not close else ""
    return f"{what} ({(close + allowed).removesuffix('; ')})"


def allowed_values(kind: Any) -> str:
    """Say in words which values a type or field takes, e.g. ``a whole number, at least 1``."""
    return _in_words(_adapter(kind).json_schema())


def _note(file: GridFile, place: KeyPath, schema: dict[str, Any], problem: ErrorDetails) -> None:
    """Note one problem that pydantic found, unless something is noted at its place already."""
    at = place
    for key in problem["loc"]:  # this holds members of unions, too, which are no keys of the file
        if (*at, key) in file.lines:
            at = (*at, key)
    found, loc = show(problem["input"]), problem["loc"]
    expected = _at(schema, loc)
    match problem["type"]:
        case "missing":
            at = (*at, loc[-1])
            what = f"is missing ({expected['description']}; allowed: {_in_words(expected)})"
        case "extra_forbidden":
            known = _at(schema, loc[:-1])["properties"]
            what = REMOVED_KEYS.get(dotted(at)) or unknown("unknown key", str(loc[-1]), known)
        case "refused" | "value_error":
            what = problem["msg"].removeprefix("Value error, ")
        case "model_type" | "dict_type":
            what = f"must be a mapping, as in 'key: value' (found {found})"
        case "list_type":
            what = f"must be a list (found {found})"
        case _:
            choices = [word for one in expected.get("anyOf", [expected]) for word in one.get("enum", [])]
            hint = suggest(found.strip("'"), choices)
            what = f"cannot be used (found {found}; {hint}allowed: {_in_words(expected)})"
    if at not in file.wrong:
        file.mistake(at, what)


def _at(schema: dict[str, Any], loc: KeyPath) -> dict[str, Any]:
    """The part of a JSON schema that describes a location, or the innermost field around it."""
    found = schema
    for key in loc:
        inner = found.get("properties", {}).get(key) or found.get("additionalProperties") or found.get("items")
        if not isinstance(inner, dict):
            break
        found = schema["$defs"][inner["$ref"].rpartition("/")[2]] if "$ref" in inner else inner
    return found


def _in_words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_in_words(option) for option in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(schema.get("enum", [schema.get("const")]))
    if "pattern" in schema:
        return str(schema["description"])
    kind = schema.get("type", "object")
    if kind == "array":
        return f"a list of {_in_words(schema['items'])}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"a mapping of words to {_in_words(values)}"
    limits = (f"{words} {schema[key]:g}" for key, words in _BOUNDS.items() if key in schema)
    return ", ".join([_KINDS[kind], *limits])


def as_type(kind: Any) -> Any:
    """Return a field of a model as the type of its values; a type is returned as it is."""
    return Annotated[kind.annotation, kind] if isinstance(kind, FieldInfo) else kind


@functools.lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(as_type(kind))
