"""An asynchronous GRPO worker: one training run, with its staleness measured. Runs alone: ``python -m grpo_worker``."""

__version__ = "0.1.0"
