"""Streams for truncated backpropagation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnndsl.diagnostics import RnndslError
from rnndsl.training.batches import evaluation_streams, make_streams, training_streams


def test_each_stream_continues_where_its_last_chunk_ended() -> None:
    streams = make_streams(np.arange(23, dtype=np.int32), batch=2, bptt=4)
    read = torch.cat([streams.chunk(i)[0] for i in range(len(streams))])
    targets = torch.cat([streams.chunk(i)[1] for i in range(len(streams))])
    assert read.t().tolist() == [list(range(10)), list(range(11, 21))]
    assert torch.equal(targets, read + 1)
    assert [len(streams.chunk(i)[0]) for i in range(len(streams))] == [4, 4, 2]
    assert streams.targets == targets.numel()


def test_text_too_short_for_one_batch_is_refused_with_a_batch_that_fits() -> None:
    tokens = np.zeros(50, dtype=np.int32)
    with pytest.raises(RnndslError, match="try `--batch 4`"):
        training_streams(tokens, batch=8, bptt=10, name="short.txt")
    training_streams(tokens, batch=4, bptt=10, name="short.txt")
    with pytest.raises(RnndslError, match="try `--batch 1 --bptt 49`"):
        training_streams(tokens, batch=1, bptt=50, name="short.txt")


def test_short_evaluation_text_is_read_in_fewer_streams() -> None:
    tokens = np.arange(25, dtype=np.int32)
    assert evaluation_streams(tokens, 8, 11, "x", "valid").batch == 2
    assert evaluation_streams(tokens, 8, 100, "x", "valid").batch == 1
    assert evaluation_streams(tokens, 8, 11, "x", "valid", limit=10).targets == 9
    with pytest.raises(RnndslError, match="valid text"):
        evaluation_streams(tokens[:1], 8, 11, "x", "valid")
