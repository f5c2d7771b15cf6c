"""Text from outside (names, failures, logs) made fit for people: no secrets, and nothing that steers a terminal."""

from __future__ import annotations

import re

_HIDDEN = "***"
_DATABASES = "postgres|mysql|mariadb|oracle|mssql|mongodb|redis|amqp"

# A password may hold any character, so the last @ ends it: in a database's URL the last of the line, elsewhere the
# last of the word. That may hide more than the password, and never less.
_IN_URL = re.compile(
    rf"(?P<head>\b(?:{_DATABASES})[\w+.-]*://[^:@\n]*):[^\n]*@|(?P<other>\b[a-z][\w+.-]*://[^\s:@]*):\S*@",
    re.IGNORECASE,
)
# The name ends with the word: `max_completion_tokens` and `ess_token` are no secrets.
_NAMED = re.compile(
    r"""(?P<name>(?:passw(?:or)?d|passphrase|secret(?:_?key)?|(?:api|access)_?key|(?:auth|access|api|hf)_?token|\btoken)"""
    r"""["']?\s*[=:]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s&,;"']+)""",
    re.IGNORECASE,
)

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# A spreadsheet takes a cell that begins so for a formula; the apostrophe makes it text, and one that is there is kept.
_FORMULA = r"'*[=+\-@\t\r]"
QUOTED_FORMULA = f"^'({_FORMULA})"
"""What `as_cell` returns for such a cell, as a pattern; the group is the text."""


def as_cell(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    return f"'{text}" if re.match(_FORMULA, text) else text


def redacted(text: str) -> str:
    """Replace passwords in URLs, and the values of what is named like a secret, by ``***``."""
    shorter = _IN_URL.sub(lambda found: f"{found['head'] or found['other']}:{_HIDDEN}@", text)
    return _NAMED.sub(lambda found: f"{found['name']}{_HIDDEN}", shorter)


def printable(text: str) -> str:
    r"""Write control characters as ``\u001b``, so that a terminal shows them; line breaks and tabs stay.

    JSON stays valid and keeps its meaning: it allows this form, and knows the other characters only inside of strings.
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
