"""Garbage collection is off while a large module is imported, and on again afterwards."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from grpo_worker import import_large


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    return tmp_path


def test_nothing_is_collected_meanwhile_nor_looked_at_again(folder: Path) -> None:
    (folder / "large_one.py").write_text("import gc\ncollects = gc.isenabled()\nmade = [[] for _ in range(1000)]\n")
    before = gc.get_freeze_count()
    try:
        assert not import_large("large_one").collects
        frozen = gc.get_freeze_count()
        assert frozen >= before + 1000
        assert gc.isenabled()
        import_large("large_one")
        assert gc.get_freeze_count() <= frozen, "once"
    finally:
        gc.unfreeze()


def test_a_module_that_fails_leaves_collecting_as_it_was(folder: Path) -> None:
    (folder / "broken_one.py").write_text("raise RuntimeError('no')\n")
    with pytest.raises(RuntimeError):
        import_large("broken_one")
    assert gc.isenabled()
    gc.disable()
    try:
        with pytest.raises(RuntimeError):
            import_large("broken_one")
        assert not gc.isenabled()
    finally:
        gc.enable()
