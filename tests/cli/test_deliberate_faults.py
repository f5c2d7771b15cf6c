"""The list of deliberate faults fits the sources: each names a text that occurs once, and tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.deliberate_faults import ROOT, Fault, load


def test_no_two_faults_have_one_name() -> None:
    names = [fault.name for fault in load()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("fault", load(), ids=lambda fault: fault.name)
def test_a_fault_fits_the_sources(fault: Fault) -> None:
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.old) == 1
    assert fault.new != fault.old
    for test in fault.tests:
        path, _, name = test.partition("::")
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {re.escape(name.partition('[')[0])}\(", source, re.MULTILINE), test
