"""The devices that train and sample on machines with several GPUs or none; threads; random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from grpo_worker.system.devices import learner_device, prepare, sampler_device
from grpo_worker.system.randomness import generator
from tests.conftest import tiny_run

BESIDE = {"process": True}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make torch see so many GPUs."""

    def with_gpus(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return with_gpus


@pytest.mark.parametrize(
    ("gpus", "fields", "learner", "sampler"),
    [
        (0, {}, "cpu", "cpu"),
        (0, {"sampler": BESIDE}, "cpu", "cpu"),
        (1, {"sampler": BESIDE}, "cuda", "cuda"),
        (2, {"sampler": BESIDE}, "cuda", "cuda:1"),
        (2, {}, "cuda", "cuda"),  # it samples in the learner's process, between its steps
        (2, {"sampler": BESIDE, "learner_ranks": 2}, "cuda", "cuda"),
        (3, {"sampler": BESIDE, "learner_ranks": 2}, "cuda", "cuda:2"),
        (2, {"sampler": BESIDE, "device": "cpu"}, "cpu", "cpu"),
        (2, {"sampler": {"process": True, "device": "cpu"}}, "cuda", "cpu"),
        (2, {"sampler": {"process": True, "device": "cuda:0"}}, "cuda", "cuda:0"),
    ],
)
def test_devices(
    machine: Callable[[int], None], gpus: int, fields: dict[str, object], learner: str, sampler: str
) -> None:
    machine(gpus)
    config = tiny_run(**fields)
    assert (learner_device(config), sampler_device(config)) == (torch.device(learner), torch.device(sampler))


@pytest.fixture
def threads_put_back() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_put_back")
def test_torch_gets_the_threads_of_the_config() -> None:
    prepare(tiny_run(threads=2))
    assert torch.get_num_threads() == 2
    prepare(tiny_run())
    assert torch.get_num_threads() == 1


def test_random_numbers_depend_on_their_purpose_alone() -> None:
    def draw(*purpose: str | int) -> list[float]:
        return torch.rand(4, generator=generator(*purpose)).tolist()

    torch.manual_seed(1)
    first = draw(0, "prompts", 12)
    torch.manual_seed(2)
    assert draw(0, "prompts", 12) == first
    others = [draw(1, "prompts", 12), draw(0, "completions", 12), draw(0, "prompts", 13), draw(0, "prompts", 1, 2)]
    assert len({tuple(numbers) for numbers in [first, *others]}) == 5
