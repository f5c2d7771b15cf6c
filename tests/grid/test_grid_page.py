"""docs/grid-file.md states every field with its default, as the code has it.

``python -m tests.grid.test_grid_page`` rewrites its lists of fields.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.base.states import FailureClass
from orchestrator.grid.fields import WORKER_FIELDS, ModelEntry
from orchestrator.grid.mistakes import allowed_values
from orchestrator.grid.sweep import Resources, load_sweep

PAGE = Path(__file__).parents[2] / "docs" / "grid-file.md"


LISTS: dict[str, Mapping[str, FieldInfo]] = {
    "worker": {name: info for name, info in WORKER_FIELDS.items() if name not in ("k", "eta", "seed")},
    "models": ModelEntry.model_fields,
    "resources": Resources.model_fields,
}


def field_list(name: str) -> str:
    """One list of the page, between comments that mark its place: what each field means, its default, its values."""
    entries = (entry(field, info) for field, info in LISTS[name].items())
    return "\n".join([f"<!-- {name} fields, generated -->", *entries, f"<!-- end of {name} fields -->"])


def entry(field: str, info: FieldInfo) -> str:
    """One item of a list, no wider than the page."""
    content = info.default.model_dump(exclude_unset=True) if isinstance(info.default, BaseModel) else info.default
    default = "Required" if info.is_required() else f"Default `{json.dumps(content)}`"
    allowed = allowed_values(info)
    # A field whose values are given by a pattern says them in its description.
    values = "" if allowed == info.description else f"; allowed: {allowed}"
    meaning, settings = f"- `{field}`: {info.description}.", f"  {default}{values}."
    return "\n".join(textwrap.fill(line, 98, subsequent_indent="  ") for line in (meaning, settings))


@pytest.mark.parametrize("name", LISTS)
def test_the_page_states_every_field_with_its_default(name: str) -> None:
    found = re.search(place_of(name), PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    assert found[0] == field_list(name), "run: python -m tests.grid.test_grid_page"


def test_every_grid_on_the_page_loads(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    grids = [block for block in blocks if re.match(r"(name: .*\n)?grid:\n", block)]
    assert len(grids) == 3
    for block in grids:
        path = tmp_path / "page.yaml"
        path.write_text(block, encoding="utf-8")
        assert load_sweep(path).runs


def test_the_page_on_slurm_states_how_often_each_failure_is_retried() -> None:
    page = PAGE.with_name("slurm.md").read_text(encoding="utf-8")
    found = {}
    for row in re.findall(r"^\|(.*)\|.*\| ((?:\d+) times|once|never) \|$", page, re.MULTILINE):
        times = {"once": 1, "never": 0}.get(row[1]) if row[1] in ("once", "never") else int(row[1].split()[0])
        found |= dict.fromkeys(re.findall("`(.+?)`", row[0]), times)
    assert found["preempted"] == 100
    assert set(FailureClass) - {"removed"} <= found.keys()
    assert {name: Resources().retries_of(name) for name in found} == found


def place_of(name: str) -> str:
    """The pattern of a list's place on the page."""
    return f"<!-- {name} fields, generated -->.*<!-- end of {name} fields -->"


def rewrite() -> None:
    """Put the lists as the code has them in the place of those on the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name in LISTS:
        text = field_list(name)
        page = re.sub(place_of(name), lambda _, text=text: text, page, flags=re.DOTALL)  # type: ignore[misc]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
