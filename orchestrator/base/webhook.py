"""A URL of the user's that is told when a sweep has ended. It is a secret: whoever knows it can write to his channel.

So it is in no argument, script, message or log, and goes to jobs as the path of a file that only its owner can read.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.base import private_files
from orchestrator.base.errors import UsageError

TIMEOUT_S = 10.0
_TRIES = 3
_PAUSE_S = 1.0

log = logging.getLogger(__name__)


def chosen() -> str | None:
    """The URL: ``STALESWEEP_WEBHOOK``, else what the file ``STALESWEEP_WEBHOOK_FILE`` holds; None where neither is set.

    Raises:
        UsageError: The file cannot be used, or it is no URL of http or https. The message never holds the URL.
    """
    url = os.environ.get("STALESWEEP_WEBHOOK", "").strip()
    if not url and (named := os.environ.get("STALESWEEP_WEBHOOK_FILE")):
        path = Path(named).expanduser()
        url = private_files.read_line(path, "the webhook's URL")
        if private_files.has_other_readers(path):
            log.warning("others can read the webhook's URL in %s: chmod 600 %s", path, path)
    if not url:
        return None
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("the webhook's URL cannot be read; allowed: https://HOST/PATH")
    return url


@contextmanager
def handed_over() -> Iterator[None]:
    """Let the environment of processes and jobs that are started meanwhile name a file instead of the URL itself."""
    names = ("STALESWEEP_WEBHOOK", "STALESWEEP_WEBHOOK_FILE")
    before = {name: os.environ.pop(name, None) for name in names}
    url, named = before.values()
    try:
        if url:
            name = f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.url"
            os.environ[names[1]] = str(private_files.write_line("webhooks", name, url.strip()))
        elif named:
            os.environ[names[1]] = str(Path(named).expanduser().absolute())
    except OSError as error:
        log.warning("jobs cannot tell the webhook of the sweep's end: %s: %s", error.filename, error.strerror)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def post(url: str, message: Mapping[str, Any]) -> str | None:
    """Post a JSON object, in up to three tries.

    Returns:
        None when it was taken; else why not, without the URL.
    """
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
