"""
The least that Python, Starlette and Redis can do for a durable POST: the limit beside the product.

It parses JSON, writes a hash, an event and a queue entry in one script and answers 201. No token,
no check, no log, no index, no limit.
"""

from __future__ import annotations

import json
import os
import secrets

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codeforge.parent import end_with_parent
from internal.rdb.client import connect
from internal.rdb.scripts import Script

_ENQUEUE = Script("""
local task = KEYS[1] .. ARGV[1]
redis.call('HSET', task, 'status', 'pending', 'repo_url', ARGV[2], 'prompt', ARGV[3])
redis.call('XADD', task .. ':events', '1-0', 'e', '{"id":1,"event":"task_created"}')
redis.call('RPUSH', KEYS[1] .. 'queue', ARGV[1])
return 'ok'
""")


def create_app(redis_url: str) -> Starlette:
    """The application over the Redis at *redis_url*."""
    redis = connect(redis_url, role="command", max_connections=32)

    async def create(request: Request) -> Response:
        body = json.loads(await request.body())
        task = secrets.token_hex(13)
        await _ENQUEUE(redis, ["limit:"], [task, body["repo_url"], body["prompt"]])
        answer = json.dumps({"id": task, "status": "pending"}).encode()
        return Response(answer, 201, media_type="application/json")

    return Starlette(routes=[Route("/tasks", create, methods=["POST"])])


def main() -> None:
    """Serve on the port in LIMIT_PORT."""
    end_with_parent(os.environ)
    uvicorn.run(
        create_app(os.environ["CODEFORGE_REDIS__URL"]),
        port=int(os.environ["LIMIT_PORT"]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
