"""
Stands for a worker that runs alone: asks the nursery for one, and ends when that one has ended.

Standard library only and few imports, because a core has better things to do.
"""

import ctypes
import json
import os
import signal
import socket

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """SIGTERM ends the one that it stands for; when this is killed, that one drains as well."""
    if "CODEFORGE_PARENT" in os.environ:  # its worker may be killed
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(os.environ["CHAOS_DOOR"])
        signal.signal(signal.SIGTERM, lambda _number, _frame: door.sendall(b"."))
        door.sendall(json.dumps(dict(os.environ)).encode() + b"\n")
        while door.recv(1):
            pass


if __name__ == "__main__":
    main()
