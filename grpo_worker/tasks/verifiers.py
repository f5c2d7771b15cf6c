"""Rules that decide whether a completion earns the reward."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def exact(completion: str, answer: str) -> bool:
    """Equal after stripping white space."""
    return completion.strip() == answer.strip()


def number(completion: str, answer: str) -> bool:
    """The last number in the completion equals the last number in the answer; thousands may carry commas."""
    found, wanted = _NUMBER.findall(completion), _NUMBER.findall(answer)
    return bool(found and wanted) and _value(found[-1]) == _value(wanted[-1])


def _value(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


VERIFIERS: dict[str, Callable[[str, str], bool]] = {"exact": exact, "number": number}
