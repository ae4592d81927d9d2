"""How choosing a key fails."""

from __future__ import annotations

from internal.errors import CodeforgeError


class KeyUnusable(CodeforgeError):
    """
    The key that was asked for cannot be used: it is gone, has expired, or is for another place.

    The code is the reason of the task's failure; nothing is tried in its stead.
    """

    code = "auth_failed"
