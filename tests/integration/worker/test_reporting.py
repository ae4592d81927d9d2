"""An agent that reports by itself, in the environment that a worker gives it."""

from __future__ import annotations

from internal.telemetry.tracing import continue_from
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import Site

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"
SETTINGS = {
    "TRACING__ENDPOINT": "https://collector:4318",
    "TRACING__HEADERS": "authorization=a-password-of-the-collector",
}


async def test_claude_code_is_told_where_to_report_and_for_which_task(site: Site) -> None:
    """In the trace of the request, without the collector's password."""
    variables = await _environment_of_an_agent(site, CLI__CLAUDE_CODE__TELEMETRY="true")

    task = site.tasks[-1]
    assert variables["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector:4318"
    assert variables["OTEL_RESOURCE_ATTRIBUTES"] == f"task.id={task},task.iteration=1"
    assert variables["TRACEPARENT"] == CALLER
    assert not any("a-password" in value for value in variables.values())


async def test_an_agent_reports_nothing_unless_told_to(site: Site) -> None:
    """Our own tracing is not the agent's."""
    variables = await _environment_of_an_agent(site, TRACING__ENABLED="true")

    assert not [name for name in variables if name.startswith(("OTEL", "TRACE"))]
    assert "CLAUDE_CODE_ENABLE_TELEMETRY" not in variables


async def _environment_of_an_agent(site: Site, **settings: str) -> dict[str, str]:
    agent = shell_cli(site.directory, "env > environment.txt")
    async with site.worker(CLI__CLAUDE_CODE__PATH=agent, **SETTINGS, **settings):
        with continue_from(CALLER):
            task = await site.submit("anything", cli="claude-code")
        await site.finished(task)
        patch = (await site.patch(task)).decode()
    await site.settle()
    lines = [line[1:] for line in patch.splitlines() if line.startswith("+") and "=" in line]
    return dict(line.split("=", 1) for line in lines)
