"""
Git directories made by hand: the bare ones of ours, and the `.git` of an agent's checkout.

A git directory is a few small files; writing them takes no process and no template from the
machine. What git makes of a tree (filters, encodings) is switched off in ours by `info/attributes`,
which comes before every `.gitattributes` of the repository: what lies in the tree is what is
recorded.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_OUR_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_OUR_ATTRIBUTES = "* !filter !working-tree-encoding !ident\n"
_AGENT_CONFIG = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
[gc]
\tauto = 0
[user]
\tname = CodeForge
\temail = codeforge@localhost
[remote "origin"]
\turl = {url}
\tpushurl = codeforge-publishes-this-work
\tfetch = +refs/heads/*:refs/remotes/origin/*
"""


def make_bare(git_dir: Path, *, borrow_from: Path | None = None) -> None:
    """
    Make an empty bare repository in the new directory *git_dir*.

    *borrow_from* is another git directory whose objects count as its own.
    """
    _make_folders(git_dir)
    (git_dir / "info").mkdir()
    (git_dir / "info" / "attributes").write_text(_OUR_ATTRIBUTES)
    (git_dir / "config").write_text(_OUR_CONFIG)
    if borrow_from is not None:
        borrow_objects(git_dir, borrow_from)
    # Last: with it git takes the directory for a repository.
    (git_dir / "HEAD").write_text("ref: refs/heads/main\n")


def make_checkout_dir(git_dir: Path, *, url: str) -> None:
    """Make the new `.git` of a checkout; `point` it at a commit before use."""
    _make_folders(git_dir)
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    (git_dir / "config").write_text(_AGENT_CONFIG.format(url=f'"{quoted}"'))


def borrow_objects(git_dir: Path, source: Path) -> None:
    """Let *git_dir* use the objects of *source*, which must outlive it."""
    (git_dir / "objects" / "info" / "alternates").write_text(f"{source / 'objects'}\n")


def point(git_dir: Path, *, commit: str, branch: str | None, index: Path, shallow: bool) -> None:
    """
    Check *commit* out in a `.git` that no agent has touched: on *branch*, or detached without one.

    *index* describes the tree and is copied with its times, by which git knows what may have
    changed since; *shallow* says that the commit's parents are not there.
    """
    for kind in ("heads", "remotes"):
        shutil.rmtree(git_dir / "refs" / kind, ignore_errors=True)
    (git_dir / "refs" / "heads").mkdir()
    head = f"{commit}\n"
    if branch is not None:
        for name in (f"heads/{branch}", f"remotes/origin/{branch}"):
            path = git_dir / "refs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{commit}\n")
        head = f"ref: refs/heads/{branch}\n"
    if shallow:
        (git_dir / "shallow").write_text(f"{commit}\n")
    (git_dir / "HEAD").write_text(head)
    shutil.copy2(index, git_dir / "index")


def _make_folders(git_dir: Path) -> None:
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (git_dir / folder).mkdir(parents=True)
