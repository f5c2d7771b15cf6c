"""The URL of the user's webhook. It is a secret, because everybody who knows it can write to the user's channel.

So it is in no argument, script, message or log, and goes to jobs as the path of a file that only its owner can read.
"""

from __future__ import annotations

import logging
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base import files
from orchestrator.base.errors import UsageError
from orchestrator.base.processes import environment

log = logging.getLogger(__name__)


def chosen() -> str | None:
    """The URL: ``STALESWEEP_WEBHOOK``, else what the file ``STALESWEEP_WEBHOOK_FILE`` holds; None where neither is set.

    Raises:
        UsageError: The file cannot be used, or it is no URL of http or https. The message never holds the URL.
    """
    url = os.environ.get("STALESWEEP_WEBHOOK", "").strip()
    if not url and (named := os.environ.get("STALESWEEP_WEBHOOK_FILE")):
        path = Path(named).expanduser()
        url = files.read_line(path, "the webhook's URL")
        files.warn_of_readers(path, "the webhook's URL")
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
    """Let the environment of new processes and jobs name a file that holds the URL, not the URL itself."""
    with environment({"STALESWEEP_WEBHOOK": None, "STALESWEEP_WEBHOOK_FILE": _file()}):
        yield


def _file() -> str | None:
    url, named = (os.environ.get(name) for name in ("STALESWEEP_WEBHOOK", "STALESWEEP_WEBHOOK_FILE"))
    if not url:
        return str(Path(named).expanduser().absolute()) if named else None
    try:
        return str(files.keep_url("webhooks", url.strip(), known_as=url))
    except OSError as error:
        log.warning("jobs cannot notify the webhook of the sweep's end: %s: %s", error.filename, error.strerror)
        return None
