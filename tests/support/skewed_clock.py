"""
A worker on a machine whose wall clock is wrong: `python -m tests.support.skewed_clock SECONDS`.

Everything in the process that reads the wall clock reads it *SECONDS* late or early; durations are
as they are. It has to begin before anything else is imported.
"""

from __future__ import annotations

import datetime
import sys
import time

_SECONDS = float(sys.argv.pop(1))
_REAL_TIME, _REAL_TIME_NS = time.time, time.time_ns


class _Skewed(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Skewed:
        return cls.fromtimestamp(time.time(), tz)


time.time = lambda: _REAL_TIME() + _SECONDS
time.time_ns = lambda: _REAL_TIME_NS() + int(_SECONDS * 1_000_000_000)
datetime.__dict__["datetime"] = _Skewed  # what is imported from here on gets this one


def main() -> None:
    """`codeforge worker`."""
    from codeforge.__main__ import main as codeforge

    sys.argv[1:] = ["worker"]
    codeforge()


if __name__ == "__main__":
    main()
