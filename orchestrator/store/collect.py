"""Journals → database: finds what journals hold and the database does not, and ingests it.

A job's thread calls `collect_run` for its own run, and the command line calls `collect` for the runs of sweeps: jobs
may have been killed, or the database may have been away. Neither changes a state that an attempt has not written
itself. Several processes may collect at once.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.base.errors import Fenced, OutOfStep, SchemaError, StalesweepError, StoreError, StoreUnavailable
from orchestrator.base.processes import this_host
from orchestrator.base.words import counted
from orchestrator.rundir import folder as rundirs
from orchestrator.rundir import journal
from orchestrator.rundir.writing import Journal
from orchestrator.store import endings, queries
from orchestrator.store.attempts import AttemptOrigin, Claim
from orchestrator.store.database import Store
from orchestrator.store.endings import Ending
from orchestrator.store.ingest import ingest, lacks, restore
from orchestrator.store.queries import RunFolder

Entry = dict[str, Any]


@dataclass(slots=True)
class Collected:
    """What was brought into the database, and what was not."""

    records: int = 0
    runs: int = 0  # that these are of
    notes: list[str] = field(default_factory=list)  # what people should know of: damaged lines, a database that refuses


def collect(store: Store, sweep_id: int | None = None) -> Collected:
    """Bring what the journals of one sweep, or of all, hold and the database does not.

    Raises:
        StoreError: The database cannot be read.
    """
    return collect_runs(store, queries.run_folders(store, sweep_id))


def collect_runs(store: Store, runs: Iterable[RunFolder]) -> Collected:
    """Bring what the journals of some runs hold and the database does not."""
    collected = Collected()
    waiting = [run for run in runs if has_news(run)]
    for place, run in enumerate(waiting):
        try:
            brought = collect_run(store, run, collected.notes)
        except StoreUnavailable as error:
            whose = counted(len(waiting) - place, "run")
            collected.notes.append(f"the journals of {whose} hold records that the database does not have yet: {error}")
            break
        except (OSError, StalesweepError) as error:
            collected.notes.append(f"run {run.run_id}: {error}")
            continue
        collected.records += brought
        collected.runs += brought > 0
    return collected


def collect_run(store: Store, run: RunFolder, notes: list[str], own: Journal | None = None) -> int:
    """Bring what the journals of one run hold, oldest attempt first; returns how many records were stored.

    Args:
        store: The database.
        run: The run, and what is stored of its journals.
        notes: Takes a line for each thing that people should know of, e.g. a damaged line, or a record of an older
            attempt that the database refuses.
        own: A journal that this process is writing; only what it has flushed is brought.

    Raises:
        StoreUnavailable: The database cannot take them now.
        StoreError: The database refuses a record of the newest attempt.
        UsageError: The directory's ``run.json`` cannot be read.
        OSError: The directory cannot be read.
    """
    new = _new_journals(run)
    if not new:
        return 0
    folder = rundirs.load(new[0][1].parent)
    if folder.identity != (run.sweep, run.config_digest):
        notes.append(f"{new[0][1].parent} belongs to a run of another database; left alone")
        return 0
    steps_per_sync = folder.worker_config().steps_per_sync
    records = 0
    for number, path in new:
        starts: list[Entry] = []
        try:
            claim = Claim(run.run_id, number, steps_per_sync)
            mine = own if own is not None and own.number == number else None
            if mine is None and (whose := journal.stranger(path, folder.identity)):
                notes.append(whose)
                continue
            records += _bring(store, run, claim, path, starts, notes, mine)
            if starts and starts[-1]["resumed_from_step"] is not None and number >= max(run.stored, default=0):
                refill(store, run, starts[-1]["resumed_from_step"], notes)
        except Fenced:
            continue  # an attempt that was removed
        except (OSError, StoreError) as error:
            if isinstance(error, StoreUnavailable | SchemaError) or number == new[-1][0]:
                raise
            notes.append(f"{path}: {error}")  # later attempts must not wait for what an older one has left
    return records


def refill(store: Store, run: RunFolder, learner_steps: int, notes: list[str]) -> None:
    """Bring back what ought to be stored up to a checkpoint of so many learner steps, and is not.

    See `orchestrator.store.ingest.restore`. ``notes`` takes a line where something cannot be brought back.
    """
    directory = Path(run.directory or "")
    folder = rundirs.load(directory)
    config = folder.worker_config()
    last_sync = config.last_whole_sync(learner_steps)
    syncs = 0 if last_sync is None else last_sync + 1
    wanted = {"syncs": syncs, "evals": learner_steps // config.eval_every_steps + 1, "learner_steps": learner_steps}
    if not lacks(store, run.run_id, **wanted):
        return
    for number in journal.numbers(directory):
        path = journal.path_of(directory, number)
        at = 0
        while not journal.stranger(path, folder.identity) and (chunk := journal.read(path, at)).entries:
            found = [e for e in chunk.entries if e["record"] == "sync" and e["sync"] < syncs]
            evals = [e for e in chunk.entries if e["record"] == "eval" and e["learner_step"] <= learner_steps]
            restore(store, Claim(run.run_id, number), found, evals)
            at = chunk.end
    if lacks(store, run.run_id, **wanted):
        notes.append(
            f"run {run.run_id}: some of what it measured up to learner step {learner_steps}, where it goes on, is "
            f"neither in the database nor in {directory}; remove the checkpoint there to train it anew"
        )


def has_news(run: RunFolder, besides: int | None = None) -> bool:
    """Whether journals of a run, but for one of them, may hold records that the database does not have yet."""
    try:
        return any(number != besides for number, _ in _new_journals(run))
    except OSError:
        return True  # `collect` will say why they cannot be read


def _new_journals(run: RunFolder) -> list[tuple[int, Path]]:
    if run.directory is None:
        return []
    known = [n for n in journal.numbers(run.directory) if n in run.stored or n > run.fence]
    paths = [(number, journal.path_of(Path(run.directory), number)) for number in known]
    return [(number, path) for number, path in paths if journal.size_of(path) > run.stored.get(number, 0)]


def _bring(
    store: Store, run: RunFolder, claim: Claim, path: Path, starts: list[Entry], notes: list[str], own: Journal | None
) -> int:
    now_s, until = (own.elapsed_s, own.flushed) if own else (_clock_of(path), None)
    at = run.stored.get(claim.attempt, 0)
    records = 0
    limit = 10_000
    while (chunk := journal.read(path, at, limit, until)).entries:
        if chunk.entries[0]["record"] in journal.WORDS:  # no attempt's, see `orchestrator.runs.cancelling`
            ending = Ending.of_entry(chunk.entries[0])
            endings.end_runs(store, {run.run_id: claim.attempt}, {run.run_id: ending})
            return len(chunk.entries)
        if claim.attempt > run.fence and at == 0 and chunk.entries[0]["record"] != "begin":
            begin = _begin_of(chunk.entries)
            if not chunk.damage:
                notes.append(f"{path}: its first record does not say whose it is; left out")
                return 0
            if begin is None:
                notes.append(f"{path}: its first line is damaged, and nothing follows that was measured; left out")
                return 0
            chunk = dataclasses.replace(chunk, entries=[begin, *chunk.entries])
        age_s = max(0.0, now_s - chunk.entries[-1]["elapsed_s"])
        try:
            ingest(store, claim, chunk, age_s=age_s)
        except OutOfStep as other:
            at = other.stored
            continue
        except StoreError as error:
            if limit == 1 or isinstance(error, StoreUnavailable | SchemaError):
                raise
            limit = 1  # what stands before the record that is refused is stored all the same
            continue
        notes += chunk.damage
        starts += [entry for entry in chunk.entries if entry["record"] == "start"]
        records += len(chunk.entries)
        at = chunk.end
    notes += chunk.tail
    return records


def _begin_of(entries: list[Entry]) -> Entry | None:
    """What a lost first line said, as far as others tell; the process, which nobody knows, counts as gone."""
    start = next((entry for entry in entries if entry["record"] == "start"), None)
    if start is None:
        return None
    nobody = AttemptOrigin("unknown", None, None, 0, this_host(), 0, 0.0, "unknown")
    return {**start, "record": "begin", "origin": dataclasses.asdict(nobody)}


def _clock_of(path: Path) -> float:
    """The ``elapsed_s`` of a record that were written to a journal now, by the clock of the host that keeps the file.

    Clocks of hosts differ.
    """
    newest = journal.last(path)
    if newest is None:
        return 0.0
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            now = os.fstat(probe.fileno()).st_mtime
    except OSError:
        now = time.time()
    elapsed_s: float = newest["elapsed_s"]
    return elapsed_s + max(0.0, now - path.stat().st_mtime)
