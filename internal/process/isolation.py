"""
Whether agents can be isolated here: found out by running something in the very sandbox they get.

That a program is installed says little: kernels, container runtimes and distributions forbid what
it needs in many ways. So the probe makes a workspace beside the real ones, starts a shell in it
through shim and sandbox, and looks that it could write there and not see out.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from internal.errors import CodeforgeError, Invalid
from internal.process.leftovers import own_marker
from internal.process.limits import Limits
from internal.process.sandbox import Sandbox
from internal.process.spec import Launcher, ProcessSpec, no_isolation
from internal.process.supervise import start
from internal.process.visible import system_directories

Wanted = Literal["auto", "bwrap", "none"]

PROGRAM = "bwrap"
_MOST_PROCESSES = 8192  # threads count; ends a fork bomb, and no build
_PROBE_SECONDS = 30.0  # takes 0.1 s
_WRITTEN = "written"
_SCRIPT = f'test ! -e "$1" && test $PPID = 1 && echo {_WRITTEN} >probe'


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where this worker keeps things, as far as a sandbox must know."""

    data_dir: Path
    workspace_base: Path
    user_home: Path

    @property
    def private(self) -> tuple[Path, ...]:
        """Both as they were named and as they are."""
        named = (self.data_dir, self.workspace_base, self.user_home)
        return tuple(dict.fromkeys((*named, *(path.resolve() for path in named))))

    @property
    def ours(self) -> tuple[Path, Path]:
        """The two that no agent may read anything of, but what its run needs."""
        return self.data_dir.resolve(), self.workspace_base.resolve()

    def shows_what_is_ours(self, path: Path) -> bool:
        """Whether *path* holds one of these directories, or is part of the two that are ours."""
        real = path.resolve()
        return any(own.is_relative_to(real) for own in self.private) or any(
            real.is_relative_to(own) for own in self.ours
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What stands between agents and the machine."""

    name: Literal["bwrap", "none"]
    reason: str | None = None
    """Why it is none, and what to do about it; None when that was wanted, or when it is not."""
    sandbox: Sandbox | None = None

    def launcher(self, *, readable: Sequence[Path] = (), programs: Sequence[str] = ()) -> Launcher:
        """For one run, which may read *readable* and run *programs* besides what every run may."""
        if self.sandbox is None:
            return no_isolation
        return self.sandbox.launcher(readable=readable, programs=programs)

    @property
    def limits(self) -> Limits:
        """
        Of each run. Since Linux 5.14 the count of processes is that of the sandbox; before, and
        without one, it is that of the user, where no number is right. Root's are not counted.
        """
        return Limits(processes=_MOST_PROCESSES if self.sandbox else None)


NOT_WANTED = Isolation(name="none")


async def find_isolation(
    wanted: Wanted,
    places: Places,
    *,
    readable: Sequence[Path] = (),
    environment: Mapping[str, str],
) -> Isolation:
    """
    What is *wanted*, as far as it works here; *readable* is shown to all agents.

    Raises:
        Invalid: bwrap is wanted and does not work, or *readable* would show what is ours.
    """
    for path in readable:
        if places.shows_what_is_ours(path):
            raise Invalid(f"{path} would show agents what they must not see.")
    if wanted == "none":
        return NOT_WANTED
    isolation = await _probe(places, tuple(readable), environment)
    if isolation.sandbox is None and wanted == "bwrap":
        raise Invalid(f"workers.isolation is bwrap, which does not work here: {isolation.reason}.")
    return isolation


async def _probe(
    places: Places, readable: tuple[Path, ...], environment: Mapping[str, str]
) -> Isolation:
    """What works here."""
    for own in places.ours:
        if any(own.is_relative_to(system) for system in system_directories()[1]):
            return Isolation(name="none", reason=f"{own} lies where every agent may read")
    program = shutil.which(PROGRAM, path=environment.get("PATH"))
    if program is None:
        return Isolation(name="none", reason="bubblewrap (bwrap) is not installed")
    sandbox = Sandbox(bubblewrap=program, private=places.private, readable=readable)
    failure = await _try(sandbox, places.workspace_base, environment)
    if failure is not None:
        return Isolation(name="none", reason=explain(failure))
    return Isolation(name="bwrap", sandbox=sandbox)


def explain(failure: str) -> str:
    """What bubblewrap said, with what is known to help."""
    words = " ".join(failure.split())[:400]
    if "Unknown option" in words:
        return f"bubblewrap 0.8 or later is needed ({words})"
    for setting, bad, advice in _SETTINGS:
        if _read(setting) == bad:
            return f"{words}; {advice}"
    if any(os.path.exists(path) for path in ("/.dockerenv", "/run/.containerenv")):
        return (
            f"{words}; this container's profile forbids user namespaces or mounts: see "
            "docs/isolation.md"
        )
    return words


_SETTINGS = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor keeps user namespaces from programs without a profile: give bwrap one "
        "(docs/isolation.md)",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are switched off: sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off: sysctl user.max_user_namespaces=15000",
    ),
)
"""What the kernel's own settings say against it, and what to do."""


async def _try(sandbox: Sandbox, base: Path, environment: Mapping[str, str]) -> str | None:
    """What went wrong, None when all was as it should be."""
    try:
        place = await asyncio.to_thread(_make_place, base)
    except OSError as error:
        return f"no workspace can be made in {base}: {error.strerror}"
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            return await _run(sandbox, place, environment)
    except TimeoutError:
        return f"a shell in the sandbox did not end within {_PROBE_SECONDS:g} s"
    except CodeforgeError as error:
        return error.message
    finally:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _make_place(base: Path) -> Path:
    """A workspace like those of runs, and a file beside it that no agent may see."""
    while not base.is_dir():  # before the first run; and who only asks must leave nothing
        base = base.parent
    place = Path(tempfile.mkdtemp(prefix=".probe-", dir=base))
    for name in ("tree", "home"):
        (place / name).mkdir()
    (place / "outside").touch()
    return place


async def _run(sandbox: Sandbox, place: Path, environment: Mapping[str, str]) -> str | None:
    tree, home = place / "tree", place / "home"
    spec = ProcessSpec(
        argv=("/bin/sh", "-c", _SCRIPT, "sh", str(place / "outside")),
        environment={"PATH": environment.get("PATH", os.defpath), "HOME": str(home)},
        cwd=tree,
        run_marker=str(own_marker(home="probe", claim=place.name.removeprefix("."))),
        launcher=sandbox.launcher(),
    )
    async with await start(spec) as shell:
        async for _ in shell.stdout_lines():
            pass
        end = await shell.wait()
    if end.code != 0:
        return f"a shell in the sandbox ended with {end.code} ({shell.stderr_tail.strip()})"
    if _read(str(tree / "probe")) != _WRITTEN:
        return "what a shell in the sandbox wrote into its workspace is not there"
    return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
