"""Every state of a run, outcome of an attempt and failure class, named once; and who may change a run's state.

                 launch                      the job
    PENDING ────────────────► QUEUED ────────────────► RUNNING ──┬──► COLLAPSED, DEGRADED, STABLE
       ▲ ▲                       │                        │      ├──► FAILED
       │ └───────────────────────┘                        │      ├──► LOST
       │   launch: Slurm refused the array                │      └──► CANCELLED
       └──────────────────────────────────────────────────┘
           the job, when it is asked to stop

    from                          to                          who, and when
    PENDING                       QUEUED                      `launch`, `retry`, `search`: before they submit
    QUEUED                        PENDING                     `launch`: Slurm refused the array, or Ctrl-C
    PENDING, QUEUED, LOST         RUNNING                     the job: an attempt begins
    RUNNING                       a result                    the job: the run has come to its end
    RUNNING                       FAILED                      the job: an exception, or training diverged
    RUNNING                       PENDING                     the job: it was asked to stop
    PENDING, QUEUED, RUNNING      LOST, FAILED, CANCELLED     `launch`, `retry`: no process has the run any more,
                                                              and no journal says how it ended
    GOING, LOST                   CANCELLED                   `cancel`; `search`, with class DECIDED
    all but RUNNING               CANCELLED                   `rm`, with class REMOVED
    FAILED, LOST, CANCELLED       PENDING, QUEUED             `launch`, `retry`, `search`: unless the run is final

A job also writes through its journal: any command that brings journals into the database then makes the job's
transition. `status`, `fit-laws` and all other commands that read make no transition of their own.

A run is final, so that only `retry` with its state named trains it on, if it has a result or if its failure class is
one of `FINAL`.
"""

from __future__ import annotations

from enum import StrEnum


class _Text(StrEnum):
    """Texts with names. In messages they look as they are stored."""

    def __repr__(self) -> str:
        return repr(self.value)


class RunState(_Text):
    """The state of a run, in the order in which people are shown counts."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    COLLAPSED = "collapsed"
    DEGRADED = "degraded"
    STABLE = "stable"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"


class AttemptOutcome(_Text):
    """How an attempt ended."""

    COLLAPSED = "collapsed"
    DEGRADED = "degraded"
    STABLE = "stable"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    LOST = "lost"


class FailureClass(_Text):
    """Why a run or an attempt has no result. docs/slurm.md says which are tried again."""

    EXCEPTION = "exception"
    DIVERGED = "diverged"
    GPU_OUT_OF_MEMORY = "gpu_out_of_memory"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    PREEMPTED = "preempted"
    NODE_FAILURE = "node_failure"
    KILLED = "killed"
    CANCELLED = "cancelled"
    NEVER_BEGAN = "never_began"
    FORGOTTEN = "forgotten"
    STOPPED = "stopped"
    LOST = "lost"
    PREDICTED_COLLAPSE = "predicted_collapse"
    """A search of an older version stopped it, because a model predicted its collapse. No longer written."""
    DECIDED = "decided"
    REMOVED = "removed"


UNKNOWN = "unknown"
"""What `status` shows in place of a state while Slurm does not answer. It is never stored."""

FENCED = "fenced"
"""How a job ends an attempt that a newer one has taken over. It is never stored."""

GOING = (RunState.PENDING, RunState.QUEUED, RunState.RUNNING)
"""The states of a run before its end."""

RESULTS = (RunState.COLLAPSED, RunState.DEGRADED, RunState.STABLE)
"""The states of a run that has its result."""

WITHOUT_RESULT = (RunState.FAILED, RunState.LOST, RunState.CANCELLED)
"""The states of a run that ended without a result."""

CANCELLABLE = (*GOING, RunState.LOST)
"""The states in which a run can be cancelled. The process of a lost run may still be alive."""

EARLY_STOPS = (FailureClass.DECIDED, FailureClass.PREDICTED_COLLAPSE)
"""The failure classes of cancelled runs that a search stopped on purpose."""

FINAL = (FailureClass.DIVERGED, *EARLY_STOPS)
"""The failure classes of runs that `launch` does not train again: it would not help, or was not wanted."""
