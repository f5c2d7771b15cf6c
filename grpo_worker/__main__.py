"""``python -m grpo_worker config.yaml``: train one run and print its records as JSON lines.

Exit codes: 0 the run ended (collapsed or not) · 1 it diverged or was interrupted · 2 the config cannot be used.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from grpo_worker import import_large
from grpo_worker.schema.config import load_config
from grpo_worker.schema.errors import WorkerError
from grpo_worker.schema.records import Record, to_json


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m grpo_worker", description="Train one asynchronous GRPO run.")
    parser.add_argument("config", type=Path, help="YAML file of worker fields; model, k, eta and seed are required")
    parser.add_argument("--run-dir", type=Path, help="folder to save checkpoints in, and to resume from")
    parser.add_argument(
        "--cache-dir", type=Path, default=Path(os.environ.get("STALESWEEP_CACHE", "~/.cache/stalesweep")).expanduser(),
        help="folder of warmed-up builtin policies (default: %(default)s)",
    )  # fmt: skip
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    stop_requested = False

    def request_stop(*_: object) -> None:
        nonlocal stop_requested
        stop_requested = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, request_stop)

    def emit(record: Record) -> None:
        print(to_json(record), flush=True)

    try:
        config = load_config(arguments.config)
        worker = import_large("grpo_worker.loop")  # takes seconds: after the config was checked
        finish = worker.run(
            config,
            emit,
            cache_dir=arguments.cache_dir,
            run_dir=arguments.run_dir,
            should_stop=lambda: stop_requested,
        )
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if finish.outcome in ("diverged", "interrupted") else 0


if __name__ == "__main__":
    sys.exit(main())
