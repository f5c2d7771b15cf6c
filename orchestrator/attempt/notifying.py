"""Telling a webhook once that a sweep has ended: whoever ends its last run claims that in the database, and tells."""

from __future__ import annotations

import logging

from orchestrator.base import webhook
from orchestrator.base.errors import StoreError, UsageError
from orchestrator.store.attempt_store import AttemptStore

log = logging.getLogger(__name__)


def tell_end(store: AttemptStore, sweep: str, *, searched: bool = False) -> None:
    """Tell the user's webhook if a sweep has ended and nobody has told it. Never fails, and may take half a minute.

    Args:
        store: The results database.
        sweep: The sweep's name.
        searched: Whether it is a search that has ended, see `AttemptStore.claim_end`.
    """
    try:
        url = webhook.chosen()
        if url is None or (states := store.claim_end(sweep, searched=searched)) is None:
            return
        ended = ", ".join(f"{count} {state}" for state, count in states.items())
        text = f"stalesweep: sweep {sweep} has ended: {ended}"
        if why := webhook.post(url, {"text": text, "sweep": sweep, "states": states}):
            store.unclaim_end(sweep)
            log.warning("the webhook is not told that sweep %s has ended: %s; `status` tries again", sweep, why)
    except StoreError as error:
        log.warning("the webhook is not told of sweep %s: %s", sweep, error)
    except UsageError as error:
        log.warning("%s", error)
