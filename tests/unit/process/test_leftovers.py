"""A run's marker names home, worker and claim, and nothing else is taken for one."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.process.leftovers import RunMarker, find_start_time, own_marker

numbers = st.integers(min_value=0)
words = st.text(alphabet="abcdef0123456789-", min_size=1)


@given(home=st.text(alphabet="abc.-", min_size=1), worker=numbers, start=numbers, claim=words)
def test_a_marker_survives_being_written(home: str, worker: int, start: int, claim: str) -> None:
    """
    Reading what was written gives the same marker, also when the home's id has dots.
    """
    marker = RunMarker(home=home, worker=worker, worker_start=start, claim=claim)

    assert RunMarker.parse(str(marker)) == marker


@pytest.mark.parametrize("text", ["", "home", "home.1.2", "home.x.2.c", "home.1.-2.c", "h.1.²x.c"])
def test_other_text_is_no_marker(text: str) -> None:
    """
    Somebody else may use the variable.
    """
    assert RunMarker.parse(text) is None


def test_our_own_marker_names_this_process() -> None:
    """
    Pid and start time are this process', so another worker can tell that it lives.
    """
    marker = own_marker(home="h", claim="c")

    assert marker.worker == os.getpid()
    assert marker.worker_start == find_start_time(os.getpid())


def test_a_process_that_does_not_exist_has_no_start_time() -> None:
    """
    Pid 0 is the kernel's own and never in the table.
    """
    assert find_start_time(0) is None
