"""
Git's description of a difference, read into `model.Diff`. Pure.

Three outputs of one comparison belong together: `--raw -z` says what happened to each path,
`--numstat -z` counts lines, and the patch has one section a file in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from internal.git.model import Changes, FileDiff, FileStatus

_SECTION = re.compile(rb"^diff --git ", re.MULTILINE)
_STATUS = {
    "A": FileStatus.ADDED,
    "D": FileStatus.DELETED,
    "R": FileStatus.RENAMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLimits:
    """Bytes of text shown per file and in all, and of the whole patch."""

    max_file_bytes: int = 256 << 10
    max_text_bytes: int = 4 << 20
    max_patch_bytes: int = 32 << 20


DEFAULT_LIMITS = DiffLimits()


def read_files(raw_and_numstat: bytes) -> tuple[FileDiff, ...]:
    """
    The files of `git diff-tree -r -M --raw --numstat -z`, without their patches, in git's order.
    """
    fields = iter(raw_and_numstat.split(b"\0"))
    files: list[FileDiff] = []
    counted = 0
    for part in fields:
        if part.startswith(b":"):
            files.append(_from_raw(part, fields))
        elif part:
            files[counted] = _with_counts(files[counted], part, fields)
            counted += 1
    return tuple(files)


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


def count(files: Sequence[FileDiff]) -> Changes:
    """The counts of a whole diff."""
    statuses = [file.status for file in files]
    return Changes(
        files_modified=sum(s in {FileStatus.MODIFIED, FileStatus.RENAMED} for s in statuses),
        files_created=statuses.count(FileStatus.ADDED),
        files_deleted=statuses.count(FileStatus.DELETED),
        insertions=sum(file.additions for file in files),
        deletions=sum(file.deletions for file in files),
    )


def readable(path: bytes) -> str:
    """A path as text; bytes that are no UTF-8 are shown as `\\xNN`, so that no two look alike."""
    return path.decode(errors="backslashreplace")


def _from_raw(part: bytes, fields: Iterator[bytes]) -> FileDiff:
    letter = part.split(b" ")[4][:1].decode()
    path = readable(next(fields))
    if letter == "R":
        return FileDiff(path=readable(next(fields)), old_path=path, status=FileStatus.RENAMED)
    return FileDiff(path=path, status=_STATUS.get(letter, FileStatus.MODIFIED))


def _with_counts(file: FileDiff, part: bytes, fields: Iterator[bytes]) -> FileDiff:
    added, deleted, path = part.split(b"\t", 2)
    if not path:  # a rename: its two names follow
        next(fields)
        next(fields)
    if added == b"-":
        return replace(file, binary=True)
    return replace(file, additions=int(added), deletions=int(deleted))


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
