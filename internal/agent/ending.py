"""The end of a process in words that are the same for every agent."""

from __future__ import annotations

import signal

from internal.agent.model import ExitStatus

_STDERR_CHARACTERS = 500


def describe_exit(status: ExitStatus) -> str:
    """How a process ended, with its last words; to be put behind the agent's name."""
    if status.signal is not None:
        how = f"was killed by {_signal_name(status.signal)}"
    elif status.code:
        how = f"exited with status {status.code}"
    else:
        how = "ended without saying what it did"
    last_words = status.stderr_tail.strip()[-_STDERR_CHARACTERS:]
    return f"{how}: {last_words}" if last_words else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
