"""
The master keys of one process: the active one, which seals, and others that only open.

Keys are told apart by their check value, the same on every machine; the names that settings give
them are for people. So a rotation needs no agreement on names, and a key that is configured twice
is one key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from internal.crypto.box import Box
from internal.crypto.masterkey import check_value

FIRST_KID = "m1"
"""How records name the first key of a deployment that was made before keys could be rotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """`active` is the id of the key that seals; `keys` has every key by its id."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, active: bytes, others: Iterable[bytes] = ()) -> Keyring:
        """From 32 bytes each."""
        keys = {check_value(key): key for key in (*others, active)}
        return cls(active=check_value(active), keys=keys)

    @property
    def kids(self) -> tuple[str, ...]:
        """The ids of all keys, in order."""
        return tuple(sorted(self.keys))

    def box(self, first: str | None = None) -> Box:
        """
        What seals and opens with these keys; *first* is the id of the key that `m1` stands for.
        """
        alias = {FIRST_KID: self.keys[first]} if first is not None and first in self.keys else {}
        return Box({**self.keys, **alias}, self.active)
