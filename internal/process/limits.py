"""
What a process gets from us: resource limits, and the few variables of our own environment.

The environment of an agent is an allow-list, so no secret of the service reaches it by accident.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_COMMON_VARIABLES = frozenset({"PATH", "LANG", "TZ", "TERM"})
_PROXY_VARIABLES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
CA_VARIABLES = frozenset(
    {
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
    }
)
"""They name files."""
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Limits of each process of the tree, never above the hard limits we have; None leaves ours.

    Core files are always off: a core holds the whole environment.
    """

    open_files: int | None = 65_536
    address_space_bytes: int | None = None
    """Leave None for Node.js, which reserves far more than it uses."""
    processes: int | None = None
    """Counts all processes of the user, ours too; the kernel does not apply it to root."""
    file_bytes: int | None = None
    no_new_privileges: bool = True
    """False lets sudo work, and lets what it starts escape the kill."""

    def rlimits(self) -> list[tuple[int, int]]:
        """As pairs for `setrlimit`, soft and hard alike."""
        wanted = (
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_AS, self.address_space_bytes),
            (resource.RLIMIT_NPROC, self.processes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_CORE, 0),
        )
        return [(kind, value) for kind, value in wanted if value is not None]


def allowed_environment(
    source: Mapping[str, str], *, home: Path, names: Iterable[str] = ()
) -> dict[str, str]:
    """
    What of *source* (the worker's environment) an agent may see, with HOME set to *home*.

    PATH, LANG, LC_*, TZ, TERM, the variables of proxies (either case) and of certificate
    authorities, and *names*. PATH is always set.
    """
    allowed = _COMMON_VARIABLES | CA_VARIABLES | frozenset(names)
    environment = {
        name: value
        for name, value in source.items()
        if name in allowed or name.startswith("LC_") or name.upper() in _PROXY_VARIABLES
    }
    environment.setdefault("PATH", _DEFAULT_PATH)
    environment["HOME"] = str(home)
    return environment
