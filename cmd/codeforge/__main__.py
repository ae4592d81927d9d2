"""Entry point of `codeforge` and of `python -m codeforge`."""

from __future__ import annotations

import sys

from codeforge.cli import main as run
from internal.errors import CodeforgeError


def main() -> None:
    """Run the command line; an error of ours is one clear message, never a traceback."""
    try:
        run()
    except CodeforgeError as error:
        print(f"codeforge: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
