"""What a request body may say, and what each fault is called."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from internal.errors import BadRequest, Invalid, NotAvailable, PolicyDenied
from internal.server.complaints import parse
from internal.server.deps import KnownAgent, TaskRules
from internal.server.schema import CreateTask, InputTask, Instruct
from internal.task.model import Priority, Tenant

RULES = TaskRules(
    agents={"demo": KnownAgent(built=True), "codex": KnownAgent(built=False)},
    default_agent="demo",
    allow_hosts=("*.example.com", "example.com"),
)
GOOD = {"repo_url": "https://example.com/o/r.git", "prompt": "do something"}
TENANT = Tenant("default")


def read(**members: Any) -> CreateTask:
    return parse(CreateTask, json.dumps({**GOOD, **members}).encode(), RULES)


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("repo_url", {"repo_url": None}, "repo_url", "must be a string"),
    ("repo_url", {"repo_url": 7}, "repo_url", "must be a string"),
    ("repo_url", {"repo_url": ""}, "repo_url", "must have 1 to 2048 characters"),
    ("repo_url", {"repo_url": "not-a-url"}, "repo_url", "must be an http(s), ssh or file URL"),
    ("repo_url", {"repo_url": "https://e.com/" + "x" * 2048}, "repo_url", "2048"),
    ("repo_url", {"repo_url": "ftp://example.com/o/r"}, "repo_url", "scheme"),
    ("password", {"repo_url": "https://u:p@example.com/o/r"}, "repo_url", "access_token"),
    ("user", {"repo_url": "https://u@example.com/o/r"}, "repo_url", "access_token"),
    ("local", {"repo_url": "file:///srv/r.git"}, "repo_url", "git.allow_local"),
    ("host", {"repo_url": "https://other.org/o/r"}, "repo_url", "git.allow_hosts"),
    ("prompt", {"prompt": ""}, "prompt", "must not be empty"),
    ("prompt", {"prompt": " \n\t"}, "prompt", "must not be blank"),
    ("prompt", {"prompt": "ü" * 102_401}, "prompt", "must have at most 102400 characters"),
    ("prompt", {"prompt": ["a"]}, "prompt", "must be a string"),
    ("token", {"access_token": "x" * 4097}, "access_token", "at most 4096"),
    ("token", {"access_token": "a\nb"}, "access_token", "printable ASCII"),
    ("spaced token", {"access_token": "a-token "}, "access_token", "begin or end with a space"),
    ("callback", {"callback_url": "not-a-url"}, "callback_url", "is no usable URL"),
    ("callback", {"callback_url": "ftp://e.com/x"}, "callback_url", "is no usable URL"),
    ("callback", {"callback_url": "http://u:p@e.com/"}, "callback_url", "is no usable URL"),
    ("callback", {"callback_url": "http://e.com/" + "x" * 2048}, "callback_url", "2048"),
    ("labels", {"labels": {"a": 1}}, "labels.a", "must be a string"),
    ("labels", {"labels": {"a": "x" * 65}}, "labels.a", "at most 64"),
    ("labels", {"labels": {"k" * 65: "x"}}, "labels." + "k" * 65, "at most 64"),
    ("labels", {"labels": {str(n): "x" for n in range(17)}}, "labels", "at most 16"),
    ("labels", {"labels": []}, "labels", "must be an object"),
    ("priority", {"priority": "urgent"}, "priority", "'low', 'normal' or 'high'"),
    ("wait", {"wait": -1}, "wait", "must be at least 0"),
    ("wait", {"wait": 61}, "wait", "must be at most 60"),
    ("wait", {"wait": "5"}, "wait", "must be a number"),
    ("wait", {"wait": True}, "wait", "must be a number"),
    ("config", {"config": "fast"}, "config", "must be an object"),
    ("agent", {"config": {"cli": "nope"}}, "config.cli", "is no known agent; there are: demo"),
    ("timeout", {"config": {"timeout_seconds": "5"}}, "config.timeout_seconds", "an integer"),
    ("timeout", {"config": {"timeout_seconds": 1.5}}, "config.timeout_seconds", "an integer"),
    ("silence", {"config": {"silence_seconds": 0}}, "config.silence_seconds", "greater than 0"),
    ("turns", {"config": {"max_turns": 0}}, "config.max_turns", "greater than 0"),
    ("retries", {"config": {"retries": 6}}, "config.retries", "at most 5"),
    ("fewer", {"config": {"retries": -1}}, "config.retries", "at least 0"),
    ("budget", {"config": {"max_budget_usd": 0}}, "config.max_budget_usd", "greater than 0"),
    ("budget", {"config": {"max_budget_usd": float("inf")}}, "config.max_budget_usd", "finite"),
    ("branch", {"config": {"target_branch": "a b"}}, "config.target_branch", "branch or tag"),
    ("branch", {"config": {"target_branch": "--all"}}, "config.target_branch", "branch or tag"),
    ("unknown", {"promt": "x"}, "promt", "is not a known field"),
    ("unknown", {"config": {"timeout": 5}}, "config.timeout", "is not a known field"),
]


@pytest.mark.parametrize(("_what", "members", "path", "words"), BAD)
def test_a_bad_member_is_named_with_what_it_must_be(
    _what: str, members: dict[str, Any], path: str, words: str
) -> None:
    """
    Each complaint has the member's JSON path and what is wrong with it.
    """
    with pytest.raises(Invalid) as refused:
        read(**members)

    assert refused.value.error_code == "validation_error"
    assert list(refused.value.fields) == [path]
    assert words in refused.value.fields[path]


def test_all_complaints_come_at_once() -> None:
    """
    Whoever has five faults in a request learns of five, not of the first.
    """
    with pytest.raises(Invalid) as refused:
        parse(
            CreateTask,
            b'{"prompt":" ","wait":-1,"x":1,"config":{"y":2,"max_turns":0}}',
            RULES,
        )

    assert set(refused.value.fields) == {
        "repo_url",
        "prompt",
        "wait",
        "x",
        "config.y",
        "config.max_turns",
    }
    assert refused.value.fields["repo_url"] == "is required"


LATER: list[tuple[dict[str, Any], str]] = [
    ({"config": {"cli": "codex"}}, "config.cli"),
]


@pytest.mark.parametrize(("members", "path"), LATER)
def test_what_comes_later_is_refused_by_name(members: dict[str, Any], path: str) -> None:
    """
    A member of a later version is never ignored: the request is refused as not available.
    """
    with pytest.raises(NotAvailable) as refused:
        read(**members)

    assert refused.value.error_code == "not_available"
    assert list(refused.value.fields) == [path]


def test_null_counts_as_absent() -> None:
    """
    A member that is null is one that was left out, also one of a later version.
    """
    names = ["access_token", "callback_url", "labels", "priority", "wait", "provider_key", "dedup"]

    spec = read(**dict.fromkeys(names), config=None).spec(TENANT, RULES)
    inside = read(config=dict.fromkeys(["cli", "timeout_seconds", "mcp_servers", "retries"]))

    assert spec == read().spec(TENANT, RULES)
    assert inside.spec(TENANT, RULES) == spec


def test_empty_strings_are_what_the_go_server_took_them_for() -> None:
    """
    Its clients send "" for what they leave out.
    """
    config = {"cli": "", "ai_model": "", "ai_api_key": "", "target_branch": ""}

    spec = read(callback_url="", access_token="", config=config).spec(TENANT, RULES)

    assert spec == read().spec(TENANT, RULES)


@pytest.mark.parametrize(
    ("given", "taken"), [(None, 300), (0, 300), (-5, 300), (5, 5), (1800, 1800), (10**12, 1800)]
)
def test_the_timeout_is_the_default_or_clamped(given: int | None, taken: int) -> None:
    """
    Zero and less mean the default; more than the operator allows means what he allows.
    """
    spec = read(config={"timeout_seconds": given}).spec(TENANT, RULES)

    assert spec.config.timeout_seconds == taken


def test_everything_that_is_said_is_taken() -> None:
    """
    No member is dropped on its way into the service.
    """
    spec = read(
        prompt="x" * 102_400,
        access_token="token-of-a-test",  # noqa: S106 -- of a test
        callback_url="https://hooks.example.com/x?y=1",
        labels={"team": "core", "": "", "k" * 64: "v" * 64},
        priority="high",
        config={
            "cli": "demo",
            "silence_seconds": 30,
            "ai_model": "big",
            "ai_api_key": "k",
            "max_turns": 3,
            "retries": 5,
            "max_budget_usd": 2,
            "target_branch": "feature/x",
        },
    ).spec(TENANT, RULES)

    assert spec.access_token == "token-of-a-test"  # noqa: S105 -- of a test
    assert spec.ai_api_key == "k"
    assert spec.callback_url == "https://hooks.example.com/x?y=1"
    assert spec.labels == {"team": "core", "": "", "k" * 64: "v" * 64}
    assert spec.priority is Priority.HIGH
    assert spec.config.silence_seconds == 30
    assert spec.config.ai_model == "big"
    assert (spec.config.max_turns, spec.config.max_budget_usd) == (3, 2.0)
    assert spec.config.retries == 5
    assert spec.config.target_branch == "feature/x"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/o/r",
        "http://git.example.com:8080/o/r.git",
        "ssh://git@example.com/o/r",
        "git@example.com:o/r.git",
    ],
)
def test_every_kind_of_repository_url_is_taken(url: str) -> None:
    """
    http(s), ssh and the short form with a colon name the same kind of thing.
    """
    assert read(repo_url=url).repo_url == url


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b'{"prompt":"a"} trailing', b'{"prompt":"\xff"}', b"\xef\xbb\xbf{}", b""],
)
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    """
    There is no member to name in a body that cannot be read.
    """
    with pytest.raises(BadRequest) as refused:
        parse(Instruct, body)

    assert refused.value.error_code == "bad_request"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null", b"true"])
def test_json_that_is_no_object_is_a_bad_request(body: bytes) -> None:
    """
    Every body is an object.
    """
    with pytest.raises(BadRequest, match="must be a JSON object"):
        parse(Instruct, body)


def test_deep_nesting_is_refused_and_not_fatal() -> None:
    """
    A body made to exhaust the parser's stack is a bad request.
    """
    with pytest.raises((BadRequest, Invalid)):
        parse(CreateTask, b'{"labels":' * 1 + b'{"a":' * 100_000, RULES)


def test_no_complaint_repeats_a_secret() -> None:
    """
    A refused value may be a password; messages say what it must be, never what it was.
    """
    with pytest.raises(Invalid) as refused:
        read(repo_url="https://joe:hunter22@example.com/o/r", access_token="hunter22\n" + "x")

    assert "hunter22" not in str(refused.value) + json.dumps(refused.value.fields)


def test_what_is_refused_by_policy_reads_as_one_sentence() -> None:
    """
    The message of a policy is a sentence of its own; a complaint about a member ends once.
    """

    def refuse(host: str) -> None:
        raise PolicyDenied(f"{host} is private; see egress.allow.")

    rules = dataclasses.replace(RULES, check_http_host=refuse)
    body = json.dumps({**GOOD, "callback_url": "http://inside/"}).encode()

    with pytest.raises(Invalid) as refused:
        parse(CreateTask, body, rules)

    assert refused.value.fields["callback_url"] == "is refused: inside is private; see egress.allow"
    assert not refused.value.message.endswith("..")


def test_a_pushed_task_has_an_id_and_nobody_who_waits() -> None:
    """
    The list takes the same body, with a correlation id and without `wait`.
    """
    body = {**GOOD, "correlation_id": "c1"}

    taken = parse(InputTask, json.dumps(body).encode(), RULES)
    with pytest.raises(Invalid) as refused:
        parse(InputTask, json.dumps({**body, "wait": 1}).encode(), RULES)

    assert taken.correlation_id == "c1"
    assert refused.value.fields == {"wait": "is not a known field"}
