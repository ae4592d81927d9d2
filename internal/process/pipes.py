"""
The worker's ends of a child's pipes: blocks in, bytes out, never blocking the event loop.

Only `add_reader` and `add_writer` of the loop are used, which asyncio and uvloop share. asyncio's
own subprocess streams hang when a daemon keeps a pipe open; here `finish` ends a stream at once.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

BLOCK_BYTES = 65_536
_QUEUE_BYTES = 4 * BLOCK_BYTES
_FINISH_BYTES = 1024 * 1024  # the most a pipe can hold by default (/proc/sys/fs/pipe-max-size)


class Stdio(NamedTuple):
    """Three descriptors: either a child's own ends or ours."""

    stdin: int
    stdout: int
    stderr: int


@contextmanager
def open_stdio() -> Generator[tuple[Stdio, Stdio], None, None]:
    """
    Pipes for one child, as (ours, its). Its ends are closed on leaving, ours only after an error.

    Raises:
        OSError: too many files are open.
    """
    with ExitStack() as ours, ExitStack() as theirs:

        def pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
            read, write = os.pipe()
            reader.callback(os.close, read)
            writer.callback(os.close, write)
            return read, write

        child_stdin, stdin = pipe(theirs, ours)
        stdout, child_stdout = pipe(ours, theirs)
        stderr, child_stderr = pipe(ours, theirs)
        yield Stdio(stdin, stdout, stderr), Stdio(child_stdin, child_stdout, child_stderr)
        ours.pop_all()


class PipeReader:
    """Calls *on_block* for each block as it comes, and *on_end* once; owns the descriptor."""

    def __init__(
        self, fd: int, *, on_block: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._on_block = on_block
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self.ended = False
        self._loop.add_reader(fd, self._read)

    def pause(self) -> None:
        """Take no more blocks; the child blocks when its pipe is full."""
        if not self.ended and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Go on after `pause`."""
        if not self.ended and self._paused:
            self._paused = False
            self._loop.add_reader(self._fd, self._read)

    def finish(self) -> None:
        """Take what lies in the pipe now and end, whoever still holds the other end."""
        taken = 0
        while not self.ended and taken < _FINISH_BYTES:
            read = self._read()
            if not read:
                break
            taken += read
        self._end()

    def _read(self) -> int:
        try:
            block = os.read(self._fd, BLOCK_BYTES)
        except BlockingIOError:
            return 0
        if block:
            self._on_block(block)
        else:
            self._end()
        return len(block)

    def _end(self) -> None:
        if self.ended:
            return
        self.pause()
        self.ended = True
        os.close(self._fd)
        self._on_end()


class BlockQueue:
    """Blocks between a reader and one consumer; full, it pauses the reader."""

    def __init__(self, fd: int, *, on_block: Callable[[bytes], None], on_end: Callable[[], None]):
        self._on_block = on_block
        self._on_end = on_end
        self._blocks: deque[bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._reader = PipeReader(fd, on_block=self._put, on_end=self._close)

    @property
    def ended(self) -> bool:
        """Whether the last block was read from the pipe (it may still wait here)."""
        return self._reader.ended

    async def get(self) -> bytes:
        """The next block, empty at the end of the stream."""
        while not self._blocks and not self._reader.ended:
            self._changed.clear()
            await self._changed.wait()
        if not self._blocks:
            return b""
        block = self._blocks.popleft()
        self._bytes -= len(block)
        if self._bytes < _QUEUE_BYTES:
            self._reader.resume()
        return block

    def finish(self) -> None:
        """See `PipeReader.finish`; what was read stays for the consumer."""
        self._reader.finish()

    def _put(self, block: bytes) -> None:
        self._blocks.append(block)
        self._bytes += len(block)
        self._changed.set()
        if self._bytes >= _QUEUE_BYTES:
            self._reader.pause()
        self._on_block(block)

    def _close(self) -> None:
        self._changed.set()
        self._on_end()


class PipeWriter:
    """Bytes to a child's stdin, kept until it takes them; a child that takes none is no error."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._pending = bytearray()
        self._waiting = False
        self._closing = False
        self._closed = False
        self._loop = asyncio.get_running_loop()

    def write(self, content: bytes) -> None:
        """Queue *content*; after `close`, or when the child closed its end, it is dropped."""
        if not self._closing:
            self._pending += content
            self._flush()

    def close(self) -> None:
        """End of input, after what is queued."""
        self._closing = True
        self._flush()

    def abort(self) -> None:
        """Close now; what is queued is dropped."""
        self._closing = True
        self._pending.clear()
        self._flush()

    def _flush(self) -> None:
        if self._closed:
            return
        try:
            while self._pending:
                del self._pending[: os.write(self._fd, self._pending[:BLOCK_BYTES])]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._closing = True
            self._pending.clear()
        self._set_waiting(waiting=bool(self._pending))
        if self._closing and not self._pending:
            self._closed = True
            os.close(self._fd)

    def _set_waiting(self, *, waiting: bool) -> None:
        if waiting and not self._waiting:
            self._loop.add_writer(self._fd, self._flush)
        elif self._waiting and not waiting:
            self._loop.remove_writer(self._fd)
        self._waiting = waiting


class Tail:
    """The last *limit* bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, block: bytes) -> None:
        """Append, and forget the oldest beyond the limit."""
        self._kept += block
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    def content(self) -> bytes:
        """What is kept."""
        return bytes(self._kept[-self._limit :])
