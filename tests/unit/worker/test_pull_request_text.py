"""Title, description and commit message, from the task, the request and the templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.config.settings import PR_PLACEHOLDERS
from internal.git.model import Changes
from internal.task.model import Task, TaskId
from internal.task.pullrequest import PullRequestOptions
from internal.task.state import State
from internal.worker.pull_request_text import (
    PLACEHOLDERS,
    Templates,
    Text,
    commit_message,
    compose,
    cut,
    first_line,
)
from tests.support.a_task import a_task

_PLAIN = Templates(title="{summary}", body="", task_url="http://x/tasks/{task_id}")
_CHANGES = Changes(files_modified=2, files_created=1, insertions=10, deletions=3)


def task(prompt: str) -> Task:
    return a_task(
        id=TaskId("t1"),
        status=State.CREATING_PR,
        repo_url="https://github.com/o/r",
        prompt=prompt,
        iteration=2,
    )


def text(
    prompt: str, templates: Templates = _PLAIN, options: PullRequestOptions | None = None
) -> Text:
    return compose(task(prompt), _CHANGES, options or PullRequestOptions(), templates)


def test_without_a_request_the_first_line_and_the_changes_speak() -> None:
    """The prompt's first line, what changed, and the way back to the task."""
    made = text("# Fix the *typo*\n\nIt is in README.")

    assert made.title == "Fix the *typo*"
    assert made.description.startswith("3 files changed (1 new, 2 modified; +10 -3).")
    assert "[t1](http://x/tasks/t1)" in made.description
    assert commit_message(task(""), made) == "Fix the *typo*\n\nCodeForge-Task: t1\n"


def test_the_request_comes_before_the_templates() -> None:
    """An empty description is a description."""
    made = text("prompt", options=PullRequestOptions(title="mine", description=""))

    assert made == Text(title="mine", description="")


def test_templates_name_what_they_want() -> None:
    """Every placeholder is filled; braces of the prompt are left alone, and filled once."""
    body = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    made = text("do {task_id}", Templates(title="[{agent}] {summary}", body=body, task_url="u"))

    assert made.title == "[demo] do {task_id}"
    assert made.description == (
        "do {task_id} do {task_id} 3 files changed (1 new, 2 modified; +10 -3). t1 u demo 2"
    )


def test_the_settings_know_the_placeholders() -> None:
    """They are checked when a process starts, on a floor below."""
    assert PR_PLACEHOLDERS == PLACEHOLDERS


@pytest.mark.parametrize("prompt", ["", "\n\n", "\x00\x1b", "### "])
def test_a_title_is_never_empty(prompt: str) -> None:
    """The task's id, when nothing else is there."""
    assert text(prompt).title == "Task t1"


@given(st.text(max_size=400))
def test_fault_a17_a_title_is_one_line_of_at_most_120_characters(prompt: str) -> None:
    """Whatever is in the prompt; it can be stored as UTF-8."""
    title = text(prompt.encode(errors="ignore").decode()).title

    assert 0 < len(title) <= 120
    assert len(title.splitlines()) == 1
    assert title.encode().decode() == title


def test_a_cut_splits_no_character() -> None:
    """Neither a letter and its accent nor a family of emoji."""
    assert cut("abcdefghie\u0301x", 10) == "abcdefghi…"
    assert cut("ab👩\u200d👩\u200d👧 and more", 4) in {"ab…", "ab👩…"}
    assert cut("short", 10) == "short"


def test_the_first_line_that_says_something_is_taken() -> None:
    """Without the marks of headings, lists and quotations."""
    assert first_line("\n  \n - [x] * do\nmore") == "[x] * do"
