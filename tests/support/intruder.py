"""
An agent that tries to get out: run as the demo agent, told by its prompt what there is to be had.

The prompt is a JSON object; the result is one too: what was tried, and `refused` or what came of
it. Nothing is tried that would do harm if it worked: settings are written with their own value.
"""

from __future__ import annotations

import sys
from pathlib import Path

_SOURCE = r"""
import ctypes, errno, json, os, signal, socket, sys

if "--version" in sys.argv:
    sys.exit()
told = json.load(sys.stdin)
needle = bytes.fromhex(told["needle_hex"])
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, PTRACE_ATTACH = 0x20000, 0x10000000, 16


def called(answer):
    if answer == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


def read(path):
    with open(path, "rb") as file:
        return f"{len(file.read(1000))} bytes"


def write(path):
    with open(path, "wb") as file:
        file.write(b"intruded")


def rewrite(path):
    with open(path, "rb") as file:
        value = file.read()
    with open(path, "wb") as file:
        file.write(value)


def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)


def environments():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if needle in file.read():
                        found.append(name)
            except OSError:
                pass
    if not found:
        raise PermissionError("nowhere")
    return found


def search():
    found = []
    skipped = ("/usr", "/proc", "/dev", *told["programs"])
    for folder, folders, files in os.walk("/"):
        below = {name: os.path.join(folder, name) for name in folders}
        folders[:] = [name for name, path in below.items() if not path.startswith(skipped)]
        for name in files:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    if needle in file.read(1 << 20):
                        found.append(path)
            except OSError:
                pass
    if not found:
        raise PermissionError("nowhere")
    return found


def chroot():
    os.chroot("/usr")


ATTEMPTS = {
    "environ": environments,
    "search": search,
    "signal": lambda pid: os.kill(pid, 0),
    "ptrace": lambda pid: called(libc.ptrace(PTRACE_ATTACH, pid, 0, 0)),
    "read": read,
    "list": lambda path: os.listdir(path) or called(-1),
    "write": write,
    "rewrite": rewrite,
    "remove": os.remove,
    "connect": connect,
    "userns": lambda: called(libc.unshare(CLONE_NEWUSER)),
    "mountns": lambda: called(libc.unshare(CLONE_NEWNS)),
    "mount": lambda: called(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "remount": lambda: called(libc.mount(b"none", b"/usr", None, 4096 | 32, None)),
    "umount": lambda path: called(libc.umount2(path.encode(), 2)),
    "chroot": chroot,
    "setuid": lambda: os.setuid(0),
    "mknod": lambda: os.mknod("disk", 0o60600, os.makedev(1, 0)),
    "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, -10),
    "hostname": lambda: socket.sethostname("intruder"),
}
here, outcome = os.getcwd(), {}
for name, *arguments in told["attempts"]:
    key = " ".join(map(str, (name, *arguments)))
    child = os.fork()
    if child == 0:
        try:
            said = f"got through: {ATTEMPTS[name](*arguments)}"
        except (OSError, ValueError) as error:
            said = f"refused: {error}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.write(os.open(os.path.join(here, "outcome"), flags), said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    with open("outcome") as file:
        outcome[key] = file.read()
outcome["environment"] = sorted(os.environ)
print(json.dumps({"type": "result", "text": json.dumps(outcome), "is_error": False}))
"""


def intruder_cli(directory: Path) -> str:
    """Install it; the path."""
    path = directory / "intruder"
    path.write_text(f"#!{sys.executable} -IS\n{_SOURCE}")
    path.chmod(0o755)
    return str(path)
