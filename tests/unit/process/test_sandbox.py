"""What bubblewrap is told, and what a program needs to be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from internal.process import isolation
from internal.process.sandbox import Sandbox, View, bubblewrap_arguments
from internal.process.visible import needed_by


def program(path: Path, content: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return path


def test_what_is_writable_covers_what_is_readable() -> None:
    """
    The order of mounts decides: a readable directory above the workspace must not hide it.
    """
    view = View(links=[], readable=[Path("/srv")], writable=[Path("/srv/tree")])

    arguments = bubblewrap_arguments(view)

    readable = arguments.index("/srv")
    writable = arguments.index("/srv/tree")
    assert arguments[readable - 1] == "--ro-bind-try"
    assert arguments[writable - 1] == "--bind"
    assert readable < writable
    assert arguments[-2:] == ["--remount-ro", "/"]


def test_no_argument_of_the_sandbox_is_from_the_environment(tmp_path: Path) -> None:
    """
    Variables are secrets; every user of the machine can read arguments.
    """
    sandbox = Sandbox(bubblewrap="/usr/bin/bwrap", private=())
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path), "KEY": "canary-0123456789"}

    front = sandbox.launcher()(["/bin/true"], environment, tmp_path)

    assert front is not None
    assert "--setenv" not in front.argv
    assert not [word for word in front.argv if "canary" in word]


def test_certificates_that_the_environment_names_can_be_read(tmp_path: Path) -> None:
    """
    A proxy's own authority is a file anywhere.
    """
    sandbox = Sandbox(bubblewrap="/usr/bin/bwrap", private=())
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path), "NODE_EXTRA_CA_CERTS": "/corp/ca.pem"}

    front = sandbox.launcher()(["/bin/true"], environment, tmp_path)

    assert front is not None
    assert "/corp/ca.pem" in front.argv


def test_a_workspace_that_became_a_link_is_not_mounted(tmp_path: Path) -> None:
    """
    An earlier run without isolation could have put it there, to have its target made writable.
    """
    link = tmp_path / "tree"
    link.symlink_to("/etc")
    launch = Sandbox(bubblewrap="/usr/bin/bwrap", private=()).launcher()

    with pytest.raises(OSError, match="symbolic links"):
        launch(["/bin/true"], {"PATH": "/usr/bin", "HOME": str(tmp_path)}, link)


def test_a_program_is_followed_to_its_interpreter(tmp_path: Path) -> None:
    """
    From a link on the PATH through the package that it is in to what its first line names; a `bin`
    brings the libraries beside it, nothing else there.
    """
    node = program(tmp_path / "node" / "bin" / "node")
    (tmp_path / "node" / "lib").mkdir()
    (tmp_path / "node" / "share").mkdir()
    real = program(tmp_path / "package" / "cli.js", "#!/usr/bin/env node\n")
    link = tmp_path / "links" / "agent"
    link.parent.mkdir()
    link.symlink_to("../package/cli.js")

    needed = needed_by("agent", {"PATH": f"{link.parent}:{node.parent}"}, private=())

    assert set(needed) == {
        *(link.parent, real.parent, node.parent, tmp_path / "node" / "lib"),
    }


@pytest.mark.parametrize("place", ["", "home"])
def test_a_directory_that_holds_more_than_programs_is_not_shown(tmp_path: Path, place: str) -> None:
    """
    A program that lies in the home, or beside our own directories, is shown alone.
    """
    private = [tmp_path / "home", tmp_path / "data"]
    agent = program(tmp_path / place / "agent")

    needed = needed_by(str(agent), {"PATH": "/usr/bin"}, private=private)

    assert needed == [agent]


def test_programs_of_the_system_and_of_nowhere_need_nothing(tmp_path: Path) -> None:
    """
    /usr is always there; what does not exist is told by its start.
    """
    environment = {"PATH": f"{tmp_path}:/usr/bin"}

    assert needed_by("env", environment, private=()) == []
    assert needed_by("no-such-agent", environment, private=()) == []


def test_links_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    """
    And so do scripts that are each other's interpreter.
    """
    one, other = tmp_path / "one", tmp_path / "other"
    program(one, f"#!{other}\n")
    program(other, f"#!{one}\n")

    assert needed_by(str(one), {"PATH": ""}, private=()) == [tmp_path]


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"),
        ({"/proc/sys/kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone=1"),
        ({"/proc/sys/user/max_user_namespaces": "0"}, "max_user_namespaces=15000"),
    ],
)
def test_what_the_kernel_forbids_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], advice: str
) -> None:
    """
    Bubblewrap's own words stay in front.
    """
    monkeypatch.setattr(isolation, "_read", settings.get)

    said = isolation.explain("bwrap: setting up uid map:\n Permission denied")

    assert said.startswith("bwrap: setting up uid map: Permission denied; ")
    assert advice in said


def test_an_old_bubblewrap_is_told_as_such() -> None:
    """
    The version that is needed is named.
    """
    assert "0.8 or later" in isolation.explain("bwrap: Unknown option --disable-userns")
