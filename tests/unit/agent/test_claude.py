"""The driver of Claude Code: what it starts, and what it makes of lines that say little."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from internal.agent.claude import ClaudeCode
from internal.agent.model import AgentResult, Ending, EventKind, ExitStatus, Fault, Reporting
from tests.support.recorded import request

KEY = "ANTHROPIC_API_KEY"
WORKER = {
    "PATH": "/usr/bin",
    KEY: "worker-key",
    "ANTHROPIC_AUTH_TOKEN": "worker-token",
    "ANTHROPIC_BASE_URL": "http://gateway",
    "CLAUDE_CODE_OAUTH_TOKEN": "worker-oauth",
}
DONE = ExitStatus(code=0)


def run(*lines: object, status: ExitStatus = DONE, session_id: str | None = None) -> AgentResult:
    """The verdict on a run that printed *lines*."""
    parser = ClaudeCode().parser(request(session_id=session_id))
    for line in lines:
        parser.parse(json.dumps(line).encode())
    return parser.result(status)


def options(**given: object) -> list[str]:
    """The arguments behind the program's name."""
    return list(ClaudeCode().launch(request(**given)).argv[1:])


def environment(**given: object) -> dict[str, str]:
    """The variables the agent gets."""
    return ClaudeCode().launch(request(environment=WORKER, **given)).environment


def assistant(text: str, **more: object) -> dict[str, object]:
    """The line of one message."""
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"content": content}, **more}


def test_the_prompt_is_one_message_in_stream_json() -> None:
    """The user's text and nothing else, whatever is in it."""
    prompt = 'line 1\nline "2" — é'

    launch = ClaudeCode().launch(request(prompt=prompt))

    (line,) = launch.stdin.splitlines()
    assert json.loads(line)["message"] == {
        "role": "user",
        "content": [{"type": "text", "text": prompt}],
    }
    assert launch.close_stdin


def test_lines_go_in_and_out_as_stream_json() -> None:
    """No question is ever asked, and no setting of the repository obeyed."""
    assert options() == [
        "-p",
        *("--output-format", "stream-json"),
        *("--input-format", "stream-json"),
        "--verbose",
        *("--permission-mode", "bypassPermissions"),
        *("--setting-sources", "user"),
        "--strict-mcp-config",
        *("--add-dir", str(request().workspace)),
    ]


def test_what_the_task_sets_becomes_options() -> None:
    """Money is written without an exponent."""
    given = options(model="opus", max_turns=7, max_budget_usd=0.00005, session_id="abc")

    assert given[-8:] == [
        *("--model", "opus"),
        *("--max-turns", "7"),
        *("--max-budget-usd", "0.00005"),
        *("--resume", "abc"),
    ]


def test_fault_a11_credentials_of_the_worker_are_passed_on() -> None:
    """A task without a key uses the worker's account and gateway."""
    assert {name: environment()[name] for name in WORKER} == WORKER


def test_a_key_of_the_task_replaces_those_of_the_worker() -> None:
    """None of the worker's reaches this agent, and the task's key not the worker's gateway."""
    given = environment(api_key="task-key", environment_names=(KEY, "ANTHROPIC_AUTH_TOKEN"))

    assert given[KEY] == "task-key"
    assert not [value for value in given.values() if value.startswith("worker-")]
    assert "ANTHROPIC_BASE_URL" not in given


def test_the_operator_can_send_a_task_s_key_to_a_gateway() -> None:
    """By naming the variable."""
    given = environment(api_key="task-key", environment_names=("ANTHROPIC_BASE_URL",))

    assert given["ANTHROPIC_BASE_URL"] == "http://gateway"


def test_the_operator_can_change_what_the_driver_sets() -> None:
    """By naming the variable."""
    changed = {**WORKER, "CLAUDE_CODE_MAX_RETRIES": "1"}

    launch = ClaudeCode().launch(
        request(environment=changed, environment_names=("CLAUDE_CODE_MAX_RETRIES",))
    )

    assert launch.environment["CLAUDE_CODE_MAX_RETRIES"] == "1"


def test_root_is_told_that_it_is_contained() -> None:
    """Claude Code refuses to work without questions as root otherwise."""
    assert environment().get("IS_SANDBOX") == ("1" if os.geteuid() == 0 else None)


def test_a_launch_shows_no_secret_in_its_repr() -> None:
    """It may end in a log."""
    given = request(environment=WORKER, api_key="task-key")

    shown = repr(given) + repr(ClaudeCode().launch(given))

    assert "worker-key" not in shown
    assert "task-key" not in shown


def test_a_program_that_says_little_is_understood() -> None:
    """Three minimal lines: no session, no cost, no `is_error`."""
    usage = {"input_tokens": 150, "output_tokens": 50}

    result = run(
        {"type": "system", "subtype": "init", "model": "mock-claude"},
        assistant("working"),
        {"type": "result", "subtype": "success", "result": "done", "usage": usage},
    )

    assert result.ending is Ending.COMPLETED
    assert result.text == "done"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (150, 50)
    assert result.usage.model == "mock-claude"
    assert result.session_id is None


def test_an_empty_result_falls_back_to_the_last_text() -> None:
    """Of the agent itself, not of a sub-agent."""
    result = run(
        assistant("first"),
        assistant("last"),
        assistant("of a sub-agent", parent_tool_use_id="toolu_1"),
        {"type": "result", "result": ""},
    )

    assert result.text == "last"


def test_a_run_that_names_no_session_goes_on_with_the_one_it_resumed() -> None:
    """So the next follow-up resumes it again."""
    assert run({"type": "result", "result": "x"}, session_id="abc").session_id == "abc"


@pytest.mark.parametrize("bad", ["--dangerous", "../../x", "a/b", "", "x" * 200, 7, None, "a b"])
def test_a_session_id_that_could_do_harm_is_none(bad: object) -> None:
    """It comes back as an argument and as part of a file name."""
    assert run({"type": "system", "session_id": bad}).session_id is None


def test_success_with_a_failing_exit_status_is_a_failure() -> None:
    """The end of a run is its output and its exit status."""
    result = run({"type": "result", "result": "fine"}, status=ExitStatus(code=1))

    assert result.ending is Ending.FAILED


def test_an_early_result_is_not_the_end() -> None:
    """A second turn can fail."""
    result = run(
        {"type": "result", "subtype": "success", "result": "fine"},
        {"type": "result", "subtype": "success", "is_error": True, "result": "broken"},
        status=ExitStatus(code=1),
    )

    assert result.ending is Ending.FAILED
    assert "broken" in result.message


@pytest.mark.parametrize(
    ("stderr", "ending"),
    [
        ("No conversation found with session ID: abc", Ending.SESSION_LOST),
        ("Invalid API key · Please run /login", Ending.AUTH_FAILED),
        ("Error: Session ID abc is already in use.", Ending.FAILED),
    ],
)
def test_a_refusal_before_the_first_line_is_read_from_stderr(stderr: str, ending: Ending) -> None:
    """There is nothing else to read."""
    assert run(status=ExitStatus(code=1, stderr_tail=stderr)).ending is ending


def test_an_image_in_a_tool_result_is_named_not_shown() -> None:
    """Base64 of a picture helps nobody in a log."""
    content = [{"type": "text", "text": "see"}, {"type": "image", "source": {"data": "iVBOR"}}]
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    line = {"type": "user", "message": {"content": [block]}}

    (event,) = ClaudeCode().parser(request()).parse(json.dumps(line).encode())

    assert event.kind is EventKind.TOOL_RESULT
    assert event.data == {"id": "t1", "output": "see\n[image]", "is_error": False}


def test_endless_new_messages_fill_no_memory() -> None:
    """Their usage is an estimate; past a bound it is not kept."""
    parser = ClaudeCode().parser(request())
    for number in range(10_000):
        message = {"id": f"m{number}", "usage": {"input_tokens": 1}}
        parser.parse(json.dumps({"type": "assistant", "message": message}).encode())

    assert 0 < parser.usage.input_tokens < 10_000


REPORTING = Reporting(
    endpoint="https://collector:4318",
    protocol="http/protobuf",
    task="t1",
    iteration=2,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ca_file="/etc/ca.pem",
)


def test_it_reports_by_itself_only_when_asked_to() -> None:
    """Its spans then join the trace of the run, and all it reports names the task."""
    asked, not_asked = environment(reporting=REPORTING), environment()

    assert asked["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    assert asked["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector:4318"
    assert asked["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert asked["OTEL_EXPORTER_OTLP_CERTIFICATE"] == "/etc/ca.pem"
    assert asked["OTEL_RESOURCE_ATTRIBUTES"] == "task.id=t1,task.iteration=2"
    assert asked["TRACEPARENT"] == REPORTING.traceparent
    assert not [name for name in not_asked if "OTEL" in name or "TRACE" in name]
    assert "CLAUDE_CODE_ENABLE_TELEMETRY" not in not_asked


def test_the_password_of_a_collector_is_not_for_agents() -> None:
    """Their tools see their environment; who wants it there names the variable."""
    name = "OTEL_EXPORTER_OTLP_HEADERS"
    worker = WORKER | {name: "authorization=secret", "OTEL_SERVICE_NAME": "ours"}
    asked = request(environment=worker, reporting=REPORTING)
    named = request(environment=worker, reporting=REPORTING, environment_names=(name,))

    assert name not in ClaudeCode().launch(asked).environment
    assert "OTEL_SERVICE_NAME" not in ClaudeCode().launch(asked).environment
    assert ClaudeCode().launch(named).environment[name] == "authorization=secret"


NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
FAILED = ExitStatus(code=1, ended_at=NOW)


def failure(text: str, **more: object) -> dict[str, object]:
    """The result line of a run that failed at the model's API."""
    return {"type": "result", "subtype": "success", "is_error": True, "result": text, **more}


@pytest.mark.parametrize(
    ("text", "resets_at"),
    [
        (f"Claude AI usage limit reached|{int(NOW.timestamp()) + 60}", NOW + timedelta(minutes=1)),
        ("You've hit your limit · resets 3pm (UTC)", NOW + timedelta(minutes=90)),
        ("You've hit your session limit · resets 3pm (UTC)", NOW + timedelta(minutes=90)),
        ("5-hour limit reached ∙ resets 3pm", NOW + timedelta(minutes=90)),
        ("Weekly limit reached · resets 3pm (UTC)", NOW + timedelta(minutes=90)),
        ("You're out of extra usage · resets 3pm (UTC)", NOW + timedelta(minutes=90)),
        ("Your limit will reset at 3pm (UTC).", NOW + timedelta(minutes=90)),
        ("Credit balance is too low", None),
        ("Claude AI usage limit reached", None),
    ],
)
def test_a_used_up_quota_says_when_it_opens(text: str, resets_at: datetime | None) -> None:
    """As far as the client tells; no credit comes back by itself."""
    result = run(failure(text, api_error_status=429), status=FAILED)

    assert result.ending is Ending.QUOTA_EXHAUSTED
    assert (result.resets_at, result.fault) == (resets_at, None)


def test_the_clients_own_line_about_its_window_wins_over_words() -> None:
    """It has the second; `allowed` and a warning say that the run goes on."""
    opens = NOW + timedelta(minutes=7)
    window = {"status": "rejected", "resetsAt": int(opens.timestamp()), "rateLimitType": "x"}
    event = {"type": "rate_limit_event", "rate_limit_info": window}
    passing = {"type": "rate_limit_event", "rate_limit_info": {**window, "status": "allowed"}}
    limit = failure("You've hit your limit · resets 3pm (UTC)", api_error_status=429)

    assert run(event, limit, status=FAILED).resets_at == opens
    assert run(event, failure("no", api_error_status=429), status=FAILED).resets_at == opens
    assert run(event, passing, failure("no"), status=FAILED).ending is Ending.FAILED
    assert run(event, {"type": "result", "result": "done"}).ending is Ending.COMPLETED


def test_weakness_14_words_of_the_model_make_no_class() -> None:
    """Only what the client itself says of its end counts: its result line, and its stderr."""
    words = "429 Too Many Requests, rate limit, ECONNRESET, usage limit reached|1795300000"
    tool = {"type": "tool_result", "tool_use_id": "t", "content": words, "is_error": True}
    said = (assistant(words), {"type": "user", "message": {"content": [tool]}})
    end = {"type": "result", "subtype": "error_during_execution", "errors": ["it broke"]}

    failed = run(*said, end, status=FAILED)
    crashed = run(*said, status=ExitStatus(signal=11, ended_at=NOW))
    done = run(*said, {"type": "result", "result": words})

    assert (failed.ending, failed.resets_at, failed.fault) == (Ending.FAILED, None, None)
    assert (crashed.ending, crashed.fault) == (Ending.FAILED, Fault.PROGRAM)
    assert done.ending is Ending.COMPLETED
    quota = run(status=ExitStatus(code=1, stderr_tail="usage limit reached|1795300000"))
    assert quota.ending is Ending.QUOTA_EXHAUSTED


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (failure("API Error: 500 broken", api_error_status=500), Fault.ENDPOINT),
        (failure("API Error: 529 Overloaded", api_error_status=529), Fault.ENDPOINT),
        (failure("API Error: refused", api_error="connection_failed"), Fault.ENDPOINT),
        (failure("API Error: Unable to connect to API (ConnectionRefused)"), Fault.ENDPOINT),
        (failure("slow down", api_error_status=429), None),
        (failure("invalid x-api-key", api_error_status=401), None),
        (failure("forbidden", api_error_status=403), None),
        (failure("no such model", api_error_status=404), None),
        (failure("I could not do it"), None),
        ({"type": "result", "subtype": "error_max_turns"}, None),
    ],
)
def test_only_an_endpoint_that_cannot_is_at_fault(
    line: dict[str, object], fault: Fault | None
) -> None:
    """A key that is refused, a request that is wrong, a task that is hard say nothing of it."""
    assert run(line, status=FAILED).fault is fault


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (ExitStatus(signal=11), Fault.PROGRAM),
        (ExitStatus(signal=6), Fault.PROGRAM),
        (ExitStatus(code=1, stderr_tail="Cannot find module 'x'"), Fault.PROGRAM),
        (ExitStatus(code=127), Fault.PROGRAM),
        (ExitStatus(signal=9), None),
        (ExitStatus(code=137), None),
        (ExitStatus(code=143), None),
        (ExitStatus(code=1, stderr_tail="Invalid API key · Please run /login"), None),
        (ExitStatus(code=1, ended_by="cancel"), None),
        (ExitStatus(code=0), None),
    ],
)
def test_a_program_that_ends_without_a_word_broke(status: ExitStatus, fault: Fault | None) -> None:
    """Unless somebody ended it from outside: the system short of memory, a person, us."""
    assert run(status=status).fault is fault
