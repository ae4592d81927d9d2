"""
`codeforge keys ...`: tokens for git hosts and model providers, and the master key that seals them.

A value is read from standard input, or asked for on a terminal; it is never an argument, which
every user of the machine could read.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from codeforge import render, rotation, runtime
from codeforge.console import EXIT_FAILED, AsJson, Token, Url, complain, connected, output
from codeforge.life import Expires, end_of
from codeforge.rotation import Rotation, open_rotation
from internal.config.settings import Settings

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key.")]


@app.command()
def add(
    name: Name,
    *,
    provider: Annotated[str, typer.Option(help="github, gitlab, ..., anthropic, ..., generic.")],
    base_url: Annotated[str | None, typer.Option(help="The only address it is for.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="owner/name or owner/*; repeatable.")
    ] = None,
    expires: Expires = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Register the key that comes on standard input."""
    value = getpass("Value: ") if sys.stdin.isatty() else sys.stdin.read()
    request: dict[str, Any] = {"name": name, "provider": provider, "token": value.strip()}
    request |= {"base_url": base_url, "scope": scope, "expires_at": end_of(expires)}
    with connected(url, token) as client:
        made = client.add_key(request)
        output(made, as_json, lambda console: render.key_line(console, made))


@app.command("list")
def list_keys(url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show all keys, without their values."""
    with connected(url, token) as client:
        document = client.keys()

        def show_all(console: Console) -> None:
            for key in document["keys"]:
                render.key_line(console, key)

        output(document, as_json, show_all)


@app.command()
def show(name: Name, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Show one key, without its value."""
    with connected(url, token) as client:
        key = client.key(name)
        output(key, as_json, lambda console: render.key_line(console, key))


@app.command()
def verify(name: Name, url: Url = None, token: Token = None, *, as_json: AsJson = False) -> None:
    """Ask the provider whether it takes a key; exit code 1 when it does not."""
    with connected(url, token) as client:
        answer = client.verify_key(name)
        said = answer.get("reason") or ("ok" if answer["ok"] else "refused")
        output(
            answer,
            as_json,
            lambda console: console.print(said, highlight=False, markup=False, emoji=False),
        )
    if not answer["ok"]:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def remove(name: Name, url: Url = None, token: Token = None) -> None:
    """Erase a key; runs that have it in hand finish with it."""
    with connected(url, token) as client:
        client.remove_key(name)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show each master key: what is under it, who knows it. Speaks to Redis."""
    runtime.run(_status(runtime.load(os.environ).settings, as_json=as_json))


@app.command()
def rotate() -> None:
    """Make the next master key, or, when every process knows it, the active one."""
    runtime.run(_rotate(runtime.load(os.environ).settings))


@app.command()
def rewrap(
    per_second: Annotated[int, typer.Option(min=1, help="Values moved per second.")] = 1000,
) -> None:
    """Put everything under the active master key; exit code 1 while something is left."""
    runtime.run(_rewrap(runtime.load(os.environ).settings, per_second))


async def _status(settings: Settings, *, as_json: bool) -> None:
    async with open_rotation(settings) as opened:
        standing = await opened.standing()

    def show_all(console: Console) -> None:
        for row in standing.rows:
            words = [row.kid, f"seals {row.values}"]
            words.append(f"known by {row.known_by} of {standing.processes} processes")
            words += [f"active in {row.seals}"] if row.seals else []
            words += [] if row.is_configured else ["not configured here"]
            console.print("  ".join(words), highlight=False, markup=False, emoji=False)

    output(dataclasses.asdict(standing), as_json, show_all)


async def _rotate(settings: Settings) -> None:
    file = rotation.next_key_file(settings)
    if file is None:
        print(_BY_SETTINGS)
        return
    kid, is_new = rotation.prepare(file)
    if is_new:
        print(f"The next master key is {kid}, in {file}.")
        print("Restart every process, so that it is known; then run this again.")
        return
    async with open_rotation(settings) as opened:
        await _activate(opened, file=file, kid=kid)


async def _activate(opened: Rotation, *, file: Path, kid: str) -> None:
    behind = await opened.behind(kid)
    if behind:
        complain(f"{behind} live processes do not know the key {kid} yet: restart them first.")
        raise typer.Exit(EXIT_FAILED)
    kept = rotation.activate(file)
    print(f"The key {kid} seals from the next start on; the one before it lies in {kept}.")
    print("Restart every process, then run `codeforge keys rewrap`.")


async def _rewrap(settings: Settings, per_second: int) -> None:
    async with open_rotation(settings) as opened:
        done = await opened.rewrap(per_second=per_second)
    print(f"{done.moved} values moved.")
    for kid in done.dropped:
        print(f"Nothing is under the key {kid} any more: remove it once no backup needs it.")
    for kid, number in done.left.items():
        complain(f"{number} values are left under the key {kid}.")
    if done.broken:
        complain(f"{done.broken} values do not open; they were left as they are.")
    if done.left or done.broken:
        raise typer.Exit(EXIT_FAILED)


_BY_SETTINGS = """\
Your settings hold the master key, so you change it there; no step makes anything unreadable:
1. Make a key with `openssl rand -base64 32` and put it into encryption.keys of every process,
   under any name. Restart them one by one.
2. When `codeforge keys status` says that all know it, make it encryption.key, and put the old one
   into encryption.keys. Restart them one by one.
3. Run `codeforge keys rewrap`.
4. Remove the old key once no backup needs it."""
