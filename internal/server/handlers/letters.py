"""Dead letters: list, requeue, discard; one by one, or all that match."""

from __future__ import annotations

import json
import re

from starlette.requests import Request
from starlette.responses import Response

from internal.clock import from_millis, rfc3339
from internal.errors import Invalid, NotFound
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response, run_document
from internal.server.query import (
    Query,
    page_limit,
    read_choice,
    read_cursor,
    read_number,
    read_text,
    read_time,
)
from internal.server.request import caller_of, expect_nothing, tenant_of
from internal.server.schema import Empty
from internal.server.schema_letters import MOST, USUAL, RequeueLetters
from internal.task.letters import Letter, LetterFilter
from internal.task.model import Attempt, Reason

_TASK_ID = re.compile(r"[0-9a-z]{26}\Z")


class LetterHandlers:
    """The handlers, over the dead letters."""

    def __init__(self, deps: ServerDeps) -> None:
        self._letters = deps.letters
        self._rules = deps.rules
        self._audit = deps.audit

    async def list(self, request: Request) -> Response:
        """Letters that match, newest first."""
        query = Query(request)
        wanted = self._filter(query)
        limit = page_limit(query)
        cursor = query.one("cursor", read_cursor)
        query.finish()
        page = await self._letters.list(tenant_of(request), wanted, limit=limit, cursor=cursor)
        documents = [_document(letter) for letter in page.letters]
        return json_response({"dead_letters": documents, "next_cursor": page.next_cursor})

    async def requeue(self, request: Request) -> Response:
        """Queue a letter's run again, with fresh lives."""
        await expect_nothing(request)
        task = await self._letters.requeue(tenant_of(request), _letter_of(request))
        await self._audit.record(caller_of(request), "dead_letter.requeue", task.id)
        return json_response(run_document(task))

    async def discard(self, request: Request) -> Response:
        """Take a letter out of the list."""
        await expect_nothing(request)
        task = _letter_of(request)
        await self._letters.discard(tenant_of(request), task)
        await self._audit.record(caller_of(request), "dead_letter.discard", task)
        return Response(status_code=204)

    async def requeue_many(self, request: Request) -> Response:
        """The newest that match, queued again."""
        Query(request).finish()
        body = await read_json(request, RequeueLetters, self._rules)
        handled = await self._letters.requeue_many(
            tenant_of(request), body.wanted(), limit=body.limit or USUAL
        )
        count = len(handled.done)
        await self._audit.record(caller_of(request), "dead_letter.requeue", "*", count=count)
        return json_response({"requeued": handled.done, "skipped": handled.skipped})

    async def discard_many(self, request: Request) -> Response:
        """The newest that match; `limit` must be said, so that a lost id discards nothing."""
        query = Query(request)
        wanted = self._filter(query)
        limit = query.one("limit", read_number(1, MOST))
        query.finish()
        await read_json(request, Empty)
        if limit is None:
            problem = f"is required here, from 1 to {MOST}"
            raise Invalid(f"The query is not valid: limit {problem}.", fields={"limit": problem})
        handled = await self._letters.discard_many(tenant_of(request), wanted, limit=limit)
        count = len(handled.done)
        await self._audit.record(caller_of(request), "dead_letter.discard", "*", count=count)
        return json_response({"discarded": handled.done, "skipped": handled.skipped})

    def _filter(self, query: Query) -> LetterFilter:
        reason = query.one("reason", read_choice(Reason))
        return LetterFilter(
            reason=None if reason is None else Reason(reason),
            agent=query.one("agent", read_choice(self._rules.agents)),
            repo_url=query.one("repo_url", read_text),
            since=query.one("since", read_time),
        )


def _letter_of(request: Request) -> str:
    """The id in the path, that of a task. Raises NotFound for what can be none."""
    letter: str = request.path_params["id"]
    if not _TASK_ID.match(letter):
        raise NotFound("There is no such dead letter.")
    return letter


def _document(letter: Letter) -> dict[str, object]:
    task = letter.task
    return {
        "id": task.id,
        "task_id": task.id,
        "reason": task.failure and task.failure.reason,
        "message": task.failure and task.failure.message,
        "repo_url": task.repo_url,
        "agent": task.config.cli,
        "iteration": task.iteration,
        "attempts": [_attempt(attempt) for attempt in task.attempts],
        "evidence": [json.loads(event.envelope) for event in letter.evidence],
        "died_at": rfc3339(from_millis(letter.died_millis)),
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "attempt": attempt.number,
        "worker": attempt.worker,
        "started_at": attempt.started_at and rfc3339(attempt.started_at),
        "ended_at": rfc3339(attempt.ended_at),
        "reason": attempt.reason,
    }
