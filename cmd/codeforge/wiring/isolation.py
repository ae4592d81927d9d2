"""The isolation that this machine's settings ask for, as far as it works here."""

from __future__ import annotations

import os
from pathlib import Path

from internal.config.settings import Settings
from internal.process.isolation import Isolation, Places, find_isolation


async def open_isolation(settings: Settings) -> Isolation:
    """
    Try it out; takes 0.1 s.

    Raises:
        Invalid: what is wanted does not work, or would show agents what is ours.
    """
    return await find_isolation(
        settings.workers.isolation,
        Places(
            data_dir=settings.data_dir,
            workspace_base=settings.tasks.workspace_base,
            user_home=_user_home(),
        ),
        readable=settings.workers.readable_paths,
        environment=os.environ,
    )


def _user_home() -> Path:
    # Not Path.home(), which raises for a user without an entry, as containers have them.
    return Path(os.path.expanduser("~"))
