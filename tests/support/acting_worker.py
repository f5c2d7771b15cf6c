"""Takes the place of `grpo_worker.loop` in the scenes of `tests.cluster.scenes`: as `fake_worker`, and acts as told.

The job's folder holds a module `acting`. It is called where the real worker would call it: learner step 6 and the
checkpoint of step 5 are behind it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from grpo_worker.schema.records import FinishRecord
from tests.support import fake_worker
from tests.support.fake_worker import latest_checkpoint

__all__ = ["latest_checkpoint", "run"]

fake_worker.STEP_S = 0.2 if "SLURM_JOB_ID" in os.environ else 0.0
"""On a cluster 16 learner steps take as long as real ones, so that a test can do something to runs that wait."""


def run(*arguments: Any, should_stop: Callable[[], bool], **options: Any) -> FinishRecord:
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        if len(asked) == 6:
            importlib.import_module("acting").act()
        return should_stop()

    return fake_worker.run(*arguments, should_stop=stop, **options)
