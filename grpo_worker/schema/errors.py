"""The errors that the worker raises on purpose.

WorkerError
├── ConfigError        a config file that cannot be read or does not validate
├── ModelError         a model or tokenizer that cannot be loaded or does not fit the task
├── TaskError          prompts or answers that cannot be used
├── LagError           a learner step would consume a token whose lag its pipeline does not allow
├── SamplerError       a rollout engine that cannot be started, failed or died
├── CheckpointError    a checkpoint that is damaged or belongs to another config or version
└── Diverged           a loss, gradient or weight is not finite
"""


class WorkerError(Exception):
    """Base of every error that the worker raises on purpose."""


class ConfigError(WorkerError):
    """A config file cannot be read or does not validate."""


class ModelError(WorkerError):
    """A model or tokenizer cannot be loaded or does not fit the task."""


class TaskError(WorkerError):
    """A task's prompts or answers cannot be used."""


class LagError(WorkerError):
    """A learner step would consume a token whose lag its pipeline does not allow."""


class SamplerError(WorkerError):
    """A rollout engine cannot be started, failed, or its process died."""


class CheckpointError(WorkerError):
    """A checkpoint cannot be used: it is damaged, or was written under another config or code version."""


class Diverged(WorkerError):
    """A loss, gradient or weight is not finite.

    Args:
        what: The quantity that is not finite, e.g. ``"the loss"``.
        learner_step: The learner step, counted from 0, whose update produced it.
    """

    def __init__(self, what: str, learner_step: int) -> None:
        super().__init__(f"{what} is not finite at learner step {learner_step}")
        self.what = what
        self.learner_step = learner_step
