"""These tests are asked for with `-m gpu` (`make gpu-test`). Without a GPU they fail: they would check nothing."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def needs_cuda() -> None:
    assert torch.cuda.is_available(), "this test needs a CUDA device"
