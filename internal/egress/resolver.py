"""
Names to addresses, with a limit of time and of threads.

A name server chosen by an attacker can keep `getaddrinfo` busy for half a minute. So lookups do not
use the event loop's own threads, which git, files and Redis need too, but at most a few of their
own; they are daemons, so a hanging one never holds up the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from internal.errors import Unavailable

_TIMEOUT_SECONDS = 5.0
_MAX_THREADS = 16


class SystemResolver:
    """The operating system's resolver as `await resolve(host, port) -> addresses`."""

    def __init__(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._threads = asyncio.Semaphore(_MAX_THREADS)

    async def __call__(self, host: str, port: int) -> list[str]:
        """
        All addresses of *host*, in the order in which the system would try them, each once.

        Raises:
            Unavailable: there is no such name, or nobody answered in time.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._threads.acquire()
                addresses = await self._look_up(host, port)
        except TimeoutError as error:
            raise Unavailable(f"The name {host} was not resolved in time.") from error
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"The name {host} could not be resolved.") from error
        return list(dict.fromkeys(addresses))

    def _look_up(self, host: str, port: int) -> asyncio.Future[list[str]]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def settle(found: list[str], failure: OSError | UnicodeError | None) -> None:
            self._threads.release()
            if answer.done():
                return  # the caller gave up
            if failure is None:
                answer.set_result(found)
            else:
                answer.set_exception(failure)

        def work() -> None:
            found: list[str] = []
            failure: OSError | UnicodeError | None = None
            try:
                found = _addresses(host, port)
            except (OSError, UnicodeError) as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(settle, found, failure)

        threading.Thread(target=work, name="resolve", daemon=True).start()
        return answer


def _addresses(host: str, port: int) -> list[str]:
    # ADDRCONFIG: no IPv6 addresses on a machine without IPv6.
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(entry[4][0]) for entry in entries]
