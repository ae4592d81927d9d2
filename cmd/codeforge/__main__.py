"""Entry point of `codeforge` and of `python -m codeforge`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from codeforge import lean
from internal.errors import (
    BadRequest,
    CodeforgeError,
    Conflict,
    Gone,
    Invalid,
    NotFound,
    TimedOut,
    Unavailable,
)

_EXIT_CODES: tuple[tuple[type[CodeforgeError], int], ...] = (
    (Invalid, 2),
    (BadRequest, 2),
    (NotFound, 3),
    (Conflict, 3),
    (Gone, 3),
    (Unavailable, 4),
    (TimedOut, 4),
)


def main() -> None:
    """Run the command line; an error of ours is one clear message, never a traceback."""
    lean.leave_out(sys.argv[1:])
    from codeforge.cli import app  # noqa: PLC0415 -- imports redis

    try:
        app(prog_name="codeforge")
    except* (CodeforgeError, OSError) as group:  # loops that run side by side report in groups
        errors = list(_leaves(group))
    else:
        return
    for error in errors:
        print(f"codeforge: {error}", file=sys.stderr)
    sys.exit(max(map(_exit_code, errors)))


def _leaves(group: BaseExceptionGroup[CodeforgeError | OSError]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _exit_code(error: Exception) -> int:
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


if __name__ == "__main__":
    main()
