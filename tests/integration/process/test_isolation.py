"""Whether agents can be isolated is found out by isolating something."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from internal.errors import Invalid
from internal.process.isolation import Isolation, Places, Wanted, find_isolation
from tests.support.isolation import need_sandbox


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(
        data_dir=tmp_path / "data", workspace_base=tmp_path / "data" / "ws", user_home=tmp_path
    )


def path_with(directory: Path, script: str) -> dict[str, str]:
    """An environment in which bubblewrap is *script*."""
    directory.mkdir()
    file = directory / "bwrap"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


async def find(wanted: Wanted, places: Places, environment: dict[str, str]) -> Isolation:
    return await find_isolation(wanted, places, environment=environment)


async def test_without_bubblewrap_auto_says_why_and_bwrap_refuses(
    places: Places, tmp_path: Path
) -> None:
    """
    Nobody who asked for isolation runs without it.
    """
    nowhere = {"PATH": str(tmp_path)}

    found = await find("auto", places, nowhere)
    with pytest.raises(Invalid, match="not installed"):
        await find("bwrap", places, nowhere)

    assert (found.name, found.reason) == ("none", "bubblewrap (bwrap) is not installed")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "No permissions"),
        ("echo 'bwrap: Unknown option --disable-userns' >&2; exit 1", "0.8 or later"),
        ("exit 0", "sandbox"),
        # One that isolates nothing: it only starts what it was to enclose.
        ('while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "shell in the sandbox"),
    ],
)
async def test_a_bubblewrap_that_does_not_work_is_not_used(
    places: Places, tmp_path: Path, script: str, reason: str
) -> None:
    """
    That it is there means nothing; its own words are the reason.
    """
    environment = path_with(tmp_path / "bin", script)

    found = await find("auto", places, environment)
    with pytest.raises(Invalid, match=reason):
        await find("bwrap", places, environment)

    assert found.name == "none"
    assert reason in str(found.reason)


async def test_where_it_works_nothing_is_left_of_the_attempt(
    places: Places, tmp_path: Path
) -> None:
    """
    Who only asks changes nothing.
    """
    await need_sandbox(tmp_path)
    places.workspace_base.mkdir(parents=True)

    found = await find("bwrap", places, dict(os.environ))

    assert (found.name, found.reason) == ("bwrap", None)
    assert os.listdir(places.workspace_base) == []


async def test_what_is_wanted_without_isolation_is_not_tried(places: Places) -> None:
    """
    And needs no reason.
    """
    assert await find("none", places, {}) == Isolation(name="none")


async def test_a_readable_path_must_not_show_what_is_ours(places: Places, tmp_path: Path) -> None:
    """
    Through a link neither.
    """
    link = tmp_path / "link"
    link.symlink_to(tmp_path)

    for path in (tmp_path, link, places.data_dir / "secrets", Path("/")):
        with pytest.raises(Invalid, match="must not see"):
            await find_isolation("none", places, readable=[path], environment={})


async def test_a_data_dir_among_programs_cannot_be_hidden(tmp_path: Path) -> None:
    """
    Agents read all of /usr.
    """
    places = Places(
        data_dir=Path("/usr/local/codeforge"), workspace_base=tmp_path, user_home=tmp_path
    )

    found = await find("auto", places, dict(os.environ))

    assert found.name == "none"
    assert "/usr/local/codeforge lies where every agent may read" in str(found.reason)
