"""These tests run only with `-m gpu` (`make gpu-test`). Without a GPU they fail, because they could test nothing."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def needs_cuda() -> None:
    assert torch.cuda.is_available(), "this test needs a CUDA device"
