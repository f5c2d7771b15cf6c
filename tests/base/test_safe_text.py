"""No secret of a URL is shown, however ugly the URL; and no text steers the terminal."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.base.safe_text import QUOTED_FORMULA, as_cell, printable, redacted

ONE_LINE = st.characters(exclude_categories=["Cs"], exclude_characters="\n")
SECRETS = st.text(ONE_LINE, min_size=1).map(lambda text: f"s3cr3t{text}s3cr3t")
WORDS = st.text("abcxyz0189-.", min_size=1, max_size=8)


@given(SECRETS, WORDS, WORDS, st.sampled_from(["postgresql", "postgres", "postgresql+psycopg", "POSTGRESQL", "mysql"]))
@example("s3cr3t/w", "u", "h", "postgresql")
@example("s3cr3t@w:x", "u", "h", "postgresql")
@example("s3cr3t w", "u", "h", "postgresql")
def test_no_password_of_a_database_is_shown(secret: str, user: str, host: str, scheme: str) -> None:
    shown = redacted(f"cannot connect: {scheme}://{user}:{secret}@{host}/runs is away")
    assert "s3cr3t" not in shown
    assert shown == f"cannot connect: {scheme}://{user}:***@{host}/runs is away"


@given(st.text(ONE_LINE.filter(lambda c: not c.isspace()), min_size=1).map(lambda text: f"s3cr3t{text}s3cr3t"))
def test_no_password_of_any_other_url_is_shown(secret: str) -> None:
    assert "s3cr3t" not in redacted(f"see https://me:{secret}@example.org/x for more")


@given(
    st.text(ONE_LINE.filter(lambda c: not c.isspace() and c not in "&,;\"'"), min_size=1).map(lambda t: f"s3{t}s3"),
    st.sampled_from(
        ["?password=", "&sslpassword=", "?PASSWORD=", "passwd = ", " token: ", '"api_key": ', "WANDB_API_KEY="]
    ),
)
def test_no_value_of_what_is_named_like_a_secret_is_shown(secret: str, name: str) -> None:
    shown = redacted(f"postgresql://u@h/db{name}{secret}")
    assert shown == f"postgresql://u@h/db{name}***"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user@host/runs", "sqlite:///stalesweep.db", "https://example.org/a:b", "a@b.org wrote: x",
        "RuntimeError: k=8 η=1e-3 at 12:30", "the last completion has 512 tokens",
        "fixed: {max_completion_tokens: 12}", "ess_token: 0.5",
    ],
)  # fmt: skip
def test_what_holds_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@given(st.text())
def test_text_never_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not {c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
    assert printable(shown) == shown


def test_escape_sequences_are_shown_as_text() -> None:
    assert printable("\x1b[2Jcell\x9b31m\u202e\x07") == r"\u001b[2Jcell\u009b31m\u202e\u0007"
    assert printable("η ≤ 1e-3\n\ta – b") == "η ≤ 1e-3\n\ta – b"


def containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


@given(st.recursive(st.text() | st.integers(), containers))
def test_json_keeps_its_meaning(content: object) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(content, indent=2, ensure_ascii=ensure_ascii)
        assert json.loads(printable(text)) == content


@given(st.text(st.sampled_from("'=+-@\t\ra1"), max_size=6))
def test_no_text_becomes_a_formula_and_none_is_changed(text: str) -> None:
    cell = as_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert re.sub(QUOTED_FORMULA, r"\1", cell) == text
