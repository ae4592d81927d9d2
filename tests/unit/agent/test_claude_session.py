"""A copied session of Claude Code, moved to the directory it goes on in."""

from __future__ import annotations

from pathlib import Path

import pytest

from internal.agent.claude import ClaudeCode
from internal.agent.claude_session import project_name

SESSION = "0d188023-d05f-4a11-9e42-cf5af46a1521"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the session of one project in it."""
    project = tmp_path / "home" / ".claude" / "projects" / project_name(tmp_path / "old")
    project.mkdir(parents=True)
    (project / f"{SESSION}.jsonl").write_text("{}\n")
    (project / "memory").mkdir()
    return tmp_path / "home"


def prepare(home: Path) -> bool:
    """Move the session from `old` to `new` beside *home*."""
    root = home.parent
    return ClaudeCode().prepare_session(home, root / "old", root / "new", SESSION)


def test_the_session_belongs_to_the_new_directory(home: Path) -> None:
    """With all that was kept for the project; the old name is gone."""
    assert prepare(home)

    (project,) = (home / ".claude" / "projects").iterdir()
    assert project.name == project_name(home.parent / "new")
    assert {file.name for file in project.iterdir()} == {f"{SESSION}.jsonl", "memory"}


def test_moving_twice_is_moving_once(home: Path) -> None:
    """A step that is repeated after a crash finds it done."""
    assert prepare(home)
    assert prepare(home)


def test_a_link_in_place_of_a_directory_is_not_followed(home: Path, tmp_path: Path) -> None:
    """The agent wrote this home; it must not move directories elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    (home / ".claude").rename(elsewhere)
    (home / ".claude").symlink_to(elsewhere)

    assert not prepare(home)
    assert {path.name for path in (elsewhere / "projects").iterdir()} == {
        project_name(tmp_path / "old")
    }


def test_something_in_the_way_is_no_session(home: Path) -> None:
    """The prompt is rebuilt then; nothing is overwritten."""
    wall = home / ".claude" / "projects" / project_name(home.parent / "new")
    wall.mkdir()
    (wall / "other.jsonl").touch()

    assert not prepare(home)
    assert (wall / "other.jsonl").exists()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/w1-2.1.328/a_b", "-w1-2-1-328-a-b"),
        (
            "/tmp/exp/long/" + "/".join(["abcdefghij_.klmnop0123456789"] * 9),  # noqa: S108
            ("-tmp-exp-long-" + "-".join(["abcdefghij--klmnop0123456789"] * 9))[:200] + "-kpkk5m",
        ),
    ],
)
def test_directories_are_named_as_claude_code_names_them(path: str, name: str) -> None:
    """Long ones are cut and get a hash."""
    assert project_name(Path(path)) == name
