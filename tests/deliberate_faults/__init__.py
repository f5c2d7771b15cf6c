"""Faults that are put into a copy of the sources, one at a time, to see that the tests find them.

``faults.toml`` lists them; ``python -m tests.deliberate_faults`` tries them (`make faults`).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Fault:
    """A plausible mistake in one place.

    Attributes:
        name: What is then wrong, in a few words.
        file: Where, from the top of the checkout.
        old: The text that is right; it occurs once in the file.
        new: What takes its place.
        tests: The tests that must find it, as pytest takes them.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def load() -> list[Fault]:
    """Read the list of faults."""
    entries = tomllib.loads((Path(__file__).parent / "faults.toml").read_text(encoding="utf-8"))["fault"]
    return [Fault(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
