"""
`codeforge webhooks ...`: list, add, change, remove, rotate-secret, test, deliveries, redeliver.

A secret is printed once, by `add` and `rotate-secret`, on standard output.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge import render
from codeforge.client import Client
from codeforge.console import EXIT_FAILED, AsJson, Token, Url, complain, connected, output

app = typer.Typer(no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Id of the endpoint.")]
Events = Annotated[list[str] | None, typer.Option("--event", help="Event to send; repeatable.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]

_TEST_SECONDS = 30
"""Twice what an attempt may take."""


@app.command("list")
def list_endpoints(url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show all endpoints with their health."""
    with connected(url, token) as client:
        document = client.webhooks()

        def show_all(console: Console) -> None:
            for endpoint in document["endpoints"]:
                render.endpoint_line(console, endpoint)

        output(document, as_json, show_all)


@app.command()
def add(
    target: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent.")],
    event: Events = None,
    description: Description = None,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Register an endpoint; prints its id and, this once, its secret."""
    request: dict[str, Any] = {"url": target, "events": event, "description": description}
    with connected(url, token) as client:
        _show_secret(client.add_webhook(request), as_json)


@app.command()
def change(
    endpoint: EndpointId,
    *,
    target: Annotated[str | None, typer.Option("--target", help="New URL.")] = None,
    event: Events = None,
    description: Description = None,
    url: Url = None,
    token: Token = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Switch it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change an endpoint, or switch it on or off."""
    changes = {"url": target, "events": event, "description": description, "enabled": enable}
    with connected(url, token) as client:
        changed = client.change_webhook(endpoint, changes)
        output(changed, as_json, lambda console: render.endpoint_line(console, changed))


@app.command()
def remove(endpoint: EndpointId, url: Url = None, token: Token = None) -> None:
    """Remove an endpoint; what waits for it is given up."""
    with connected(url, token) as client:
        client.remove_webhook(endpoint)


@app.command("rotate-secret")
def rotate_secret(
    endpoint: EndpointId, url: Url = None, token: Token = None, *, as_json: AsJson = False
) -> None:
    """Sign with a new secret; the one before is valid for another 24 h."""
    with connected(url, token) as client:
        _show_secret(client.rotate_webhook_secret(endpoint), as_json)


@app.command("test")
def send_test(
    endpoint: EndpointId, url: Url = None, token: Token = None, *, as_json: AsJson = False
) -> None:
    """Send an event `webhook.test` and say how its first attempt ended; 1 when it failed."""
    with connected(url, token) as client:
        delivery = _first_attempt(client, client.test_webhook(endpoint)["delivery_id"])
        output(delivery, as_json, lambda console: render.delivery_line(console, delivery))
    if delivery["status"] != "delivered":
        raise typer.Exit(EXIT_FAILED)


@app.command()
def deliveries(
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show deliveries, newest first."""
    wanted: dict[str, str | int | None] = {"task_id": task, "status": status, "limit": limit}
    with connected(url, token) as client:
        page = client.deliveries(**{k: v for k, v in wanted.items() if v is not None})

        def show_all(console: Console) -> None:
            for delivery in page["deliveries"]:
                render.delivery_line(console, delivery)

        output(page, as_json, show_all)


@app.command()
def redeliver(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of the delivery.")],
    url: Url = None,
    token: Token = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Send a delivery again, with the same event id."""
    with connected(url, token) as client:
        answer = client.redeliver(delivery)
        output(answer, as_json, lambda console: console.print(answer["status"], highlight=False))


def _show_secret(endpoint: dict[str, Any], as_json: bool) -> None:
    def write(console: Console) -> None:
        render.endpoint_line(console, endpoint)
        console.print(f"secret  {endpoint['secret']}", soft_wrap=True, highlight=False)

    output(endpoint, as_json, write)


def _first_attempt(client: Client, delivery: str) -> dict[str, Any]:
    """The delivery once something became of it."""
    task = delivery.split("_")[1]
    give_up_at = time.monotonic() + _TEST_SECONDS
    while True:
        (found,) = client.deliveries(task_id=task)["deliveries"]
        if found["attempt_count"] or found["status"] != "pending":
            return dict(found)
        if time.monotonic() > give_up_at:
            complain("Nobody has sent it yet; see `codeforge webhooks deliveries`.")
            return dict(found)
        time.sleep(0.2)
