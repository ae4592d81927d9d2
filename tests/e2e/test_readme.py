"""What a newcomer reads leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from internal.config.settings import leaf_names

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CHANGELOG.md", "docs/operations.md", "docs/configuration.md")

pytestmark = pytest.mark.skipif(
    not (ROOT / "README.md").is_file(), reason="the pages are not here; the wheel is under test"
)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_are_there(page: str) -> None:
    """Relative ones; what lies in the web is not asked."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)

    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]

    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_the_settings_that_are_named_exist(page: str) -> None:
    """As keys and as variables of the environment."""
    text = (ROOT / page).read_text(encoding="utf-8")
    known = leaf_names()
    sections = {name.partition(".")[0] for name in known if "." in name}
    keys = re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_.]+)`", text)
    variables = re.findall(r"CODEFORGE_([A-Z]+__[A-Z_]+)", text)

    named = {*keys, *(name.replace("__", ".").lower() for name in variables)}
    pages = {path.name for path in ROOT.glob("docs/*.md")}
    assert named - {*known, *pages, "queue.depth"} == set()
    assert named
