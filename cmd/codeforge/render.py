"""
Events and tasks as lines for people: colours on a terminal, plain lines elsewhere.

Text that comes from agents is shown as text: control characters are replaced, markup is not
interpreted.
"""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.text import Text

Document = dict[str, Any]

_STYLES = {
    "completed": "bold green",
    "pr_created": "bold green",
    "failed": "bold red",
    "running": "cyan",
    "cloning": "cyan",
}
_WIDTH = 200


def task_line(console: Console, task: Document) -> None:
    """One line of a listing."""
    line = Text(f"{task['id']}  ")
    line.append(f"{task['status']:<21}", style=_STYLES.get(task["status"], "yellow"))
    line.append(f"{task['created_at'][:19]}Z  {_one_line(task['repo_url'], 50)}  ")
    line.append(_one_line(task.get("current_prompt") or task["prompt"], 60), style="dim")
    console.print(line, soft_wrap=True, highlight=False)


def key_line(console: Console, key: Document) -> None:
    """One registered key on one line."""
    until = f"until {key['expires_at'][:16]}Z" if key["expires_at"] else "no end"
    used = f"used {key['last_used_at'][:16]}Z" if key["last_used_at"] else "never used"
    place = [key["base_url"]] if key["base_url"] else []
    words = [key["name"], key["provider"], key["hint"], *place, *key["scope"], until, used]
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


def workspace_line(console: Console, workspace: Document) -> None:
    """One workspace on one line."""
    line = Text(f"{workspace['task_id']}  ")
    status = workspace["task_status"]
    line.append(f"{status:<21}", style=_STYLES.get(status, "yellow"))
    line.append(f"{workspace['size_mb']:>9.1f} MiB  used {workspace['last_used_at'][:16]}Z  ")
    line.append(workspace["home"], style="dim")
    console.print(line, soft_wrap=True, highlight=False)


def mcp_line(console: Console, server: Document) -> None:
    """One MCP server on one line: what is started or called, and the names of what it gets."""
    started = f"npx -y {server['package']}" if "package" in server else server.get("command")
    what = " ".join([started or server["url"], *server.get("args", ())])
    names = [*server.get("env_names", ()), *server.get("header_names", ())]
    words = [server["name"], what, *([" ".join(names)] if names else [])]
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


def token_line(console: Console, token: Document) -> None:
    """One token on one line."""
    until = f"until {token['expires_at'][:16]}Z" if "expires_at" in token else "no end"
    used = f"used {token['last_used_at'][:16]}Z" if "last_used_at" in token else "never used"
    words = [token["name"], token["tenant"], "+".join(token["scopes"]), until, used]
    console.print("  ".join(words), soft_wrap=True, highlight=False, markup=False)


def gate_line(console: Console, gate: Document) -> None:
    """One gate on one line."""
    words = [gate["key"], gate["state"].replace("_", "-")]
    words += [f"{gate['held']} held"] if gate.get("held") else []
    words += [f"at most {gate['limit']:g}"] if "limit" in gate else []
    words += [f"{gate['waiting']} waiting"] if gate["waiting"] else []
    words += [f"until {gate['until'][:19]}Z"] if "until" in gate else []
    words += [gate["why"]] if "why" in gate else []
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


def escalation_line(console: Console, escalated: Document) -> None:
    """One agent, repository or worker that has a level, on one line."""
    words = [escalated["scope"], escalated["level"], escalated["reason"]]
    words += [f"{escalated['signals']} signals", f"since {escalated['since'][:19]}Z"]
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


def pressure_line(console: Console, pressure: Document) -> None:
    """What new work gets, on one line."""
    words = [f"new work: {pressure['answer']}"]
    words += [pressure["cause"]] if pressure["cause"] != "none" else []
    words += [f"{pressure['runnable']} runnable", f"{pressure['slots']} slots"]
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


def breaker_line(console: Console, breaker: Document) -> None:
    """One breaker on one line."""
    words = [breaker["key"], breaker["state"].replace("_", "-")]
    words += [f"{breaker['failed']} of {breaker['calls']} failed"] if breaker["calls"] else []
    words += [f"{breaker['slow']} slow"] if breaker["slow"] else []
    words += [f"until {breaker['until'][:19]}Z"] if "until" in breaker else []
    words += [breaker["why"]] if "why" in breaker else []
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


def budget_line(console: Console, budget: Document) -> None:
    """What was spent today under one day budget, on one line."""
    of = {unit: f" of {budget[limit]:g}" if limit in budget else "" for unit, limit in _LIMITS}
    words = [budget["key"], f"{budget['usd']:.2f} USD{of['usd']}"]
    words += [f"{budget['tokens']} tokens{of['tokens']}"]
    if budget["unpriced_tokens"]:
        words.append(f"{budget['unpriced_tokens']} unpriced")
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


_LIMITS = (("usd", "usd_limit"), ("tokens", "tokens_limit"))


def audit_line(console: Console, entry: Document) -> None:
    """One act on one line."""
    who = " ".join(part for part in (entry["token"], entry["address"]) if part)
    words = [entry["at"][:19] + "Z", who, entry["action"], entry["object"]]
    words += [f"{name}={value}" for name, value in entry["details"].items() if value is not None]
    console.print(_clean("  ".join(words)), soft_wrap=True, highlight=False, markup=False)


def endpoint_line(console: Console, endpoint: Document) -> None:
    """One line of a listing of webhook endpoints."""
    state = "failing" if "failing_since" in endpoint else "on"
    if not endpoint["enabled"]:
        state = f"off ({endpoint['disabled_reason']})"
    line = Text(f"{endpoint['id']}  ")
    line.append(f"{state:<14}", style="green" if state == "on" else "bold red")
    line.append(f"{_clean(endpoint['url'])}  ")
    line.append(" ".join(event.removeprefix("task.") for event in endpoint["events"]), style="dim")
    console.print(line, soft_wrap=True, highlight=False)


def delivery_line(console: Console, delivery: Document) -> None:
    """One line of a listing of deliveries."""
    line = Text(f"{delivery['id']}  ")
    style = {"delivered": "green", "failed": "bold red"}.get(delivery["status"], "yellow")
    line.append(f"{delivery['status']:<10}", style=style)
    line.append(f"{delivery['event']}  {delivery['created_at'][:19]}Z  ")
    line.append(f"{delivery['attempt_count']}x {delivery.get('reason', '')}", style="dim")
    console.print(line, soft_wrap=True, highlight=False)


def letter_line(console: Console, letter: Document) -> None:
    """One line of a listing of dead letters."""
    line = Text(f"{letter['id']}  {letter['died_at'][:19]}Z  ")
    line.append(f"{letter['reason']:<16}", style="bold red")
    line.append(f"{letter['agent']}  {letter['repo_url']}  ")
    line.append(_one_line(letter["message"], 80), style="dim")
    console.print(line, soft_wrap=True, highlight=False)


def letter_page(console: Console, letter: Document) -> None:
    """A whole dead letter: each attempt on a line, then the end of its log."""
    letter_line(console, letter)
    for attempt in letter["attempts"]:
        began, ended = attempt["started_at"] or "", attempt["ended_at"]
        told = f"attempt {attempt['attempt']}  {began[:19]} to {ended[:19]}Z  {attempt['worker']}  "
        console.print(told + attempt["reason"], soft_wrap=True, highlight=False)
    for event in letter["evidence"]:
        event_line(console, event)


def task_page(console: Console, task: Document) -> None:
    """A whole task: the members a person asks for first."""
    usage, changes = task["usage_total"], task.get("changes_summary")
    waits: Document = task.get("wait") or {}
    rows: list[tuple[str, str | None]] = [
        ("id", task["id"]),
        ("status", task["status"]),
        ("repository", task["repo_url"]),
        ("prompt", task.get("current_prompt") or task["prompt"]),
        ("iteration", str(task["iteration"])),
        ("waits for", waits.get("reason")),
        ("error", task.get("error")),
        ("result", task.get("result")),
        ("changes", _changes(changes) if changes else None),
        ("usage", _usage(usage)),
        ("pull request", task.get("pr_url")),
        ("not published", task.get("pr_error")),
        ("credential", task.get("key_source")),
        ("isolation", task.get("isolation")),
        ("created", task["created_at"]),
        ("finished", task.get("finished_at")),
    ]
    for name, value in rows:
        if value:
            style = _STYLES.get(task["status"], "") if name == "status" else ""
            line = Text.assemble((f"{name:>13}  ", "dim"), (_clean(value), style))
            console.print(line, soft_wrap=True, highlight=False)


def event_line(console: Console, event: Document) -> None:
    """One event as it happens; what says nothing to a person is left out."""
    text = _tell(event)
    if text is not None:
        console.print(text, soft_wrap=True, highlight=False)


_NOTES = frozenset({"waiting", "warning", "workspace_lost", "task_timeout", "escalation"})


def _note(data: Document) -> str:
    if "level" in data:
        return f"{data.get('scope')} {data['level']} ({data.get('reason')})"
    said = (data.get(name) for name in ("message", "reason", "kind", "home", "signal"))
    return str(next((text for text in said if text), None))


def _tell(event: Document) -> Text | None:  # noqa: PLR0911 -- one case for each event
    data = event["data"]
    match event["type"], event["event"]:
        case "system", "state":
            return Text(f"● {data['to']}", style=_STYLES.get(data["to"], "yellow"))
        case "git", about:
            return _tell_git(about, data)
        case "system", "cli_started":
            return Text(f"  {data['cli']} {data.get('version') or ''}".rstrip(), style="dim")
        case "stream", "text":
            return Text(_clean(data["text"]))
        case "stream", "thinking":
            return Text(_one_line(data["text"], _WIDTH), style="italic dim")
        case "stream", "tool_use":
            shown = _one_line(_arguments(data.get("input")), _WIDTH)
            return Text(f"→ {_clean(data['name'])} {shown}", style="magenta")
        case "stream", "tool_result":
            style = "red" if data.get("is_error") else "dim"
            return Text(f"← {_one_line(str(data.get('output', '')), _WIDTH)}", style=style)
        case "stream", "error":
            return Text(f"! {_one_line(data['message'], _WIDTH)}", style="red")
        case "system", "task_failed":
            return Text(f"✗ {_clean(data['error'])}", style="bold red")
        case "result", "task_completed":
            changes = data.get("changes_summary")
            told = f"✓ {_changes(changes)}" if changes else "✓ no changes"
            return Text(told, style="bold green")
        case (("system" | "control"), about) if about in _NOTES:
            return Text(f"  {about}: {_one_line(_note(data), _WIDTH)}", style="yellow")
        case _:
            return None


def _tell_git(about: str, data: Document) -> Text | None:
    match about:
        case "clone_completed":
            commit, mode = str(data["commit"])[:12], data["mode"]
            return Text(f"  workspace at {commit} ({mode}, {data['ms']} ms)", style="dim")
        case "push_started":
            return Text(f"  pushing {_clean(data['branch'])}", style="dim")
        case "pr_created":
            verb = "updated" if data["updated"] else "opened"
            return Text(f"✓ {verb} {_clean(data['pr_url'])}", style="bold green")
        case "pr_failed":
            return Text(f"✗ no pull request: {_clean(data['error'])}", style="bold red")
        case _:
            return None


def _arguments(given: Document | None) -> str:
    """What a tool was given; a single text without its name."""
    values = list((given or {}).values())
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return json.dumps(given, ensure_ascii=False)


def _changes(changes: Document) -> str:
    created, modified = changes["files_created"], changes["files_modified"]
    return f"{created} created, {modified} modified, {changes['files_deleted']} deleted, " + str(
        changes["diff_stats"]
    )


def _usage(usage: Document) -> str:
    tokens = f"{usage['input_tokens']} in, {usage['output_tokens']} out"
    return f"{tokens}, {usage['cost_usd']:.4f} USD, {usage['duration_seconds']:.1f} s"


def _one_line(text: str, width: int) -> str:
    flat = _clean(" ".join(text.split()))
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
