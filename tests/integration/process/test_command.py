"""A short command is bounded in time and output, and leaves nothing when it is cut off."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from internal.process.command import CommandResult, run_command
from internal.process.errors import (
    CommandTimedOut,
    ExecutableMissing,
    NotExecutable,
    WorkingDirectoryMissing,
)
from tests.support.zoo import animal, eventually, survivors

_ROOT = Path(__file__).parents[3]


@pytest.fixture
def environment(marker: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "CODEFORGE_RUN": marker}


async def test_output_errors_and_exit_code_are_returned(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    A failing command is a result, not an error; input, environment and directory are its own.
    """
    argv = ["/bin/sh", "-c", "cat; pwd; echo oops >&2; exit 3"]

    result = await run_command(
        argv, environment=environment, cwd=tmp_path, stdin=b"in\n", timeout_seconds=30
    )

    assert result == CommandResult(
        exit_code=3, stdout=f"in\n{tmp_path}\n".encode(), stderr=b"oops\n", truncated=False
    )


async def test_a_command_without_input_reads_its_end(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    Nothing waits for a terminal.
    """
    result = await run_command(["cat"], environment=environment, cwd=tmp_path, timeout_seconds=30)

    assert (result.exit_code, result.stdout) == (0, b"")


async def test_output_over_the_limit_is_cut_and_says_so(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    The beginning is kept, the rest is read and dropped, so the command still ends by itself.
    """
    result = await run_command(
        animal("flood", 10_000_000),
        environment=environment,
        cwd=tmp_path,
        timeout_seconds=30,
        max_output_bytes=1000,
    )

    assert (result.exit_code, len(result.stdout), result.truncated) == (0, 1000, True)


async def test_a_command_that_is_too_slow_is_killed_with_its_children(
    environment: dict[str, str], tmp_path: Path, marker: str
) -> None:
    """
    The limit kills the whole process group, and the error holds what the command complained about.
    """
    argv = ["/bin/sh", "-c", "echo waiting >&2; sleep 600 & sleep 600"]

    with pytest.raises(CommandTimedOut) as caught:
        await run_command(argv, environment=environment, cwd=tmp_path, timeout_seconds=0.5)

    assert caught.value.stderr == b"waiting\n"
    await eventually(lambda: not survivors(marker), "the children are gone")


async def test_a_cancelled_command_is_killed(
    environment: dict[str, str], tmp_path: Path, marker: str
) -> None:
    """
    Cancellation passes, and nothing is left when it does.
    """
    run = run_command(
        animal("stubborn"), environment=environment, cwd=tmp_path, timeout_seconds=600
    )
    task = asyncio.create_task(run)
    await eventually(lambda: survivors(marker), "the command runs")

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert survivors(marker) == []


async def test_a_command_ends_although_a_background_process_holds_its_output(
    environment: dict[str, str], tmp_path: Path, marker: str
) -> None:
    """
    What a command leaves in the background is killed after a moment, with the output so far kept.
    """
    argv = ["/bin/sh", "-c", "sleep 600 & echo done"]

    result = await run_command(argv, environment=environment, cwd=tmp_path, timeout_seconds=30)

    assert result.stdout == b"done\n"
    await eventually(lambda: not survivors(marker), "the background process is gone")


async def test_what_keeps_a_command_from_starting_is_told_apart(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    A missing program, a file that is none, and a missing directory.
    """
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(ExecutableMissing):
        await run_command(["no-such"], environment=environment, cwd=tmp_path, timeout_seconds=30)
    with pytest.raises(NotExecutable):
        await run_command([str(file)], environment=environment, cwd=tmp_path, timeout_seconds=30)
    with pytest.raises(WorkingDirectoryMissing):
        await run_command(
            ["true"], environment=environment, cwd=tmp_path / "gone", timeout_seconds=30
        )


@pytest.mark.parametrize("has_setpriv", [True, False])
async def test_a_command_dies_with_its_worker(
    marker: str, tmp_path: Path, has_setpriv: bool
) -> None:
    """
    `kill -9` of the worker leaves no command, with util-linux' setpriv and without it.
    """
    source = (
        "import asyncio, shutil, sys\n"
        "from pathlib import Path\n"
        "from internal.process.command import run_command\n"
        f"if not {has_setpriv}: shutil.which = lambda name, path='': name if path else None\n"
        "marker, *argv = sys.argv[1:]\n"
        "asyncio.run(run_command(argv, environment={'CODEFORGE_RUN': marker, 'PATH': '/bin'},"
        " cwd=Path('/'), timeout_seconds=600))\n"
    )
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", source, marker, *animal("stubborn")),
        env={"PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path]), "PATH": os.environ["PATH"]},
    )
    try:
        await eventually(lambda: survivors(marker), "the command runs")
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()

    await eventually(lambda: not survivors(marker), "the command is gone")
