"""Any program that speaks Claude Code's lines can take its place: a mock of few words."""

from __future__ import annotations

import pytest

from internal.agent.model import Ending, EventKind
from tests.support.agent_place import CANARY, AgentPlace

_MOCK = """#!/bin/sh
# Ignores its options, reads the prompt from stdin to the end, and prints three lines.
prompt=$(cat)
case $prompt in
*FAIL*) echo "mock: told to fail" >&2; exit 1 ;;
*EMPTY*) exit 0 ;;
*SILENT-RESULT*) result= ;;
*) result="did it" ;;
esac
echo '{"type":"system","subtype":"init","model":"mock-claude"}'
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"I work"}]}}'
echo '{"type":"result","subtype":"success","result":"'"$result"'",
"usage":{"input_tokens":150,"output_tokens":50}}' | tr -d '\\n'
"""


@pytest.fixture
def mock(place: AgentPlace) -> AgentPlace:
    """The place with the mock as `claude-code`."""
    program = place.root / "mock"
    program.write_text(_MOCK)
    program.chmod(0o755)
    place.name, place.executable = "claude-code", str(program)
    return place


async def test_a_mock_of_few_words_completes(mock: AgentPlace) -> None:
    """The last line may even lack its newline."""
    ended = await mock.run("Add a hello world function", model="opus", max_turns=3)

    assert (ended.result.ending, ended.result.text) == (Ending.COMPLETED, "did it")
    assert (ended.result.usage.input_tokens, ended.result.usage.output_tokens) == (150, 50)
    assert ended.told(EventKind.TEXT) == [{"text": "I work"}]


async def test_the_name_of_its_model_is_like_any_other_word(mock: AgentPlace) -> None:
    """
    It comes from the model's host, goes into every document and webhook, and may hold anything.
    """
    line = '{"type":"system","subtype":"init","model":"%s%s"}'
    script = f"printf '{line}\\n' {CANARY} $(head -c 100000 /dev/zero | tr '\\0' x)"
    (mock.root / "mock").write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")

    usage = (await mock.run("go")).result.usage

    assert usage.model is not None
    assert CANARY not in usage.model
    assert len(usage.model) <= 256


async def test_its_last_text_stands_for_an_empty_result(mock: AgentPlace) -> None:
    """Something is better than nothing."""
    assert (await mock.run("SILENT-RESULT")).result.text == "I work"


async def test_its_failure_tells_what_it_wrote_to_stderr(mock: AgentPlace) -> None:
    """And its status."""
    result = (await mock.run("FAIL")).result

    assert result.ending is Ending.FAILED
    assert "status 1: mock: told to fail" in result.message


async def test_a_mock_that_says_nothing_fails(mock: AgentPlace) -> None:
    """Although it exits with 0."""
    assert (await mock.run("EMPTY")).result.ending is Ending.FAILED


async def test_a_program_that_does_not_read_its_prompt_is_no_error(mock: AgentPlace) -> None:
    """A broken pipe on stdin is ignored, however long the prompt is."""
    program = mock.root / "mock"
    program.write_text("""#!/bin/sh\nexec <&-\necho '{"type":"result","result":"fine"}'\n""")

    ended = await mock.run("x" * 1_000_000)

    assert (ended.result.ending, ended.result.text) == (Ending.COMPLETED, "fine")
