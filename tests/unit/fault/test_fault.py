"""A process dies at the point that its environment names, and at no other."""

from __future__ import annotations

import subprocess
import sys

import pytest

from internal.fault import EXIT_STATUS, POINTS, arm, fault_point

_PROGRAM = (
    "import atexit, sys; from internal.fault import arm, fault_point; arm(sys.argv[1]);"
    "atexit.register(print, 'farewell'); fault_point('claimed');"
    "print('on', flush=True); fault_point('pushed')"
)


@pytest.mark.parametrize(
    ("fault", "said", "status"),
    [
        ("", "on farewell", 0),
        ("after:finished", "on farewell", 0),
        ("after:claimed", "", EXIT_STATUS),
        ("after:pushed", "on", EXIT_STATUS),
    ],
)
def test_a_process_dies_at_its_point_without_a_farewell(fault: str, said: str, status: int) -> None:
    """Nothing is cleaned up, as by SIGKILL; stderr has one line of why."""
    argv = [sys.executable, "-c", _PROGRAM, fault]

    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout.split(), done.returncode) == (said.split(), status)
    assert done.stderr == (f"FAULT: ended {fault}\n" if status else "")


@pytest.mark.parametrize("text", ["claimed", "before:claimed", "after:", "after:nothing", " "])
def test_a_point_that_does_not_exist_is_refused(text: str) -> None:
    """The message has all that do."""
    with pytest.raises(ValueError, match=r"after: and one of claimed, .*op_answered"):
        arm(text)


def test_unarmed_points_do_nothing() -> None:
    """As in every process that nobody wants dead."""
    assert arm("") is None

    for name in POINTS:
        fault_point(name)
