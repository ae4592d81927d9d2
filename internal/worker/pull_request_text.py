"""
Title, description and commit message of a pull request, from the task and what it changed. Pure.

What the request says is taken as it is; the rest comes from the operator's templates, in which
`{name}` stands for one of `PLACEHOLDERS`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from internal.git.model import Changes
from internal.task.model import Task
from internal.task.pullrequest import PullRequestOptions

PLACEHOLDERS = ("summary", "prompt", "changes", "task_id", "task_url", "agent", "iteration")
DEFAULT_BODY = "{changes}\n\nMade by CodeForge with {agent}, task [{task_id}]({task_url})."

_TITLE_CHARS = 120
_BODY_CHARS = 60_000
"""Of the hosts GitHub takes least: 65,536."""
_NAME = re.compile(r"\{([a-z_]+)\}")
_JOINERS = {"\u200d", "\ufe0f"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """Of the operator; `task_url` has `{task_id}` where the id comes."""

    title: str
    body: str
    task_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What people read."""

    title: str
    description: str


def compose(
    task: Task, changes: Changes, options: PullRequestOptions, templates: Templates
) -> Text:
    """The text of a task's pull request; its title is one line and never empty."""
    values = {
        "summary": first_line(task.prompt),
        "prompt": task.prompt,
        "changes": _describe(changes),
        "task_id": task.id,
        "task_url": templates.task_url.replace("{task_id}", task.id),
        "agent": task.config.cli,
        "iteration": str(task.iteration),
    }
    title = options.title or _fill(templates.title, values)
    description = options.description
    if description is None:
        description = _fill(templates.body or DEFAULT_BODY, values)
    return Text(
        title=cut(one_line(title), _TITLE_CHARS) or f"Task {task.id}",
        description=cut(description, _BODY_CHARS),
    )


def commit_message(task: Task, text: Text) -> str:
    """The title, and the trailer by which a commit leads back to its task."""
    return f"{text.title}\n\nCodeForge-Task: {task.id}\n"


def first_line(text: str) -> str:
    """The first line that says something, without the marks of a heading or a list."""
    lines = (one_line(line).lstrip("#*->• ") for line in text.splitlines())
    return next((line for line in lines if line), "")


def one_line(text: str) -> str:
    """*text* with every run of blanks and control characters as one space."""
    shown = (" " if unicodedata.category(char) == "Cc" else char for char in text)
    return " ".join("".join(shown).split())


def cut(text: str, limit: int) -> str:
    """At most *limit* characters, at the end of a word if one is near; no character is split."""
    if len(text) <= limit:
        return text
    end = limit - 1
    while end > 0 and (unicodedata.combining(text[end]) or {text[end - 1], text[end]} & _JOINERS):
        end -= 1
    kept = text[:end]
    words = kept.rpartition(" ")[0]
    return f"{words if len(words) > limit // 2 else kept}…"


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: values.get(match[1], match[0]), template)


def _describe(changes: Changes) -> str:
    plural = "" if changes.files == 1 else "s"
    kinds = (
        (changes.files_created, "new"),
        (changes.files_modified, "modified"),
        (changes.files_deleted, "deleted"),
    )
    told = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    return f"{changes.files} file{plural} changed ({told}; {changes.diff_stats})."
