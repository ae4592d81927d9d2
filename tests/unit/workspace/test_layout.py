"""Where things lie: names that cannot leave their directory, an id that is made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from internal.errors import Invalid
from internal.workspace.home import home_id
from internal.workspace.layout import Layout


def test_everything_of_a_claim_lies_under_task_and_claim(tmp_path: Path) -> None:
    """What a run writes is found by task and claim, what we write by `data_dir`."""
    layout = Layout(data_dir=tmp_path / "data", workspace_base=tmp_path / "base")

    assert layout.tree("t1", "c1") == tmp_path / "base/t1/c1/tree"
    assert layout.home("t1", "c1") == tmp_path / "base/t1/c1/home"
    assert layout.mirrors == tmp_path / "data/git/mirrors"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a\n", "-a", "a" * 129, "ä"])
def test_a_name_that_could_leave_its_directory_is_refused(tmp_path: Path, name: str) -> None:
    """Ids of ours always pass; nothing else becomes part of a path."""
    layout = Layout(data_dir=tmp_path, workspace_base=tmp_path)

    with pytest.raises(Invalid):
        layout.claim("task", name)


def test_a_data_dir_has_one_id_for_ever(tmp_path: Path) -> None:
    """Processes that start together agree on one id, and another directory has another."""
    layout = Layout(data_dir=tmp_path / "a", workspace_base=tmp_path)
    other = Layout(data_dir=tmp_path / "b", workspace_base=tmp_path)

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(home_id, [layout] * 16))

    assert ids == {home_id(layout)}
    assert home_id(other) not in ids
    assert [path.name for path in layout.data_dir.iterdir()] == ["home-id"]
