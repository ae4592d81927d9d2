"""
Git's description of a difference, read into `model.Diff`. Pure.

Three outputs of one comparison belong together: `--raw -z` says what happened to each path,
`--numstat -z` counts lines, and the patch has one section a file in the same order.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from internal.git.model import Changes, FileDiff, FileStatus

_SECTION = re.compile(rb"^diff --git ", re.MULTILINE)
_NO_BLOB = frozenset({b"000000", b"160000"})  # nothing there, and a submodule
_STATUS = {
    "A": FileStatus.ADDED,
    "D": FileStatus.DELETED,
    "R": FileStatus.RENAMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLimits:
    """
    Bytes of text shown per file and in all, and of the whole patch; how many files are listed.

    No patch is made where a changed file has more than `max_blob_bytes` on either side: git would
    hold it in memory several times.
    """

    max_file_bytes: int = 256 << 10
    max_text_bytes: int = 4 << 20
    max_patch_bytes: int = 32 << 20
    max_blob_bytes: int = 32 << 20
    max_files: int = 20_000


DEFAULT_LIMITS = DiffLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The first files of a difference, without their patches, and the counts of all of it."""

    files: tuple[FileDiff, ...]
    changes: Changes


def count_files(raw: bytes) -> int:
    """How many files `git diff-tree -r --no-renames --raw -z` named."""
    return raw.count(b"\0") // 2


def changed_blobs(raw: bytes) -> set[bytes]:
    """The ids of all contents, old and new, that `--no-renames --raw -z` named."""
    fields = _fields(raw)
    found: set[bytes] = set()
    for described, _path in zip(fields, fields, strict=False):
        old_mode, new_mode, old, new, _ = described[1:].split(b" ")
        found.update(
            blob for mode, blob in ((old_mode, old), (new_mode, new)) if mode not in _NO_BLOB
        )
    return found


def read_listing(said: bytes, *, max_files: int) -> Listing:
    """
    What `git diff-tree -r --raw -z` said, with or without `--numstat`, in git's order.

    Output that was cut at a limit is read as far as it goes.
    """
    files: list[FileDiff] = []
    statuses = Counter[FileStatus]()
    counted = insertions = deletions = 0
    fields = _fields(said)
    with contextlib.suppress(StopIteration):  # the cut came within a record
        for part in fields:
            if part.startswith(b":"):
                file = _from_raw(part, fields)
                statuses[file.status] += 1
                if len(files) < max_files:
                    files.append(file)
                continue
            lines = _read_counts(part, fields)
            if counted < len(files):
                files[counted] = _with_counts(files[counted], lines)
            counted += 1
            insertions += lines[0] if lines else 0
            deletions += lines[1] if lines else 0
    changes = Changes(
        files_modified=statuses[FileStatus.MODIFIED] + statuses[FileStatus.RENAMED],
        files_created=statuses[FileStatus.ADDED],
        files_deleted=statuses[FileStatus.DELETED],
        insertions=insertions,
        deletions=deletions,
    )
    return Listing(files=tuple(files), changes=changes)


def with_patches(
    files: Sequence[FileDiff], patch: bytes, limits: DiffLimits
) -> tuple[FileDiff, ...]:
    """The same files, each with its section of *patch* as text while the limits allow it."""
    sections = list(_sections(patch))
    room = limits.max_text_bytes
    shown: list[FileDiff] = []
    position = 0
    for file in files:
        # A file that became a link, or the other way round, is deleted and created again.
        count = _sections_of(file, sections[position : position + 2])
        text = b"".join(sections[position : position + count])
        position += count
        if file.binary or not text or len(text) > min(room, limits.max_file_bytes):
            shown.append(file)
            continue
        room -= len(text)
        shown.append(replace(file, patch=text.decode(errors="replace")))
    return tuple(shown)


def readable(path: bytes) -> str:
    """A path as text; bytes that are no UTF-8 are shown as `\\xNN`, so that no two look alike."""
    return path.decode(errors="backslashreplace")


def _from_raw(part: bytes, fields: Iterator[bytes]) -> FileDiff:
    letter = part.split(b" ")[4][:1].decode()
    path = readable(next(fields))
    if letter == "R":
        return FileDiff(path=readable(next(fields)), old_path=path, status=FileStatus.RENAMED)
    return FileDiff(path=path, status=_STATUS.get(letter, FileStatus.MODIFIED))


def _read_counts(part: bytes, fields: Iterator[bytes]) -> tuple[int, int] | None:
    """Lines added and deleted, None for a binary file."""
    added, deleted, path = part.split(b"\t", 2)
    if not path:  # a rename: its two names follow
        next(fields)
        next(fields)
    return None if added == b"-" else (int(added), int(deleted))


def _with_counts(file: FileDiff, lines: tuple[int, int] | None) -> FileDiff:
    if lines is None:
        return replace(file, binary=True)
    return replace(file, additions=lines[0], deletions=lines[1])


def _fields(said: bytes) -> Iterator[bytes]:
    # Not split: hundreds of thousands of names would all be in memory at once.
    start = 0
    while (end := said.find(b"\0", start)) >= 0:
        yield said[start:end]
        start = end + 1


def _sections(patch: bytes) -> Iterator[bytes]:
    starts = [match.start() for match in _SECTION.finditer(patch)]
    for start, end in zip(starts, [*starts, len(patch)][1:], strict=True):
        yield patch[start:end]


def _sections_of(file: FileDiff, candidates: Sequence[bytes]) -> int:
    if len(candidates) < 2 or file.status is not FileStatus.MODIFIED:
        return min(len(candidates), 1)
    deleted, created = (section.split(b"\n", 2)[:2] for section in candidates)
    retyped = deleted[0] == created[0] and deleted[1].startswith(b"deleted file mode ")
    return 2 if retyped else 1
