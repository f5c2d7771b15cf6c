"""Notify a webhook once that a sweep has ended. The process that ends the last run first claims it in the database."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from orchestrator.base import webhook
from orchestrator.base.errors import StoreError, UsageError
from orchestrator.store import notices
from orchestrator.store.database import Store

TIMEOUT_S = 10.0
_TRIES = 3
_PAUSE_S = 1.0

log = logging.getLogger(__name__)


def tell_end(store: Store, sweep: str, *, searched: bool = False) -> None:
    """Notify the user's webhook if a sweep has ended and that was not yet done. Never fails; may take half a minute.

    ``searched`` says that a search has ended, see `orchestrator.store.notices.claim_end`.
    """
    try:
        url = webhook.chosen()
        if url is None or (states := notices.claim_end(store, sweep, searched=searched)) is None:
            return
        ended = ", ".join(f"{count} {state}" for state, count in states.items())
        text = f"stalesweep: sweep {sweep} has ended: {ended}"
        if why := _post(url, {"text": text, "sweep": sweep, "states": states}):
            notices.unclaim(store, sweep)
            log.warning(
                "the webhook could not be notified that sweep %s has ended: %s; `status` tries again", sweep, why
            )
    except StoreError as error:
        log.warning("the webhook could not be notified of sweep %s: %s", sweep, error)
    except UsageError as error:
        log.warning("%s", error)


def _post(url: str, message: Mapping[str, Any]) -> str | None:
    """Post a JSON object, in up to three tries; returns why it was not taken, without the URL."""
    data = json.dumps(message).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", "User-Agent": "stalesweep"})
    opener = urllib.request.build_opener(_NoRedirects)
    why = ""
    for number in range(_TRIES):
        time.sleep(number * _PAUSE_S)
        try:
            with opener.open(request, timeout=TIMEOUT_S):
                return None
        except urllib.error.HTTPError as error:
            why = f"it answers {error.code}"
            error.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            why = getattr(reason, "strerror", None) or type(reason).__name__
    return why


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, without its message."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""
