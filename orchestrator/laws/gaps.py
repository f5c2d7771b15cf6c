"""What the data do not identify, and which runs would: cells, seeds, and longer horizons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, pairwise
from typing import Any

import pandas as pd

from orchestrator.base.words import plural

Coordinates = tuple[int, float]
"""k and η of a cell."""

MORE_SEEDS, FEWEST_SEEDS = 2, 3
"""Further seeds for a cell that was run, and seeds of a new cell."""

FURTHER_K, FURTHER_ETA, LONGER = 4, 2.0, 2
"""Factors from what was run to another k, to another η if there is only one, and to a longer horizon."""


@dataclass(frozen=True, slots=True)
class Next:
    """Runs of one cell to make next, one for each seed."""

    k: int
    eta: float
    seeds: tuple[int, ...]
    horizon: int | None = None  # learner steps; None = as the runs so far


@dataclass(frozen=True, slots=True)
class Gap:
    """What the data do not identify, or a reader of the fit must know, in sentences; and the runs that would settle it.

    ``runs`` is empty if more runs would not.
    """

    text: str
    runs: tuple[Next, ...] = ()

    def __str__(self) -> str:
        return f"{self.text} Run {_listed(self.runs)}." if self.runs else self.text


@dataclass(frozen=True)
class Tried:
    """The cells of one group, with the seeds and the longest horizon of their runs, finished or not."""

    seeds: Mapping[Coordinates, frozenset[int]]
    horizons: Mapping[Coordinates, int]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Tried:
        """Collect the cells of a group's evidence."""
        by_cell: Any = rows.astype({"k": int, "eta": float, "seed": int, "horizon": int}).groupby(["k", "eta"])
        return cls(by_cell["seed"].agg(frozenset).to_dict(), by_cell["horizon"].max().to_dict())

    @property
    def ks(self) -> list[int]:
        """All k that were tried, rising."""
        return sorted({k for k, _ in self.seeds})

    def again(self, places: Iterable[Coordinates]) -> tuple[Next, ...]:
        """More seeds of cells."""
        return tuple(
            Next(k, eta, _unused(self.seeds[k, eta], MORE_SEEDS) if (k, eta) in self.seeds else self._all_seeds())
            for k, eta in sorted(set(places))
        )

    def longer(self, places: Iterable[Coordinates]) -> tuple[Next, ...]:
        """The same runs of cells, with a longer horizon."""
        return tuple(
            Next(*place, tuple(sorted(self.seeds[place])), LONGER * self.horizons[place])
            for place in sorted(set(places))
        )

    def below(self, ks: Iterable[int]) -> tuple[Next, ...]:
        """A smaller η at each k than was tried there."""
        return self._new((k, self._etas(k)[0] / self._step) for k in ks)

    def above(self, ks: Iterable[int]) -> tuple[Next, ...]:
        """A larger η at each k than was tried there."""
        return self._new((k, self._etas(k)[-1] * self._step) for k in ks)

    def another_k(self, etas: Iterable[float]) -> tuple[Next, ...]:
        """The η at a larger k than was tried."""
        return self._new((FURTHER_K * self.ks[-1], eta) for eta in etas)

    def _etas(self, k: int) -> list[float]:
        return sorted(eta for of, eta in self.seeds if of == k)

    @property
    def _step(self) -> float:
        """The smallest factor between neighbouring η that were tried."""
        etas = sorted({eta for _, eta in self.seeds})
        return min((high / low for low, high in pairwise(etas)), default=FURTHER_ETA)

    def _new(self, places: Iterable[Coordinates]) -> tuple[Next, ...]:
        return tuple(Next(k, float(f"{eta:.3g}"), self._all_seeds()) for k, eta in sorted(set(places)))

    def _all_seeds(self) -> tuple[int, ...]:
        """The seeds that were tried, and more if a cell would have no replicates."""
        known = frozenset().union(*self.seeds.values())
        return tuple(sorted(known | set(_unused(known, FEWEST_SEEDS - len(known)))))


def merged(gaps: Iterable[Gap]) -> tuple[Next, ...]:
    """All runs of some gaps, each once, by rising k, then η."""
    seeds: dict[tuple[int, float, int | None], set[int]] = defaultdict(set)
    for gap in gaps:
        for run in gap.runs:
            seeds[run.k, run.eta, run.horizon].update(run.seeds)
    ordered = sorted(seeds, key=lambda key: (key[0], key[1], key[2] or 0))
    return tuple(Next(k, eta, tuple(sorted(seeds[k, eta, horizon])), horizon) for k, eta, horizon in ordered)


def _unused(known: Iterable[int], number: int) -> tuple[int, ...]:
    """The smallest seeds that are not taken."""
    taken = set(known)
    return tuple(islice((seed for seed in count() if seed not in taken), max(number, 0)))


def _listed(runs: Sequence[Next]) -> str:
    """The cells in words, those with the same seeds and horizon together."""
    alike: dict[tuple[tuple[int, ...], int | None], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        alike[run.seeds, run.horizon][run.k].append(f"{run.eta:g}")
    parts = []
    for (seeds, horizon), by_k in alike.items():
        cells = ", ".join(f"k={k} at eta={_and(etas)}" for k, etas in by_k.items())
        longer = f" for {horizon:,} learner steps" if horizon else ""
        parts.append(f"{cells} with {plural(len(seeds), 'seed')} {_and([str(seed) for seed in seeds])}{longer}")
    return "; ".join(parts)


def _and(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
