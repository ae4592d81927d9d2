"""
The sandbox of an agent: what it sees of the machine, as arguments for bubblewrap.

An empty root with the system's programs and a few files of /etc to read, the run's own directories
to write, and nothing else: no `data_dir`, no other workspace, no process and no socket of the host.
User, mount, process, IPC, host name and cgroup namespaces are its own, no capability is left, and
no further user namespace can be made. Network and kernel are shared (docs/isolation.md).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import internal
from internal.process.limits import CA_VARIABLES
from internal.process.spawn import FIRST_FILE
from internal.process.spec import Front, Launcher
from internal.process.visible import needed_by, system_directories

USER_ID = 1000
"""Of the agent, inside; outside it is the worker's user, to whom the files belong."""

_TMP_BYTES = 1 << 30
_SHARED_MEMORY_BYTES = 256 << 20
# Copied, because each mount costs a start 0.5 ms and these are small.
_ETC_FILES = (
    *("debian_version", "gai.conf", "host.conf", "hosts", "inputrc", "ld.so.cache", "ld.so.conf"),
    *("locale.conf", "localtime", "lsb-release", "nsswitch.conf", "os-release", "protocols"),
    *("resolv.conf", "services", "timezone", "ssl/openssl.cnf", "pki/tls/openssl.cnf"),
)
_ETC_DIRECTORIES = (
    *("alternatives", "crypto-policies", "fonts", "ssl/certs"),  # not ssl/private
    *("pki/ca-trust/extracted", "pki/tls/certs"),
)
# For root's uid the kernel asks nothing but the file's mode, no capability: a worker that is root
# would let its agents change the kernel's settings. Both lists are those of container runtimes.
_PROC_READ_ONLY = (
    *("acpi", "bus", "driver", "fs", "irq", "mtrr", "pressure", "scsi", "sys", "sysrq-trigger"),
)
_PROC_HIDDEN = tuple(
    Path("/proc") / name
    for name in (
        *("kallsyms", "kcore", "keys", "kpagecgroup", "kpagecount", "kpageflags"),
        *("latency_stats", "pagetypeinfo", "sched_debug", "slabinfo", "timer_list"),
        "vmallocinfo",
    )
)
_NAMESPACES = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--uid", str(USER_ID), "--gid", str(USER_ID), "--disable-userns"),
    # No --new-session: the shim and our first process make sessions of their own, without terminal.
    *("--cap-drop", "ALL", "--die-with-parent", "--as-pid-1"),
)
_ENTER = (
    "import sys; sys.path.append(sys.argv[1]); from internal.process.inside import main; main()"
)
_PYTHON = os.path.realpath(sys.executable)
_CODE = Path(internal.__file__).parents[1]
_FIRST_PROCESS = (_PYTHON, "-I", "-S", "-c", _ENTER, str(_CODE))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What an agent sees; each path is the same inside and outside."""

    links: Sequence[tuple[str, str]]
    """Target and path of links at the root."""
    readable: Sequence[Path]
    """As far as they exist; later ones cover earlier ones."""
    writable: Sequence[Path]
    hidden: Sequence[Path] = ()
    """Files of /proc that nobody can open; they must exist."""
    copied: Sequence[Path] = ()
    """Files that are read from descriptors, from `FIRST_FILE` on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What the sandboxes of one worker have in common."""

    bubblewrap: str
    """The path of the program."""
    private: Sequence[Path]
    """Directories that are not shown because a program lies in them or above them."""
    readable: Sequence[Path] = ()
    """What the operator shows to all agents besides."""

    def launcher(self, *, readable: Sequence[Path] = (), programs: Sequence[str] = ()) -> Launcher:
        """
        For one run: it may write its working directory and its HOME, read *readable*, and run
        *programs*, looked for on its PATH, besides its own.
        """

        def launch(argv: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Front:
            home = Path(environment.get("HOME", cwd))
            links, system = system_directories()
            as_root = os.getuid() == 0
            files = {**_accounts(home), **_copies()}
            shown = (
                *(
                    path
                    for program in (argv[0], _PYTHON, *programs)
                    for path in needed_by(program, environment, private=self.private)
                ),
                *(Path(environment[name]) for name in CA_VARIABLES if environment.get(name)),
                _CODE / "internal",
                *self.readable,
                *readable,
            )
            view = View(
                links=links,
                readable=(
                    *(Path(path) for path in system),
                    *(Path("/proc") / name for name in _PROC_READ_ONLY if as_root),
                    *(Path("/etc") / name for name in _ETC_DIRECTORIES),
                    *sorted(shown, key=lambda path: len(path.parts)),
                ),
                writable=_by_both_names((cwd, home)),
                hidden=[path for path in _PROC_HIDDEN if as_root and path.exists()],
                copied=tuple(files),
            )
            argv = (self.bubblewrap, *bubblewrap_arguments(view), "--", *_FIRST_PROCESS)
            return Front(argv=argv, files=tuple(files.values()))

        return launch


def bubblewrap_arguments(view: View) -> list[str]:
    """
    The options of bubblewrap. What is writable comes last, so that nothing covers it.
    """
    arguments = list(_NAMESPACES)
    for target, link in view.links:
        arguments += ["--symlink", target, link]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for hidden in view.hidden:
        arguments += ["--ro-bind", "/dev/null", str(hidden)]
    for path, size in (("/dev/shm", _SHARED_MEMORY_BYTES), ("/tmp", _TMP_BYTES)):  # noqa: S108
        arguments += ["--perms", "1777", "--size", str(size), "--tmpfs", path]
    for path in ("/etc", "/run", "/var"):
        arguments += ["--perms", "0755", "--dir", path]
    arguments += ["--remount-ro", "/dev", "--symlink", "/proc/mounts", "/etc/mtab"]
    arguments += ["--symlink", "../tmp", "/var/tmp"]  # noqa: S108
    for number, copied in enumerate(view.copied, FIRST_FILE):
        arguments += ["--perms", "0444", "--file", str(number), str(copied)]
    for readable in view.readable:
        arguments += ["--ro-bind-try", str(readable), str(readable)]
    for writable in view.writable:
        arguments += ["--bind", str(writable), str(writable)]
    return [*arguments, "--remount-ro", "/"]


def _by_both_names(paths: Sequence[Path]) -> list[Path]:
    """
    Each path, and what it resolves to: programs ask for one or the other.

    Raises:
        OSError: one is a link itself, which only an agent that was not isolated can have made.
    """
    for path in paths:
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return list(dict.fromkeys(name for path in paths for name in (path.resolve(), path)))


def _copies() -> dict[Path, bytes]:
    """Files of /etc, as they are now."""
    found: dict[Path, bytes] = {}
    for name in _ETC_FILES:
        path = Path("/etc") / name
        with contextlib.suppress(OSError):
            found[path] = path.read_bytes()
    return found


def _accounts(home: Path) -> dict[Path, bytes]:
    """The agent, and the names for what is not its own."""
    user, nobody = USER_ID, 65534
    passwd = (
        f"root:x:0:0:root:/root:/bin/sh\nagent:x:{user}:{user}:agent:{home}:/bin/sh\n"
        f"nobody:x:{nobody}:{nobody}:nobody:/nonexistent:/bin/sh\n"
    )
    group = f"root:x:0:\nagent:x:{user}:\nnogroup:x:{nobody}:\n"
    return {Path("/etc/passwd"): os.fsencode(passwd), Path("/etc/group"): group.encode()}
