"""Tasks that are read from files: the user's own problems as JSON lines, and GSM8K."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grpo_worker.schema.config import TaskConfig
from grpo_worker.schema.errors import TaskError
from grpo_worker.tasks.task import Problem, Task, hold_out
from grpo_worker.tasks.verifiers import load_verifier

_GSM8K = "openai/gsm8k"


def jsonl_task(config: TaskConfig) -> Task:
    """Read a file with one problem ``{"prompt": …, "answer": …}`` per line.

    Raises:
        TaskError: The file cannot be read, a line is not a problem, or too few prompts remain for training.
    """
    assert config.path is not None, "the config has checked it"
    rows = _rows(Path(config.path).expanduser())
    problems = [Problem(config.ask(_text(row, "prompt", place)), _text(row, "answer", place)) for place, row in rows]
    train, val = hold_out(problems, config.val_prompts)
    return Task(train, val, load_verifier(config.verifier or "exact"))


def gsm8k_task(config: TaskConfig) -> Task:
    """Read GSM8K from Parquet or JSON lines, one problem ``{"question": …, "answer": "… #### 72"}`` per row.

    In a folder the files have ``train`` or ``test`` in their names; they may also lie in its subfolder ``main``, as on
    the hub. Validation problems are drawn from the test split, and no problem of it is trained on. A single file is
    split into training and validation as in `jsonl_task`.

    Raises:
        TaskError: Files are missing, a row is not a problem, or too few prompts remain for training.
    """
    path = Path(config.path or _GSM8K).expanduser()
    if not path.exists():
        path = _downloaded(config.path or _GSM8K)
    if path.is_file():
        train, val = hold_out(_gsm8k_problems(config, [path]), config.val_prompts)
    else:
        folder = path / "main" if (path / "main").is_dir() else path
        files = {
            split: sorted(file for file in folder.glob(f"*{split}*") if file.suffix in (".parquet", ".jsonl"))
            for split in ("train", "test")
        }
        if not all(files.values()):
            raise TaskError(f"task.path: {folder} needs a train and a test file, each .parquet or .jsonl")
        train_problems, test_problems = (_gsm8k_problems(config, paths) for paths in files.values())
        train, val = hold_out(train_problems, config.val_prompts, test_problems)
    return Task(train, val, load_verifier(config.verifier or "number"))


def _gsm8k_problems(config: TaskConfig, paths: list[Path]) -> list[Problem]:
    problems = []
    for path in paths:
        for place, row in _rows(path):
            _, mark, answer = _text(row, "answer", place).rpartition("####")
            if not mark:
                raise TaskError(f"{place}: the answer has no '####' before its result, found {str(row)[:60]!r}")
            problems.append(Problem(config.ask(_text(row, "question", place)), answer.strip().replace(",", "")))
    return problems


def _downloaded(hub_id: str) -> Path:
    """The folder with the Parquet files of a dataset of the hub, which are downloaded if they are not in its cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, repo_type="dataset", allow_patterns="main/*.parquet"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise TaskError(
            f"task.path: {hub_id!r} is no file or folder and cannot be downloaded from the hub: {error}"
        ) from error


def _rows(path: Path) -> list[tuple[str, Any]]:
    """The rows of a Parquet or JSON lines file, each with its place for error messages."""
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            return [(f"{path}, row {n}", row) for n, row in enumerate(parquet.read_table(path).to_pylist(), 1)]
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise TaskError(f"task.path: {error}") from error
    return [(f"{path}:{n}", _parsed(line)) for n, line in enumerate(lines, 1) if line.strip()]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return line


def _text(row: Any, key: str, place: str) -> str:
    value = row.get(key) if isinstance(row, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise TaskError(f"{place}: expected text under {key!r}, found {str(row)[:60]!r}")
    return str(value)
