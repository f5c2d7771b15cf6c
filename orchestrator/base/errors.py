"""The control plane's errors. The command line turns them into exit codes; nothing else does.

StalesweepError
├── UsageError           what was asked cannot be done as asked                       exit 2
│   ├── GridError        a grid file, or a file to import, with mistakes; holds all of them
│   ├── SweepConflict    the name is taken by a grid with other content
│   ├── SelectionError   no sweep or run of that name or number
│   ├── SlurmUnavailable      Slurm does not answer, or refuses
│   │   └── NoAccounting      it was asked for the accounts of jobs, and keeps none
│   └── StoreError            the database cannot be reached or used
│       ├── StoreUnavailable  away, full, read-only, locked or at its connection limit: it may serve again later
│       └── SchemaError       its schema is older or newer than this version's
├── JournalError         a run directory cannot be written to: its attempt must stop
├── NothingToDo          all that was asked for is done already                       exit 3
├── Fenced               a newer attempt of the run has taken over; this writer must stop
└── OutOfStep            more or less of a journal is stored than the writer assumed
"""


class StalesweepError(Exception):
    """Base of every error that the control plane raises on purpose."""


class UsageError(StalesweepError):
    """What was asked cannot be done as asked. The message says what to do instead."""


class GridError(UsageError):
    """A grid file, or a file to import, has mistakes.

    Args:
        mistakes: One complete sentence each: file, line, key path, value seen, values allowed.
    """

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
    """More or less of a journal is stored than the writer assumed; it continues from what is stored.

    Args:
        stored: How much is stored, in bytes.
    """

    def __init__(self, stored: int) -> None:
        super().__init__(f"{stored} bytes of the journal are stored")
        self.stored = stored
