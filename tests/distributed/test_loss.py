"""The paper's loss on two ranks is its transcription on the whole batch."""

from __future__ import annotations

import pytest
import torch
from tests.distributed.processes import run
from tests.losses.test_paper import compare_over_200_batches

PARTS = [slice(0, 3), slice(3, 6)]


def compare_as_rank(rank: int, variant: str, dtype: torch.dtype) -> None:
    from torch import distributed

    def gather(values: torch.Tensor) -> torch.Tensor:
        distributed.all_reduce(values)
        return values

    distributed.init_process_group("gloo")
    compare_over_200_batches(variant, dtype, PARTS, slice(rank, rank + 1), gather)
    distributed.destroy_process_group()


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_two_ranks_equal_the_transcription_over_200_batches(
    variant: str, dtype: torch.dtype
) -> None:
    assert run(2, compare_as_rank, variant, dtype) == [0, 0]
