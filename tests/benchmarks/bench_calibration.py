"""How often 95 % intervals contain the truth, and true laws are rejected, in simulated sweeps. Asserts nothing.

    .venv/bin/python -m tests.benchmarks.bench_calibration [--sweeps 500] [--processes 2] [--only 3x4x3] \
        [--world '(1, 1, 0)']

Targets: every interval contains the truth in 92 to 98 % of the sweeps, and a true law is rejected in at most 7 %. If a
side of an interval is open, it contains all values on that side. ``given`` counts the sweeps that give an interval; the
others are ignored.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.fit import fit_laws
from orchestrator.laws.result import HorizonFit, ModelLaws
from tests.benchmarks.simulated import GRIDS, World

WORLDS = {
    "(1, 1, 0)": World(1.0, 1.0, 0.0),
    "(0.5, 1.6, 0)": World(0.5, 1.6, 0.0),
    "(1, 2, 0.3)": World(1.0, 2.0, 0.3),
    "all collapse, (1, 0)": World(None, 1.0, 0.0, step_at_8=150.0),
    "(1, 1, 0), seeds 0.2": World(1.0, 1.0, 0.0, between_seeds=0.2),
    "(1, 1, 0), seeds 0.4": World(1.0, 1.0, 0.0, between_seeds=0.4),
}
"""Simulated worlds, named by their exponents (a, b, q) and by the scatter between seeds."""

Reading = tuple[str, Estimate | None, float, float | None]
"""The quantity, its estimate, the truth, and the p-value of the truth."""


def readings(model: ModelLaws, world: World, edge: float) -> Iterator[Reading]:
    """Estimates of the quantities that this world has."""
    if world.a is None:
        yield from _latency("all collapse", model.horizon.censored, world)
        return
    joint, local = model.joint, model.local
    yield "joint a", joint.exponent, world.a, joint.p_exponent_is_1 if world.a == 1 else None
    if world.a == 1:
        yield "joint C_local", joint.constant, 8 * edge, None
    yield from _latency("joint", joint.horizon, world)
    if world.a == world.b == 1 and world.q == 0:
        yield "joint a, b, q", None, math.nan, joint.p_laws
    if world.a == 1:
        yield "boundary C_local (other truth)", local.constant, 8 * edge, None
    yield "boundary a (other truth)", local.exponent, world.a, local.p_exponent_is_1 if world.a == 1 else None
    yield "collapsed alone b (other truth)", model.horizon.collapsed_only.eta_exponent, world.b, None
    yield "all collapse b (other truth)", model.horizon.censored.eta_exponent, world.b, None


def _latency(name: str, fit: HorizonFit, world: World) -> Iterator[Reading]:
    law = (world.b, world.q) == (1.0, 0.0)
    yield f"{name} b", fit.eta_exponent, world.b, None
    yield f"{name} q", fit.k_exponent, world.q, None
    yield f"{name} sigma", fit.sigma, math.hypot(world.sigma, world.between_seeds), None
    if law:
        yield f"{name} C_horizon", fit.constant, world.step_at_8 * 1e-3, fit.p_law


def one(world: World, grid: str, seed: int) -> list[Reading]:
    """Draw and fit one sweep."""
    runs, edge = world.sweep(GRIDS[grid], seed)
    (model,) = fit_laws(runs).models.values()
    return list(readings(model, world, edge))


def main() -> None:
    """Simulate, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=500, help="simulated sweeps of each kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=GRIDS)
    parser.add_argument("--world", choices=WORLDS, action="append", help="only this; may be given several times")
    arguments = parser.parse_args()
    print(f"{'world':21} {'grid':6} {'what':32} {'given':>6} {'holds truth':>12} {'median width':>13} {'rejected':>9}")
    with ProcessPoolExecutor(arguments.processes) as pool:
        for name in arguments.world or WORLDS:
            for grid in [arguments.only] if arguments.only else GRIDS:
                seeds = range(arguments.sweeps)
                _print(name, grid, list(pool.map(partial(one, WORLDS[name], grid), seeds, chunksize=5)))


def _print(name: str, grid: str, sweeps: list[list[Reading]]) -> None:
    by_what: dict[str, list[Reading]] = defaultdict(list)
    for sweep in sweeps:
        for reading in sweep:
            by_what[reading[0]].append(reading)
    for what, found in by_what.items():
        given = [(estimate.ci95, truth) for _, estimate, truth, _ in found if estimate and estimate.ci95]
        holds = [(lo is None or lo <= truth) and (hi is None or truth <= hi) for (lo, hi), truth in given]
        widths = [math.inf if lo is None or hi is None else hi - lo for (lo, hi), _ in given]
        p_values = [p for *_, p in found if p is not None]
        cover = f"{100 * sum(holds) / len(holds):.1f} %" if holds else "–"
        width = f"{median(widths):.3g}" if widths else "–"
        rejected = f"{100 * sum(p < 0.05 for p in p_values) / len(p_values):.1f} %" if p_values else "–"
        print(f"{name:21} {grid:6} {what:32} {len(given):6} {cover:>12} {width:>13} {rejected:>9}", flush=True)


if __name__ == "__main__":
    main()
