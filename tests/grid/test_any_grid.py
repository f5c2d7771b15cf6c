"""Whatever stands in a grid file, it is read or refused with its mistakes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given

from orchestrator.base.errors import GridError
from orchestrator.base.safe_text import printable
from orchestrator.grid.sweep import load_sweep
from orchestrator.search.search_file import load_search
from tests.support.damage import any_bytes, edited

SHIPPED = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))]
CONTENTS = [yaml.safe_load(content) for content in SHIPPED]


def load(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_bytes(content)
        for read in (load_sweep, load_search):
            try:
                read(path)
            except GridError as refused:
                assert refused.mistakes
                assert all(printable(mistake) == mistake for mistake in refused.mistakes)


@given(any_bytes(SHIPPED))
def test_any_bytes(content: bytes) -> None:
    load(content)


@given(edited(CONTENTS))
def test_any_values(contents: list[Any]) -> None:
    for content in contents:
        if content not in CONTENTS:
            load(yaml.safe_dump(content, allow_unicode=True).encode("utf-8", errors="surrogatepass"))
