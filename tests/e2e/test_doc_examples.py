"""Every example of the pages works: a reader copies it, and gets what is shown."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml
from redis import Redis

from internal.config.load import load_settings
from tests.support.deployment import Deployment, eventually, running
from tests.support.doc_examples import Block, Judge, blocks, steps
from tests.support.repos import Repo, git

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
)
_LIMIT_SECONDS = 60
_NUMBERS = itertools.count(1)
_FINISHED = {"completed", "failed", "pr_created"}
_REDIS_CLI = """#!{python}
import os, sys
from redis import Redis
redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
answer = redis.execute_command(*sys.argv[1:])
print("" if answer is None else answer)
"""

pytestmark = pytest.mark.skipif(
    not (ROOT / "README.md").is_file(), reason="the pages are not here; the wheel is under test"
)


@pytest.fixture(scope="module")
def site(mock_claude: Path) -> Generator[Deployment]:
    """What a reader has running, with the settings that the pages name."""
    settings = {
        "CODEFORGE_CLI__CLAUDE_CODE__PATH": str(mock_claude),
        "CODEFORGE_RATE_LIMIT__ENABLED": "false",
    }
    with running(settings) as deployment:
        yield deployment


def of_kind(page: str, *languages: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block for block in blocks(text) if block.language in languages]


def having(*languages: str) -> list[str]:
    return [page for page in PAGES if of_kind(page, *languages)]


@pytest.mark.parametrize("page", having("console"))
def test_the_commands_of_a_page_print_what_it_shows(page: str, site: Deployment) -> None:
    """
    Top to bottom in one directory, each after the tasks of the one before have ended.
    """
    reader, judge = Reader(site, page), Judge()

    for block in of_kind(page, "console"):
        for step in steps(block.text):
            printed = reader.run(judge.translate(step.command))
            missing = judge.missing(step.shown, printed)
            assert missing is None, f"{step.command}\nshould print: {missing}\nit prints: {printed}"


@pytest.mark.parametrize("page", having("json"))
def test_the_json_of_a_page_is_json(page: str) -> None:
    """
    As it stands, without omissions.
    """
    for block in of_kind(page, "json"):
        json.loads(block.text)


@pytest.mark.parametrize("page", having("yaml"))
def test_the_settings_of_a_page_are_accepted(page: str, tmp_path: Path) -> None:
    """
    As a whole file, with the variables it takes from the environment set.
    """
    for block in of_kind(page, "yaml"):
        assert yaml.safe_load(block.text)
        file = tmp_path / "codeforge.yaml"
        file.write_text(block.text, encoding="utf-8")

        load_settings({"API_TOKEN": "t" * 32, "HOME": "/nowhere"}, cwd=tmp_path)


@pytest.mark.parametrize("page", having("python"))
def test_the_python_of_a_page_runs(page: str, site: Deployment) -> None:
    """
    With the page's server and token in the environment.
    """
    reader = Reader(site, page)
    for block in of_kind(page, "python"):
        done = reader.execute([sys.executable, "-c", reader.here(block.text)])
        assert done.returncode == 0, f"{block.text}\n{done.stdout}"


@pytest.mark.parametrize("page", having("js"))
def test_the_javascript_of_a_page_is_read(page: str, tmp_path: Path) -> None:
    """
    By Node.js, where it is installed; it is for browsers, so it is not run.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    for block in of_kind(page, "js"):
        file = tmp_path / "example.mjs"
        file.write_text(block.text, encoding="utf-8")
        subprocess.run([node, "--check", file], check=True, timeout=_LIMIT_SECONDS)


class Reader:
    """Somebody at a shell in a clone, who keeps the variables of one command for the next."""

    def __init__(self, site: Deployment, page: str) -> None:
        self._site = site
        name = f"{page.replace('/', '-').removesuffix('.md')}-{next(_NUMBERS)}"
        self._clone = site.directory / "readers" / name
        repository = Repo(site.repositories / f"{name}.git")
        repository.commit({"README.md": "# Test\n"}, message="First")
        git("clone", "--quiet", repository.url, str(self._clone), cwd=site.repositories)
        self._variables = self._clone.parent / f"{name}.env"
        self._variables.touch()
        self._programs = self._clone.parent / f"{name}.bin"
        self._programs.mkdir()
        if shutil.which("redis-cli") is None:  # ours is embedded and comes without it
            program = self._programs / "redis-cli"
            program.write_text(_REDIS_CLI.format(python=sys.executable), encoding="ascii")
            program.chmod(0o755)

    def here(self, text: str) -> str:
        """The page's places as this deployment's."""
        return (
            text.replace("http://127.0.0.1:8080", self._site.url)
            .replace("~/.local/share/codeforge", str(self._site.data_dir))
            .replace(".venv/bin/codeforge", "codeforge")
        )

    def run(self, command: str) -> str:
        """What the command printed; it succeeded, and no task of it is still under way."""
        kept = self._variables
        script = f"set -a; . {kept}; {self.here(command)}\nexport -p >{kept}"
        done = self.execute(["bash", "-euo", "pipefail", "-c", script])
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        eventually(self._all_is_quiet, "the end of the example's tasks")
        return done.stdout

    def execute(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a program as the reader would, its errors among its output."""
        places = (self._programs, Path(sys.executable).parent, os.environ["PATH"])
        return subprocess.run(
            argv,
            cwd=self._clone,
            env={
                **self._site.environment,
                "PATH": os.pathsep.join(map(str, places)),
                "REDIS_URL": self._site.redis_url,
                "CODEFORGE_URL": self._site.url,
                "CODEFORGE_TOKEN": self._site.token,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )

    def _all_is_quiet(self) -> bool:
        with Redis.from_url(self._site.redis_url) as redis:
            if redis.exists("codeforge:input:tasks", "codeforge:input:pending"):
                return False
        with self._site.client() as client:
            tasks = client.list(limit=200)["tasks"]
        return all(task["status"] in _FINISHED for task in tasks)
