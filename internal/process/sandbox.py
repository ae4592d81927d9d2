"""
The sandbox of an agent: what it sees of the machine, as arguments for bubblewrap.

An empty root with the system's programs and a few files of /etc to read, the run's own directories
to write, and nothing else: no `data_dir`, no other workspace, no process and no socket of the host.
User, mount, process, IPC, host name and cgroup namespaces are its own, no capability is left, and
no further user namespace can be made. Network and kernel are shared (docs/isolation.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
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
_ETC = (
    *("alternatives", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts"),
    *("gai.conf", "host.conf", "hosts", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"),
    *("locale.conf", "localtime", "lsb-release", "magic", "mime.types", "nsswitch.conf"),
    *("os-release", "perl", "protocols", "python3", "resolv.conf", "services", "terminfo"),
    *("timezone", "ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf"),  # not ssl/private
    *("pki/ca-trust/extracted", "pki/tls/cert.pem", "pki/tls/certs", "pki/tls/openssl.cnf"),
)
# For root's uid the kernel asks nothing but the file's mode, no capability: a worker that is root
# would let its agents change the kernel's settings. Both lists are those of container runtimes.
_PROC_READ_ONLY = (
    *("acpi", "bus", "driver", "fs", "irq", "mtrr", "pressure", "scsi", "sys", "sysrq-trigger"),
)
_PROC_HIDDEN = (
    *("kallsyms", "kcore", "keys", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats"),
    *("pagetypeinfo", "sched_debug", "slabinfo", "timer_list", "vmallocinfo"),
)
_NAMESPACES = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--uid", str(USER_ID), "--gid", str(USER_ID), "--disable-userns"),
    # No --new-session: the shim and our first process make sessions of their own, without terminal.
    *("--cap-drop", "ALL", "--die-with-parent", "--as-pid-1"),
)
_ENTER = (
    "import sys; sys.path.append(sys.argv[1]); from internal.process.enclosed import main; main()"
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
    """Files of /proc that look empty; they must exist."""


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
                    *(Path("/proc") / name for name in _PROC_READ_ONLY),
                    *(Path("/etc") / name for name in _ETC),
                    *sorted(shown, key=lambda path: len(path.parts)),
                ),
                writable=_by_both_names((cwd, home)),
                hidden=[path for name in _PROC_HIDDEN if (path := Path("/proc") / name).exists()],
            )
            argv = (self.bubblewrap, *bubblewrap_arguments(view), "--", *_FIRST_PROCESS)
            return Front(argv=argv, files=_accounts(home))

        return launch


def bubblewrap_arguments(view: View) -> list[str]:
    """
    The options of bubblewrap; it reads /etc/passwd and /etc/group from `FIRST_FILE` and the next.

    What is writable comes last, so that nothing covers it.
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
    for number, name in enumerate(("passwd", "group"), FIRST_FILE):
        arguments += ["--perms", "0444", "--file", str(number), f"/etc/{name}"]
    for readable in view.readable:
        arguments += ["--ro-bind-try", str(readable), str(readable)]
    for writable in view.writable:
        arguments += ["--bind", str(writable), str(writable)]
    return [*arguments, "--remount-ro", "/"]


def _by_both_names(paths: Iterable[Path]) -> list[Path]:
    """Each path, and what it resolves to: programs ask for one or the other."""
    return list(dict.fromkeys(name for path in paths for name in (path.resolve(), path)))


def _accounts(home: Path) -> tuple[bytes, bytes]:
    """/etc/passwd and /etc/group: the agent, and the names for what is not its own."""
    user, nobody = USER_ID, 65534
    passwd = (
        f"root:x:0:0:root:/root:/bin/sh\nagent:x:{user}:{user}:agent:{home}:/bin/sh\n"
        f"nobody:x:{nobody}:{nobody}:nobody:/nonexistent:/bin/sh\n"
    )
    group = f"root:x:0:\nagent:x:{user}:\nnogroup:x:{nobody}:\n"
    return os.fsencode(passwd), group.encode()
