"""Ending runs early on purpose, for a reason, such that it is seen, censored in every fit, and never a collapse."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.base.states import CANCELLABLE
from orchestrator.runs import cancelling
from orchestrator.store import queries, submissions
from orchestrator.store.collect import collect_runs
from orchestrator.store.endings import Ending
from orchestrator.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """Why a run is ended before it has answered its own question.

    Attributes:
        why: ``predicted_collapse``: it is expected to collapse; ``decided``: whatever it did, nothing would be decided
            otherwise.
        sentence: The same for people, with the numbers that led to it.
    """

    why: Literal["predicted_collapse", "decided"]
    sentence: str


def stop_early(store: Store, sweep_id: int, stops: Mapping[int, EarlyStop]) -> list[int]:
    """Stop runs that have not ended; what they have measured stays.

    A job leaves such a run at its next learner step, and goes on with the next one of its share.

    Args:
        store: The results database.
        sweep_id: The sweep of the runs.
        stops: Why, by run.

    Returns:
        The runs that were stopped, rising. One that has ended meanwhile stays as it is, and so does one that has not
        begun, unless all is decided without it.

    Raises:
        StoreError: The database cannot be used; where its word is in the run directories, who collects finishes it.
    """
    if not stops:
        return []
    notes = collect_runs(store, [run for run in queries.run_folders(store, sweep_id) if run.run_id in stops]).notes
    going = {
        place.run_id
        for place in submissions.places(store, sweep_id)
        if place.state in CANCELLABLE
        and place.run_id in stops
        and (place.attempt is not None or stops[place.run_id].why == "decided")
    }
    endings = {run_id: Ending(stops[run_id].why, stops[run_id].sentence) for run_id in going}
    done = cancelling.end(store, [sweep_id], endings) if endings else cancelling.Done()
    for note in (*notes, *done.notes):
        log.warning("%s", note)
    return sorted(done.runs)
