"""
The conformance suite of agent drivers: what holds for each of them, whatever its CLI prints.

Fed with recorded output of real programs (fixtures/, made by tests/agents/record.py), as it was and
with faults injected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.agent.base import Agent
from internal.agent.catalog import AVAILABLE
from internal.agent.model import Ending, EventKind, ExitStatus, Json, Usage
from tests.support.recorded import Recording, recordings, request

MEMBERS = {
    EventKind.TEXT: {"text"},
    EventKind.THINKING: {"text"},
    EventKind.SYSTEM: {"text"},
    EventKind.TOOL_USE: {"id", "name", "input"},
    EventKind.TOOL_RESULT: {"id", "output", "is_error"},
    EventKind.ERROR: {"message"},
    EventKind.RESULT: {"text", "is_error"},
    EventKind.USAGE: set(Usage().members()),
}
GARBAGE = (
    b"Segmentation fault",
    b"\xff\xfe\x00\x01",
    b'{"type": "result", "subtype": "succ',
    b"[1, 2, 3]",
    b"null",
    b'{"type": NaN}',
    b'{"type": "text", "cost": 1e999}',
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"n": ' + b"9" * 10_000 + b"}",
)
WORKER = {
    "PATH": "/usr/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "HTTPS_PROXY": "http://proxy:3128",
    "HOME": "/root",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "CODEFORGE_ENCRYPTION__KEY": "canary",
    "GITHUB_TOKEN": "canary",
    "SSH_AUTH_SOCK": "canary",
}

_WRONG: tuple[object, ...] = (None, 7, -1.5, "text", [], [None], {}, True)

every_recording = pytest.mark.parametrize("recording", recordings(), ids=str)
every_agent = pytest.mark.parametrize("agent", AVAILABLE.values(), ids=list(AVAILABLE))


@every_recording
def test_every_line_becomes_events_of_the_closed_set(recording: Recording) -> None:
    """Each event has exactly the members of its kind, and can be stored as strict JSON."""
    replay = recording.replay()

    for event in (event for line in replay.events for event in line):
        assert set(event.data) - {"status"} == MEMBERS[event.kind]
        json.dumps(event.data, allow_nan=False)


@every_recording
def test_the_first_event_of_a_line_carries_the_line(recording: Recording) -> None:
    """`raw` is the CLI's own line: as an object, or as a string when it is none."""
    for line, events in zip(recording.lines, recording.replay().events, strict=True):
        if line.strip():
            assert _as_raw(line) == events[0].raw
        assert all(event.raw is None for event in events[1:])


@every_recording
def test_the_session_is_known_from_its_first_line_on(recording: Recording) -> None:
    """A run that is killed any time later can be resumed."""
    parser = recording.parser()

    seen = [parser.session_id for line in recording.lines if parser.parse(line)]

    known = [session for session in seen if session is not None]
    assert known == seen[len(seen) - len(known) :]
    assert set(known) <= {recording.session_id}


@every_recording
def test_usage_never_goes_down(recording: Recording) -> None:
    """What was used so far is kept when the run is killed, and is never more than the whole."""
    parser = recording.parser()
    totals = [0]

    for line in recording.lines:
        parser.parse(line)
        totals.append(parser.usage.input_tokens)

    assert totals == sorted(totals)
    assert parser.result(recording.status).usage == parser.usage


@every_recording
def test_a_run_we_ended_is_stopped_whatever_it_said(recording: Recording) -> None:
    """The verdict is ours then, and text, usage and session of the part that ran are kept."""
    parser = recording.parser()
    for line in recording.lines:
        parser.parse(line)

    result = parser.result(replace(recording.status, ended_by="timeout"))

    assert result.ending is Ending.STOPPED
    assert result.usage == parser.usage
    assert result.session_id == recording.session_id


@every_recording
def test_unknown_members_change_nothing(recording: Recording) -> None:
    """A newer CLI may say more."""
    more = [_with(line, {"new_member": {"deep": [1, None]}}) for line in recording.lines]

    replay = recording.replay(more)

    assert replay.flat() == recording.replay().flat()
    assert replay.result == recording.replay().result


@every_recording
def test_garbage_between_lines_is_only_noted(recording: Recording) -> None:
    """Lines that are no JSON objects become `system` events, and the verdict stays."""
    noisy = [*GARBAGE]
    for line in recording.lines:
        noisy += [line, *GARBAGE]

    replay = recording.replay(noisy)

    assert replay.result == recording.replay().result
    noise = [events for line, events in zip(noisy, replay.events, strict=True) if line in GARBAGE]
    assert {event.kind for events in noise for event in events} == {EventKind.SYSTEM}


@every_recording
def test_a_line_of_five_megabytes_is_a_line(recording: Recording) -> None:
    """Length is no reason to fail."""
    long = b'{"type": "text", "text": "' + b"x" * 5_000_000 + b'"}'

    replay = recording.replay([long, *recording.lines])

    assert replay.result.ending is recording.replay().result.ending


@every_recording
def test_blank_lines_are_nothing(recording: Recording) -> None:
    """They give no events."""
    parser = recording.parser()

    assert [parser.parse(line) for line in (b"", b"   ", b"\r", b"\t")] == [[], [], [], []]


@every_recording
def test_a_missing_session_id_is_no_error(recording: Recording) -> None:
    """Only resuming needs it; a resumed run keeps the one it was given."""
    bare = [_without(line, "session_id") for line in recording.lines]

    replay = recording.replay(bare)

    assert replay.result.ending is recording.replay().result.ending
    assert replay.parser.session_id == recording.resumes


@every_recording
def test_members_may_be_missing_or_of_a_wrong_type(recording: Recording) -> None:
    """Whatever a line lacks or has instead, no parser raises."""
    for line in recording.lines:
        for broken in _broken(_as_raw(line)):
            replay = recording.replay([json.dumps(broken).encode()])

            assert isinstance(replay.result.ending, Ending)
            json.dumps([event.data for event in replay.events[0]], allow_nan=False)


@every_recording
def test_output_cut_anywhere_never_raises(recording: Recording) -> None:
    """A process can be killed in the middle of a line."""
    whole = b"\n".join(recording.lines)

    for end in range(0, len(whole), max(1, len(whole) // 200)):
        result = recording.replay(whole[:end].split(b"\n")).result

        assert isinstance(result.ending, Ending)


@every_agent
@given(lines=st.lists(st.binary(max_size=200), max_size=20))
def test_arbitrary_bytes_never_raise(agent: Agent, lines: list[bytes]) -> None:
    """Agents run other programs, and those print what they like."""
    parser = agent.parser(request())

    for line in lines:
        for event in parser.parse(line):
            json.dumps(event.data, allow_nan=False)

    assert parser.result(ExitStatus(code=0)).ending is not None


@every_agent
def test_no_output_at_all_is_a_failure(agent: Agent) -> None:
    """An agent that says nothing did nothing, although it exits with 0."""
    result = agent.parser(request()).result(ExitStatus(code=0))

    assert result.ending is Ending.FAILED
    assert "without saying" in result.message


@every_agent
def test_a_failure_without_output_tells_the_last_words(agent: Agent) -> None:
    """What the process wrote to stderr is all there is to go by."""
    status = ExitStatus(code=7, stderr_tail="noise\nlibfoo.so not found\n")

    result = agent.parser(request()).result(status)

    assert result.ending is Ending.FAILED
    assert "7" in result.message
    assert "libfoo.so not found" in result.message


@every_agent
def test_a_killed_agent_names_the_signal(agent: Agent) -> None:
    """Most often it is the kernel, out of memory."""
    result = agent.parser(request()).result(ExitStatus(signal=9))

    assert result.ending is Ending.FAILED
    assert "SIGKILL" in result.message


@every_agent
def test_fault_a14_the_prompt_goes_to_stdin_only(agent: Agent) -> None:
    """Everybody on the machine can read argv."""
    launch = agent.launch(request(prompt="a prompt with a secret é", session_id="abc"))

    assert "secret" in launch.stdin.decode()
    assert not any("secret" in argument for argument in launch.argv)
    assert not any("secret" in value for value in launch.environment.values())


@every_agent
def test_the_session_to_resume_is_named(agent: Agent) -> None:
    """Every driver that can resume says which session."""
    if not agent.capabilities.resume:
        pytest.skip("cannot resume")

    assert "the-session" in agent.launch(request(session_id="the-session")).argv


@every_agent
def test_the_environment_is_an_allow_list(agent: Agent) -> None:
    """Nothing of the worker's own environment gets in that is not named; HOME is the task's."""
    launch = agent.launch(request(environment=WORKER))

    environment = launch.environment
    assert "canary" not in environment.values()
    assert environment["HOME"] == "/home/of/task"
    assert {"PATH", "LANG", "LC_ALL", "TZ", "HTTPS_PROXY"} <= set(environment)


@every_agent
def test_the_operator_may_add_to_the_environment(agent: Agent) -> None:
    """`cli.<agent>.env` names more variables, but never moves HOME."""
    names = ("GITHUB_TOKEN", "HOME", "NOT_SET")

    launch = agent.launch(request(environment=WORKER, environment_names=names))

    assert "canary" in launch.environment.values()
    assert launch.environment["HOME"] == "/home/of/task"
    assert "NOT_SET" not in launch.environment


@every_agent
def test_the_program_of_the_settings_is_started(agent: Agent) -> None:
    """A path is made absolute, because the process starts elsewhere."""
    launch = agent.launch(request(executable="./bin/my-agent"))

    assert launch.argv[0] == str(Path.cwd() / "bin" / "my-agent")


@every_agent
def test_a_home_without_the_session_is_not_prepared(agent: Agent, tmp_path: Path) -> None:
    """The caller then rebuilds the prompt."""
    for session in ("unknown", "../../etc/passwd", "", "-rf"):
        assert not agent.prepare_session(tmp_path, tmp_path / "a", tmp_path / "b", session)


def test_every_driver_is_recorded() -> None:
    """A driver without recordings has not passed this suite."""
    assert {recording.agent.name for recording in recordings()} == set(AVAILABLE)


def _as_raw(line: bytes) -> Json | str:
    try:
        value: object = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    return cast(Json, value) if isinstance(value, dict) else line.decode(errors="replace")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _with(line: bytes, more: Json) -> bytes:
    raw = _as_raw(line)
    return json.dumps(raw | more).encode() if isinstance(raw, dict) else line


def _without(line: bytes, name: str) -> bytes:
    raw = _as_raw(line)
    if isinstance(raw, str):
        return line
    return json.dumps({key: value for key, value in raw.items() if key != name}).encode()


def _broken(value: object) -> Iterator[object]:
    """*value* with one member at a time missing or replaced, at every depth."""
    if isinstance(value, dict):
        members = cast(Json, value)
        for name, member in members.items():
            rest = {key: other for key, other in members.items() if key != name}
            yield rest
            for wrong in (*_WRONG, *_broken(member)):
                yield {**rest, name: wrong}
    elif isinstance(value, list):
        items = cast("list[object]", value)
        for index, item in enumerate(items[:3]):
            for wrong in (*_WRONG, *_broken(item)):
                yield [*items[:index], wrong, *items[index + 1 :]]
