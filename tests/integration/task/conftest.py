"""The laboratory of the task scripts (tests/support/queue_lab.py) as a fixture of this folder."""

from tests.support.queue_lab import lab

__all__ = ["lab"]
