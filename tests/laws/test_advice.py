"""Advice: known limits, which one binds, extrapolation, and data from which there is none."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from orchestrator.laws.advice import Advice, advise
from orchestrator.laws.evidence import cells, evidence
from orchestrator.report.advising import as_json, as_text
from tests.support.laws_data import frame, paper_shape, run, simulated, tiny_sweep


def ask(runs: pd.DataFrame, k: int, horizon: int, risk: float = 0.05) -> Advice | str:
    rows = evidence(runs)
    return advise(rows[rows["bounds"]], cells(rows), k, horizon, risk)


def test_limits_are_where_the_laws_were_drawn() -> None:
    # T* = 40·(η/1e-3)^-1.6, whatever k, so its median is 480 at η = 1e-3·12^(-1/1.6), and no run is immune
    answer = ask(simulated(1.6, 0.0, 0.5, 1), 8, 480)
    assert isinstance(answer, Advice)
    lo, hi = answer.late.ci95
    assert lo < 1e-3 * 12 ** (-1 / 1.6) < hi < 1.3 * lo
    assert answer.binds == "horizon" and answer.eta.estimate == answer.late.estimate
    assert answer.p_collapse == pytest.approx(0.5, abs=1e-6)
    assert answer.local.estimate is None and any("without immune runs" in note for note in answer.notes)


def test_the_smaller_limit_binds_and_sets_the_interval() -> None:
    runs = tiny_sweep()
    at_480, at_2000, at_k_64 = ask(runs, 8, 480), ask(runs, 8, 2000), ask(runs, 64, 300)
    assert isinstance(at_480, Advice) and isinstance(at_2000, Advice) and isinstance(at_k_64, Advice)
    assert (at_480.binds, at_2000.binds, at_k_64.binds) == ("horizon", "horizon", "local")
    assert at_480.local == at_2000.local
    for answer in (at_480, at_2000, at_k_64):
        limits = (answer.local, answer.late)
        assert answer.eta.estimate == min(limit.estimate for limit in limits)
        assert answer.eta.ci95 == tuple(min(ends) for ends in zip(*(limit.ci95 for limit in limits), strict=True))
    assert at_480.notes == ()
    assert any("horizon = 2000" in note and "4.17 above" in note for note in at_2000.notes)
    assert any("k = 64" in note and "factor of 2 above" in note for note in at_k_64.notes)
    assert any("eta" in note and "below the smallest" in note for note in at_k_64.notes)
    assert (at_480.nearest.k, at_480.nearest.eta) == (8, 2.5e-4)


def test_less_risk_is_a_smaller_eta() -> None:
    answers = [ask(tiny_sweep(), 8, 480, risk) for risk in (0.01, 0.05, 0.5)]
    etas = [answer.eta_at_risk for answer in answers if isinstance(answer, Advice)]
    assert etas == sorted(etas) and len(set(etas)) == 3


def test_data_that_cannot_tell_give_one_sentence() -> None:
    assert "No run collapsed" in ask(frame([run(2, 1e-3), run(8, 1e-3)]), 2, 100)
    assert "have eta=0.001" in ask(frame([run(k, 1e-3, s, 64 + 8 * s) for k in (2, 8) for s in range(3)]), 2, 100)


def test_words_and_json_say_the_same() -> None:
    answer = ask(paper_shape(), 8, 480)
    assert isinstance(answer, Advice)
    text, content = as_text("llama", answer), as_json("llama", answer)
    json.dumps(content, allow_nan=False)
    assert text.startswith("llama, k = 8, 480 learner steps")
    assert "η ≤ 7.95e-7 (95 %: " in text and content["eta"]["estimate"] == pytest.approx(7.95e-7, rel=1e-2)
    assert "Nearest measured cell: k = 8, η = 1e-6, 0 of 1 runs collapsed within 640 steps." in text
