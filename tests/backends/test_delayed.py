"""Streams of states before each step, made without a copy where that is possible."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from rnndsl.backends.torch.delayed import delayed, stream_beside


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(3, 2048), (1, 1023, 5), (2000,)])
def test_a_stream_beside_the_first_state_is_moved_without_a_copy(
    shape: tuple[int, ...], reverse: bool
) -> None:
    first = torch.randn(shape)
    stream = stream_beside(first, (20, *shape), reverse)
    stream.copy_(torch.randn(20, *shape))
    found = delayed(stream, first, reverse)
    states = [*stream, first] if reverse else [first, *stream]
    assert torch.equal(found, torch.stack(states[1:] if reverse else states[:-1]))
    assert found.untyped_storage().data_ptr() == stream.untyped_storage().data_ptr()
    assert stream.is_contiguous()
    assert not stream._is_view()


@pytest.mark.parametrize("reverse", [False, True])
def test_all_memory_beside_a_stream_is_the_first_state_and_zeros(reverse: bool) -> None:
    first = torch.randn(1, 1, 7, 299)[:, :, 3].expand(1, 1, 299)
    stream = stream_beside(first, (20, 1, 299), reverse).fill_(2)
    assert stream.stride() == (299, 299, 1)
    whole = torch.empty(0).set_(stream.untyped_storage())
    beside = whole[20 * 299 :] if reverse else whole[: len(whole) - 20 * 299]
    found = [*first.flatten(), *[0] * 5] if reverse else [*[0] * 5, *first.flatten()]
    assert beside.tolist() == [float(number) for number in found]


@pytest.mark.parametrize("reverse", [False, True])
def test_other_streams_and_other_states_are_copied(reverse: bool) -> None:
    first = torch.randn(3, 2048)
    beside = stream_beside(first, (20, 3, 2048), reverse)
    beside.copy_(torch.randn(20, 3, 2048))
    plain = torch.randn(22, 3, 2048)
    for stream in (plain, plain[1:21], plain[:, :, :1024], beside[:7], beside[3:], beside):
        other = torch.randn(stream.shape[1:])
        found = delayed(stream, other, reverse)
        states = [*stream, other] if reverse else [other, *stream]
        assert torch.equal(found, torch.stack(states[1:] if reverse else states[:-1]))


def test_a_part_of_a_stream_begins_with_what_was_before_it() -> None:
    stream = torch.randn(30, 3, 2048)
    found = delayed(stream[10:], stream[9], False)
    assert torch.equal(found, stream[9:-1])
    assert found.data_ptr() == stream[9].data_ptr()


def test_a_first_state_that_is_not_a_number_is_kept() -> None:
    first = torch.full((3, 2048), float("nan"))
    stream = stream_beside(first, (5, 3, 2048), False)
    stream.zero_()
    assert torch.isnan(delayed(stream, first, False)[0]).all()
