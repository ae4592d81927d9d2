"""The end of a process in words that are the same for every agent."""

from __future__ import annotations

import signal

from internal.agent.model import ExitStatus

_STDERR_CHARACTERS = 500
_FROM_OUTSIDE = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM, signal.SIGXCPU}
)
_FROM_OUTSIDE_CODES = frozenset(128 + number for number in _FROM_OUTSIDE)
"""How shells, and programs that handle it, tell that a signal ended them."""


def describe_exit(status: ExitStatus) -> str:
    """How a process ended, with its last words; to be put behind the agent's name."""
    if status.signal is not None:
        how = f"was killed by {_signal_name(status.signal)}"
    elif status.code:
        how = f"exited with status {status.code}"
    else:
        how = "ended without saying what it did"
    said = last_words(status)
    return f"{how}: {said}" if said else how


def last_words(status: ExitStatus) -> str:
    """The end of what it wrote to stderr, as far as a person reads it."""
    return status.stderr_tail.strip()[-_STDERR_CHARACTERS:]


def is_crash(status: ExitStatus) -> bool:
    """
    Whether the program itself broke; it had nothing to say, which the caller knows.

    SIGKILL, SIGTERM and the like come from outside (somebody's `kill`, the system short of memory)
    and say nothing of the program.
    """
    if status.signal is None:
        return bool(status.code) and status.code not in _FROM_OUTSIDE_CODES
    return status.signal not in _FROM_OUTSIDE


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
