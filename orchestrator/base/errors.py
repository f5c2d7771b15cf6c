"""The control plane's errors. The command line turns them into exit codes; nothing else does.

StalesweepError
├── UsageError    (exit code 2)  GridError · SweepConflict · SelectionError · SlurmUnavailable ← NoAccounting
│   └── StoreError               StoreUnavailable · SchemaError
├── NothingToDo   (exit code 3)
└── inside jobs                  JournalError · Fenced · OutOfStep
"""


class StalesweepError(Exception):
    """Base of every error that the control plane raises on purpose."""


class UsageError(StalesweepError):
    """What was asked cannot be done as asked. The message says what to do instead."""


class GridError(UsageError):
    """A grid file, or a file to import, has mistakes: a sentence each, with line, key path, values seen and allowed."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class SweepConflict(UsageError):
    """The sweep's name is taken by a grid with other content. The message holds the difference."""


class SelectionError(UsageError):
    """No sweep or run of that name or number."""


class SlurmUnavailable(UsageError):
    """One of Slurm's commands does not answer, or refuses."""


class NoAccounting(SlurmUnavailable):
    """This cluster keeps no accounts, so what squeue no longer lists cannot be looked up."""


class StoreError(UsageError):
    """The database cannot be reached or used."""


class StoreUnavailable(StoreError):
    """The database is away, full, read-only, locked or at its connection limit; trying again later may help."""


class SchemaError(StoreError):
    """The database's schema is older or newer than this version's."""


class JournalError(StalesweepError):
    """A run directory cannot be written to; without a journal nothing may be recorded, so the attempt stops."""


class NothingToDo(StalesweepError):
    """All that was asked for is done already."""


class Fenced(StalesweepError):
    """A newer attempt of the run has taken over, so this one may not write any more."""


class OutOfStep(StalesweepError):
    """More or less of a journal is stored, in bytes, than the writer assumed; it continues from what is stored."""

    def __init__(self, stored: int) -> None:
        super().__init__(f"{stored} bytes of the journal are stored")
        self.stored = stored
