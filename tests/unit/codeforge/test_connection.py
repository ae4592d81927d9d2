"""How a command line on the same machine finds a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeforge.connection import known_here, open_client
from internal.errors import Unavailable

URL = "http://127.0.0.1:18080"


def test_a_server_makes_the_data_dir_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    `serve` starts on a machine that never ran anything; its address is known while it runs.
    """
    directory = tmp_path / "new" / "data"
    monkeypatch.setenv("CODEFORGE_DATA_DIR", str(directory))
    monkeypatch.delenv("CODEFORGE_URL", raising=False)

    with known_here(directory, URL), open_client(None, "a-token") as client:
        assert client is not None

    with pytest.raises(Unavailable):
        open_client(None, "a-token")


def test_a_server_without_a_place_to_write_runs_all_the_same(tmp_path: Path) -> None:
    """
    A server needs no files, so a read-only container is good enough.
    """
    not_a_directory = tmp_path / "file"
    not_a_directory.write_text("in the way")

    with known_here(not_a_directory / "data", URL):
        pass

    assert not_a_directory.read_text() == "in the way"
