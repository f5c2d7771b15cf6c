"""docs/grid-file.md states every field with its default, as the code has it.

``python -m tests.grid.test_grid_page`` rewrites its tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from orchestrator.grid.fields import MODEL_FIELDS, WORKER_FIELDS, allowed_values
from orchestrator.grid.sweep import Resources, load_sweep

PAGE = Path(__file__).parents[2] / "docs" / "grid-file.md"


def field_table(fields: Mapping[str, FieldInfo]) -> list[str]:
    """The rows of a reference table: field, default, allowed values, meaning."""
    rows = ["| field | default | allowed | meaning |", "|---|---|---|---|"]
    for name, info in fields.items():
        default = "required" if info.is_required() else f"`{json.dumps(info.default)}`"
        rows.append(f"| `{name}` | {default} | {allowed_values(info)} | {info.description} |")
    return rows


TABLES: list[Mapping[str, FieldInfo]] = [
    {name: info for name, info in WORKER_FIELDS.items() if name not in ("k", "eta", "seed")},
    MODEL_FIELDS,
    Resources.model_fields,
]


@pytest.mark.parametrize("fields", TABLES, ids=["worker", "models", "resources"])
def test_the_page_states_every_field_with_its_default(fields: Mapping[str, FieldInfo]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [row for row in field_table(fields) if row not in page]
    assert not missing, "put these rows into docs/grid-file.md:\n" + "\n".join(missing)


def test_every_grid_on_the_page_loads(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    grids = [block for block in blocks if re.match(r"(name: .*\n)?grid:\n", block)]
    assert len(grids) == 3
    for block in grids:
        path = tmp_path / "page.yaml"
        path.write_text(block, encoding="utf-8")
        assert load_sweep(path).runs


def rewrite() -> None:
    """Put the tables as the code has them in the place of those on the page."""
    tables = iter(TABLES)
    page = PAGE.read_text(encoding="utf-8")
    pattern = r"\| field \| default \|.*?\n(?!\|)"
    PAGE.write_text(re.sub(pattern, lambda _: "\n".join(field_table(next(tables))) + "\n", page, flags=re.DOTALL))


if __name__ == "__main__":
    rewrite()
