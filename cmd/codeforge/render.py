"""
What a server answers as lines for people: colours on a terminal, plain lines elsewhere.

Text that comes from others is shown as text: control characters are replaced, markup is not
interpreted.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from codeforge.plain import STYLES, Document, changes_in_words, clean, one_line, wait_in_words
from codeforge.render_events import event_line


def task_line(console: Console, task: Document) -> None:
    """One line of a listing."""
    line = Text(f"{task['id']}  ")
    line.append(f"{task['status']:<21}", style=STYLES.get(task["status"], "yellow"))
    line.append(f"{task['created_at'][:19]}Z  {one_line(task['repo_url'], 50)}  ")
    line.append(one_line(task.get("current_prompt") or task["prompt"], 60), style="dim")
    console.print(line, soft_wrap=True, highlight=False)


def key_line(console: Console, key: Document) -> None:
    """One registered key on one line."""
    until = f"until {key['expires_at'][:16]}Z" if key["expires_at"] else "no end"
    used = f"used {key['last_used_at'][:16]}Z" if key["last_used_at"] else "never used"
    place = [key["base_url"]] if key["base_url"] else []
    words = [key["name"], key["provider"], key["hint"], *place, *key["scope"], until, used]
    _say(console, words)


def workspace_line(console: Console, workspace: Document) -> None:
    """One workspace on one line."""
    line = Text(f"{workspace['task_id']}  ")
    status = workspace["task_status"]
    line.append(f"{status:<21}", style=STYLES.get(status, "yellow"))
    line.append(f"{workspace['size_mb']:>9.1f} MiB  used {workspace['last_used_at'][:16]}Z  ")
    line.append(workspace["home"], style="dim")
    console.print(line, soft_wrap=True, highlight=False)


def mcp_line(console: Console, server: Document) -> None:
    """One MCP server on one line: what is started or called, and the names of what it gets."""
    started = f"npx -y {server['package']}" if "package" in server else server.get("command")
    what = " ".join([started or server["url"], *server.get("args", ())])
    names = [*server.get("env_names", ()), *server.get("header_names", ())]
    words = [server["name"], what, *([" ".join(names)] if names else [])]
    _say(console, words)


def token_line(console: Console, token: Document) -> None:
    """One token on one line."""
    until = f"until {token['expires_at'][:16]}Z" if "expires_at" in token else "no end"
    used = f"used {token['last_used_at'][:16]}Z" if "last_used_at" in token else "never used"
    words = [token["name"], token["tenant"], "+".join(token["scopes"]), until, used]
    _say(console, words)


def control_page(console: Console, control: Document) -> None:
    """What holds runs back: each list under its name, and what new work gets."""
    lists = (
        ("gates", gate_line),
        ("breakers", breaker_line),
        ("budgets", budget_line),
        ("escalations", escalation_line),
    )
    for name, line in lists:
        if control[name]:
            console.print(name, style="dim", highlight=False)
        for row in control[name]:
            line(console, row)
    pressure_line(console, control["pressure"])


def gate_line(console: Console, gate: Document) -> None:
    """One gate on one line."""
    words = [gate["key"], gate["state"].replace("_", "-")]
    words += [f"{gate['held']} held"] if gate.get("held") else []
    words += [f"at most {gate['limit']:g}"] if "limit" in gate else []
    words += [f"{gate['waiting']} waiting"] if gate["waiting"] else []
    words += [f"until {gate['until'][:19]}Z"] if "until" in gate else []
    words += [gate["why"]] if "why" in gate else []
    words += [gate["repo_url"]] if "repo_url" in gate else []
    _say(console, words)


def escalation_line(console: Console, escalated: Document) -> None:
    """One agent, repository or worker that has a level, on one line."""
    words = [escalated["scope"], escalated["level"], escalated["reason"]]
    words += [f"{escalated['signals']} signals", f"since {escalated['since'][:19]}Z"]
    words += [escalated["repo_url"]] if "repo_url" in escalated else []
    _say(console, words)


def pressure_line(console: Console, pressure: Document) -> None:
    """What new work gets, on one line."""
    words = [f"new work: {pressure['answer']}"]
    words += _short(pressure)
    words += [f"{pressure['runnable']} runnable", f"{pressure['slots']} slots"]
    _say(console, words)


def _short(pressure: Document) -> list[str]:
    """What is short, and how much."""
    match pressure["cause"]:
        case "queue" as cause:
            return [cause, f"oldest {pressure['oldest_seconds']:.0f} s"]
        case "disk" as cause:
            return [cause, f"{pressure['full_homes']} of {pressure['homes']} homes full"]
        case ("memory" | "redis_memory") as cause:
            return [cause, f"{100 * pressure[f'{cause}_share']:.0f} % used"]
        case _:
            return []


def breaker_line(console: Console, breaker: Document) -> None:
    """One breaker on one line."""
    words = [breaker["key"], breaker["state"].replace("_", "-")]
    words += [f"{breaker['failed']} of {breaker['calls']} failed"] if breaker["calls"] else []
    words += [f"{breaker['slow']} slow"] if breaker["slow"] else []
    words += [f"until {breaker['until'][:19]}Z"] if "until" in breaker else []
    words += [breaker["why"]] if "why" in breaker else []
    _say(console, words)


def budget_line(console: Console, budget: Document) -> None:
    """What was spent today under one day budget, on one line."""
    of = {unit: f" of {budget[limit]:g}" if limit in budget else "" for unit, limit in _LIMITS}
    words = [budget["key"], f"{budget['usd']:.2f} USD{of['usd']}"]
    words += [f"{budget['tokens']} tokens{of['tokens']}"]
    if budget["unpriced_tokens"]:
        words.append(f"{budget['unpriced_tokens']} unpriced")
    words += [budget["repo_url"]] if "repo_url" in budget else []
    _say(console, words)


_LIMITS = (("usd", "usd_limit"), ("tokens", "tokens_limit"))


def audit_line(console: Console, entry: Document) -> None:
    """One act on one line."""
    who = " ".join(part for part in (entry["token"], entry["address"]) if part)
    words = [entry["at"][:19] + "Z", who, entry["action"], entry["object"]]
    words += [f"{name}={value}" for name, value in entry["details"].items() if value is not None]
    _say(console, words)


def endpoint_line(console: Console, endpoint: Document) -> None:
    """One line of a listing of webhook endpoints."""
    state = "failing" if "failing_since" in endpoint else "on"
    if not endpoint["enabled"]:
        state = f"off ({endpoint['disabled_reason']})"
    line = Text(f"{endpoint['id']}  ")
    line.append(f"{state:<14}", style="green" if state == "on" else "bold red")
    line.append(f"{clean(endpoint['url'])}  ")
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
    line.append(one_line(letter["message"], 80), style="dim")
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
    waits: Document | None = task.get("wait")
    rows: list[tuple[str, str | None]] = [
        ("id", task["id"]),
        ("status", task["status"]),
        ("repository", task["repo_url"]),
        ("prompt", task.get("current_prompt") or task["prompt"]),
        ("iteration", str(task["iteration"])),
        ("attempt", str(task["attempt"]) if task.get("attempt", 0) > 1 else None),
        ("waits for", wait_in_words(waits) if waits else None),
        ("error", task.get("error")),
        ("result", task.get("result")),
        ("changes", changes_in_words(changes) if changes else None),
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
            style = STYLES.get(task["status"], "") if name == "status" else ""
            line = Text.assemble((f"{name:>13}  ", "dim"), (clean(value), style))
            console.print(line, soft_wrap=True, highlight=False)


def _usage(usage: Document) -> str:
    tokens = f"{usage['input_tokens']} in, {usage['output_tokens']} out"
    return f"{tokens}, {usage['cost_usd']:.4f} USD, {usage['duration_seconds']:.1f} s"


def _say(console: Console, words: Sequence[str]) -> None:
    """*words* on one line, as they are: a key like `repo:a:r` is no markup, and has no emoji."""
    line = clean("  ".join(words))
    console.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)
