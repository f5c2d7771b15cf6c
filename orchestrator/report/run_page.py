"""One run as text: its cell, state, config, directory and attempts."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import yaml
from rich.filesize import decimal as size
from rich.text import Text

from grpo_worker.schema.records import CHECKPOINT_NAME
from orchestrator.base.states import EARLY_STOPS, RunState
from orchestrator.base.words import counted
from orchestrator.report.numbers import duration
from orchestrator.report.progress import STYLES

_LABEL = 13
_OF_ATTEMPT = re.compile(r"attempt-(\d+)\.(journal|diff|log)")

Lines = list[tuple[str, str]]
"""Labels with their values."""


def run_page(details: dict[str, Any], width: int) -> Text:
    """Lay out what `orchestrator.runs.details.run_details` gives; only paths and other long words exceed the width."""
    axes = "".join(f", {name} = {value}" for name, value in details["axes"].items())
    point = f"{details['model']}, k = {details['k']}, η = {details['eta']:g}{axes}, seed {details['seed']}"
    page = Text()
    page.append(f"run {details['run']}", style="bold")
    page.append(f" · sweep {details['sweep']} · {point}\n\n")
    _append(page, _summary(details), width, style=STYLES.get(details["state"], ""))
    if details["imported"] is not None:
        blocks = {"imported from": details["imported"], "known instead of a config": details["config"]}
    else:
        blocks = {f"config (digest {details['config_digest']})": details["config"]}
    for heading, block in (*blocks.items(), ("resources", details["resources"])):
        page.append(f"\n{heading}\n", style="bold")
        for name, value in block.items():
            page.append("\n".join(_folded(f"{name}: {_flow(value)}", width, "  ", "      ")) + "\n")
    page.append("\ndirectory\n", style="bold")
    page.append("".join(f"  {line}\n" for line in _directory(details)))
    for attempt in details["attempts"]:
        page.append(f"\nattempt {attempt['number']}\n", style="bold")
        _append(page, _attempt(attempt), width)
    if not details["attempts"]:
        page.append("\nno attempt yet\n", style="bold")
    page.rstrip()
    return page


def _append(page: Text, lines: Lines, width: int, style: str = "") -> None:
    for place, (label, value) in enumerate(lines):
        indent = " " * (_LABEL + 2)
        folded = "\n".join(_folded(value, width, indent, indent)).removeprefix(indent)
        page.append(f"  {label:{_LABEL}}", style="dim")
        page.append(f"{folded}\n", style=style if place == 0 else "")


def _folded(text: str, width: int, first: str, others: str) -> list[str]:
    whole: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, max(60, width), initial_indent=first, subsequent_indent=others, **whole)


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")


def _summary(run: dict[str, Any]) -> Lines:
    code = _code(run["code_version"], run["git_commit"])
    reached = f"{run['learner_steps']:,} of {run['horizon']:,} learner steps"
    if run["sync"] is not None:
        reached += f"; weight sync {run['sync']}: reward {_number(run['reward'])}"
    if run["val_reward"] is not None:
        reached += f"; validation reward {_number(run['val_reward'])}"
    count = len(run["attempts"])
    lines = [("state", _state(run)), ("progress", reached)]
    if count:
        gpus = run["resources"].get("gpus", 0)
        lines.append(("time", f"{_duration(run['wall_s'])} in {counted(count, 'attempt')}, {gpus} GPUs"))
    registered = "read by" if run["source"] == "import" else "registered by"
    return [*lines, ("code", f"{registered} {code}"), ("changed", _time(run["updated_at"]))]


def _state(run: dict[str, Any]) -> str:
    detector = f" (detector {run['collapse_detector']})" if run["collapse_detector"] else ""
    alive = "" if run["collapse_step_lo"] is None else f", last seen alive at {run['collapse_step_lo']}"
    match run["state"]:
        case RunState.COLLAPSED:
            sync = "" if run["collapse_sync"] is None else f", weight sync {run['collapse_sync']}"
            return f"collapsed at learner step T* = {run['collapse_step']}{alive}{sync}{detector}"
        case RunState.STABLE | RunState.DEGRADED:
            return f"{run['state']}: no collapse within {run['horizon']:,} learner steps{detector}"
        case RunState.CANCELLED if run["failure_class"] in EARLY_STOPS:
            why = run["failure_class"].replace("_", " ")
            return f"cancelled, stopped early by a search ({why}): {run['failure']}{alive}"
        case state:
            return f"{state}: {run['failure']}" if run["failure"] else str(state)


def _directory(run: dict[str, Any]) -> Iterable[str]:
    directory = run["directory"]
    if directory["path"] is None:
        yield "none, it was trained elsewhere" if run["source"] == "import" else "none before its first launch"
        return
    if not directory["exists"]:
        yield f"{directory['path']} (not there)"
        return
    yield f"{directory['path']}, {size(directory['bytes'])}"
    longest = max(map(len, directory["files"]), default=0)
    known = {attempt["number"]: attempt for attempt in run["attempts"]}
    for name, count in directory["files"].items():
        meaning = _meaning(name, count, known)
        yield f"  {name:{longest}}  {size(count):>10}{f'  {meaning}' if meaning else ''}"


def _meaning(name: str, count: int, attempts: dict[int, dict[str, Any]]) -> str:
    if found := CHECKPOINT_NAME.fullmatch(name):
        return f"checkpoint after {int(found[1]):,} learner steps"
    if not (found := _OF_ATTEMPT.fullmatch(name)):
        return {"run.json": "the run and its config", "log.txt": "log of all attempts"}.get(name, "")
    number = int(found[1])
    match found[2]:
        case "diff":
            return "how the code differed from its commit"
        case "log":
            return f"log of attempt {number}"
    if number not in attempts:
        return "of an attempt not in the database"
    return _not_stored(count, attempts[number]["journal"]["stored_bytes"])


def _not_stored(count: int, stored: int) -> str:
    return f"{size(count - stored)} not in the database yet" if count > stored else "all in the database"


def _attempt(attempt: dict[str, Any]) -> Lines:
    if attempt["executor"] == "import":
        return [("imported", f"{_time(attempt['heartbeat_at'])} on {attempt['host']}"), ("stored", _stored(attempt))]
    numbers = [str(part) for part in (attempt["job_id"], attempt["task_id"]) if part is not None]
    job = f", job {'_'.join(numbers)}" if attempt["job_id"] is not None else ""
    again = f", requeued {attempt['restart_count']} times" if attempt["restart_count"] else ""
    process = f" as process {attempt['pid']}" if attempt["pid"] else ""
    node = f" (node {attempt['node']})" if attempt["node"] not in (None, attempt["host"]) else ""
    lines = [
        ("executor", f"{attempt['executor']}{job}{again}, on {attempt['host']}{node}{process}"),
        ("began", f"{_time(attempt['started_at'])}, {_origin(attempt)}"),
    ]
    if attempt["ended_at"] is not None:
        failure = f": {attempt['failure']}" if attempt["failure"] else ""
        told = attempt["failure_class"] not in (None, attempt["outcome"])
        why = f" ({attempt['failure_class'].replace('_', ' ')})" if told else ""
        took = f"after {_duration(attempt['duration_s'])}, {attempt['outcome']}{why}{failure}"
        lines.append(("ended", f"{_time(attempt['ended_at'])}, {took}"))
    else:
        lines.append(("heartbeat", f"{_duration(attempt['heartbeat_age_s'])} ago; it has not ended"))
    dirty = {None: "", False: ", tree clean", True: ", tree dirty"}[attempt["git_dirty"]]
    lines += [("stored", _stored(attempt)), ("code", _code(attempt["code_version"], attempt["git_commit"]) + dirty)]
    lines += [("", f"its changes: {attempt['diff']}")] if attempt["diff"] else []
    machine = _machine(attempt)
    return lines + ([("machine", machine)] if machine else [])


def _origin(attempt: dict[str, Any]) -> str:
    if attempt["resumed_from_step"] is not None:
        sync = attempt["resumed_from_sync"]
        whole = "" if sync is None else f" (whole up to weight sync {sync})"
        return f"from the checkpoint of learner step {attempt['resumed_from_step']:,}{whole}"
    if attempt["resumed_from_sync"] is not None:
        return f"from weight sync {attempt['resumed_from_sync']}"
    return "from the start"


def _stored(attempt: dict[str, Any]) -> str:
    rows, journal = f"{attempt['syncs']:,} weight syncs, {attempt['evaluations']:,} evaluations", attempt["journal"]
    if journal["bytes"] is None:
        return f"{rows}; no journal is there" if journal["stored_bytes"] else rows
    missing = _not_stored(journal["bytes"], journal["stored_bytes"])
    return f"{rows}; of its journal of {size(journal['bytes'])}, {missing}"


def _machine(attempt: dict[str, Any]) -> str:
    """What is known of where it ran."""
    device, threads, parameters, setup_s = (attempt[name] for name in ("device", "threads", "parameters", "setup_s"))
    facts = [f"{name} {version}" for name, version in (attempt["versions"] or {}).items() if version is not None]
    facts += [] if device is None else [device]
    facts += [] if threads is None else [counted(threads, "thread")]
    facts += [] if parameters is None else [f"{parameters:,} parameters"]
    facts += [] if setup_s is None else [f"set up in {_duration(setup_s)}"]
    return ", ".join(facts)


def _code(version: str, commit: str | None) -> str:
    commit, plus, _ = (commit or "").partition("+")
    known = f"commit {commit}" if commit else "no commit known"
    return f"version {version}, {known}{', tree dirty' if plus else ''}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
