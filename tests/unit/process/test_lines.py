"""Lines come out as they went in, however the blocks were cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from internal.process.lines import Line, LineSplitter


def split(content: bytes, cuts: list[int], limit: int) -> list[Line]:
    splitter = LineSplitter(limit)
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    lines: list[Line] = []
    for start, end in pairwise(edges):
        lines += splitter.feed(content[start:end])
    last = splitter.flush()
    return [*lines, last] if last else lines


pieces = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\xff", b"\r", b"0123456789"]), max_size=40)
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=10)


@given(pieces=pieces, cuts=cuts)
def test_any_cut_into_blocks_gives_the_same_lines(pieces: list[bytes], cuts: list[int]) -> None:
    """
    Where a block ends means nothing; a last line without newline counts when it is not empty.
    """
    content = b"".join(pieces)
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()

    lines = split(content, cuts, limit=1000)

    assert [line.content for line in lines] == expected
    assert not any(line.dropped_bytes for line in lines)


@given(pieces=pieces, cuts=cuts, limit=st.integers(min_value=1, max_value=12))
def test_a_long_line_is_cut_at_the_limit_with_every_byte_counted(
    pieces: list[bytes], cuts: list[int], limit: int
) -> None:
    """
    What is kept is the beginning, at most the limit; kept and dropped bytes are the whole line.
    """
    content = b"".join(pieces)
    whole = split(content, [], limit=1000)

    lines = split(content, cuts, limit)

    assert [line.content for line in lines] == [line.content[:limit] for line in whole]
    assert [len(line.content) + line.dropped_bytes for line in lines] == [
        len(line.content) for line in whole
    ]
