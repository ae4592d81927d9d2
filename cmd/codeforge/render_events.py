"""Events of a task as lines for people, as they happen."""

from __future__ import annotations

import json

from rich.console import Console
from rich.text import Text

from codeforge.plain import STYLES, Document, changes_in_words, clean, one_line, wait_in_words

_WIDTH = 200


def event_line(console: Console, event: Document) -> None:
    """One event as it happens; what says nothing to a person is left out."""
    text = _tell(event)
    if text is not None:
        console.print(text, soft_wrap=True, highlight=False)


_NOTES = frozenset(
    {
        *("waiting", "warning", "workspace_lost", "task_timeout"),
        *("escalation", "breaker_opened", "breaker_closed"),
        *("budget_warning", "budget_exceeded", "paused", "resumed", "directive"),
    }
)


def _note(data: Document) -> str:
    if "until" in data and "reason" in data:
        return wait_in_words(data)
    if "why" in data:
        return f"{data.get('breaker')} until {str(data.get('until'))[:19]}Z ({data['why']})"
    if "level" in data:
        return f"{data.get('scope')} {data['level']} ({data.get('reason')})"
    if "limit" in data:
        return f"{data.get('budget')} {data.get('used')} of {data['limit']}"
    names = ("message", "reason", "kind", "home", "signal", "breaker", "budget", "text", "delivery")
    said = (data.get(name) for name in names)
    return str(next((text for text in said if text), ""))


def _tell(event: Document) -> Text | None:  # noqa: PLR0911 -- one case for each event
    data = event["data"]
    match event["type"], event["event"]:
        case "system", "state":
            return Text(f"● {data['to']}", style=STYLES.get(data["to"], "yellow"))
        case "git", about:
            return _tell_git(about, data)
        case "system", "cli_started":
            return Text(f"  {data['cli']} {data.get('version') or ''}".rstrip(), style="dim")
        case "stream", "text":
            return Text(clean(data["text"]))
        case "stream", "thinking":
            return Text(one_line(data["text"], _WIDTH), style="italic dim")
        case "stream", "tool_use":
            shown = one_line(_arguments(data.get("input")), _WIDTH)
            return Text(f"→ {clean(data['name'])} {shown}", style="magenta")
        case "stream", "tool_result":
            style = "red" if data.get("is_error") else "dim"
            return Text(f"← {one_line(str(data.get('output', '')), _WIDTH)}", style=style)
        case "stream", "error":
            return Text(f"! {one_line(data['message'], _WIDTH)}", style="red")
        case "system", "task_failed":
            return Text(f"✗ {clean(data['error'])}", style="bold red")
        case "result", "task_completed":
            changes = data.get("changes_summary")
            told = f"✓ {changes_in_words(changes)}" if changes else "✓ no changes"
            return Text(told, style="bold green")
        case (("system" | "control"), about) if about in _NOTES:
            note = one_line(_note(data), _WIDTH)
            return Text(f"  {about}: {note}" if note else f"  {about}", style="yellow")
        case _:
            return None


def _tell_git(about: str, data: Document) -> Text | None:
    match about:
        case "clone_completed":
            commit, mode = str(data["commit"])[:12], data["mode"]
            return Text(f"  workspace at {commit} ({mode}, {data['ms']} ms)", style="dim")
        case "push_started":
            return Text(f"  pushing {clean(data['branch'])}", style="dim")
        case "pr_created":
            verb = "updated" if data["updated"] else "opened"
            return Text(f"✓ {verb} {clean(data['pr_url'])}", style="bold green")
        case "pr_failed":
            return Text(f"✗ no pull request: {clean(data['error'])}", style="bold red")
        case _:
            return None


def _arguments(given: Document | None) -> str:
    """What a tool was given; a single text without its name."""
    values = list((given or {}).values())
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return json.dumps(given, ensure_ascii=False)
