"""Where settings come from, which source wins, and what is said about wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from internal.config.error import SettingsError
from internal.config.load import load_settings
from internal.config.values import Seconds

HOME = {"HOME": "/home/op"}


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    """
    Nothing has to be configured; what depends on the machine follows its conventions.
    """
    loaded = load_settings(HOME, tmp_path)

    assert loaded.settings.data_dir == Path("/home/op/.local/share/codeforge")
    assert loaded.settings.tasks.workspace_base == loaded.settings.data_dir / "workspaces"
    assert set(loaded.sources.values()) == {"default"}


def test_xdg_and_the_variable_place_the_data(tmp_path: Path) -> None:
    """
    `XDG_DATA_HOME` moves the default; `CODEFORGE_DATA_DIR` says it outright, from here if relative.
    """
    xdg = HOME | {"XDG_DATA_HOME": "/srv/share"}

    assert load_settings(xdg, tmp_path).settings.data_dir == Path("/srv/share/codeforge")

    loaded = load_settings(xdg | {"CODEFORGE_DATA_DIR": "d"}, tmp_path)
    assert loaded.settings.data_dir == tmp_path / "d"
    assert loaded.settings.tasks.workspace_base == tmp_path / "d" / "workspaces"
    assert loaded.sources["data_dir"] == "CODEFORGE_DATA_DIR"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """
    Defaults < file < environment, key by key, and each value knows where it is from.
    """
    file = _write(
        tmp_path / "codeforge.yaml", "server: {port: 81, host: h}\nworkers: {concurrency: 5}"
    )
    environ = HOME | {"CODEFORGE_SERVER__PORT": "82", "CODEFORGE_LOGGING__LEVEL": "DEBUG"}

    loaded = load_settings(environ, tmp_path)

    assert (loaded.settings.server.port, loaded.settings.server.host) == (82, "h")
    assert loaded.settings.logging.level == "debug"
    assert loaded.settings.workers.concurrency == 5
    assert loaded.sources["server.port"] == "CODEFORGE_SERVER__PORT"
    assert loaded.sources["server.host"] == str(file)
    assert loaded.sources["redis.prefix"] == "default"
    assert loaded.was_set("server.host")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "webhooks: {retry_delay: 1500ms}\ngit: {allow_hosts: [a, b]}\nredis:\n"),
        ("c.yml", 'webhooks: {retry_delay: 1.5}\ngit: {allow_hosts: "a, b"}\n'),
        ("c.toml", '[webhooks]\nretry_delay = "1.5s"\n[git]\nallow_hosts = ["a", "b"]\n'),
    ],
)
def test_the_file_may_be_yaml_or_toml(tmp_path: Path, name: str, text: str) -> None:
    """
    A file named by `CODEFORGE_CONFIG` may lie anywhere; durations and lists have several forms.
    """
    file = _write(tmp_path / name, text)

    loaded = load_settings(HOME | {"CODEFORGE_CONFIG": str(file)}, Path("/"))

    assert loaded.settings.webhooks.retry_delay == 1.5
    assert loaded.settings.git.allow_hosts == ("a", "b")


def test_only_names_with_two_underscores_are_settings(tmp_path: Path) -> None:
    """
    The client's variables, and what an orchestrator injects, are not read as settings.
    """
    others = {
        "CODEFORGE_URL": "u",
        "CODEFORGE_TOKEN": "t",
        "CODEFORGE_PORT_80_TCP": "p",
        "X__Y": "1",
    }

    assert set(load_settings(HOME | others, tmp_path).sources.values()) == {"default"}


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    """
    Compose files pass variables on empty when nobody set them.
    """
    loaded = load_settings(HOME | {"CODEFORGE_SERVER__PORT": ""}, tmp_path)

    assert not loaded.was_set("server.port")


@pytest.mark.parametrize("text", ["a,b", " a , b,", '["a", "b"]'])
def test_lists_from_the_environment(tmp_path: Path, text: str) -> None:
    """
    JSON, or names with commas; it replaces what the file says.
    """
    _write(tmp_path / "codeforge.yaml", "egress: {allow: [x, y, z]}")

    loaded = load_settings(HOME | {"CODEFORGE_EGRESS__ALLOW": text}, tmp_path)

    assert loaded.settings.egress.allow == ("a", "b")


def test_origins_are_written_as_browsers_do(tmp_path: Path) -> None:
    """
    Small letters, and no port where it is the scheme's own; what no browser sends is refused.
    """
    variable = "CODEFORGE_SERVER__CORS_ORIGINS"
    text = "https://Console.example:443, http://localhost:3000,*"

    origins = load_settings(HOME | {variable: text}, tmp_path).settings.server.cors_origins

    assert origins == ("https://console.example", "http://localhost:3000", "*")
    for wrong in ("console.example", "https://a/", "https://u@a", "https://*.a", "null"):
        with pytest.raises(SettingsError) as caught:
            load_settings(HOME | {variable: wrong}, tmp_path)
        assert "must be * or an origin" in str(caught.value)


def test_tables_with_dots_in_their_names(tmp_path: Path) -> None:
    """
    A host has dots, which must not be taken for sections; the environment gives JSON.
    """
    _write(tmp_path / "codeforge.yaml", "git: {provider_domains: {Git.corp.example: gitlab}}")
    by_variable = HOME | {"CODEFORGE_GIT__PROVIDER_DOMAINS": '{"a.b": "github"}'}

    loaded = load_settings(HOME, tmp_path)

    assert loaded.settings.git.provider_domains == {"Git.corp.example": "gitlab"}
    assert loaded.was_set("git.provider_domains")
    assert load_settings(by_variable, tmp_path).settings.git.provider_domains == {"a.b": "github"}


def test_variables_in_the_file_are_replaced(tmp_path: Path) -> None:
    """
    `${VAR}`, a default for an empty one, and `$${` for the characters themselves.
    """
    text = 'server: {port: "${PORT:-81}", host: "${A}.${B:-b}"}\nredis: {prefix: "$${A}:"}\n'
    _write(tmp_path / "codeforge.yaml", text)

    settings = load_settings(HOME | {"A": "a", "B": ""}, tmp_path).settings

    assert (settings.server.port, settings.server.host) == (81, "a.b")
    assert settings.redis.prefix == "${A}:"


@pytest.mark.parametrize(
    "password", ["@int 5", "@jinja {{ 1 }}", "true", "[1]", "0x10", "a'b\"c", "$x"]
)
def test_a_secret_is_taken_as_it_is(tmp_path: Path, password: str) -> None:
    """
    Text that looks like a number, a list or a template stays what the operator wrote.
    """
    _write(tmp_path / "codeforge.yaml", f"encryption: {{key: {json.dumps(password)}}}")

    settings = load_settings(HOME | {"CODEFORGE_SERVER__AUTH_TOKEN": password}, tmp_path).settings

    assert settings.server.auth_token.get_secret_value() == password
    assert settings.encryption.key.get_secret_value() == password


def test_all_complaints_come_at_once(tmp_path: Path) -> None:
    """
    One start tells everything that is wrong, each with its key and the place it is from.
    """
    file = _write(
        tmp_path / "codeforge.yaml",
        'server: {prt: 81, auth_token: "${NO_TOKEN}"}\nsever: {port: 1}\nport: 1\ntasks: 3\n'
        "workers: {lease_seconds: 1h3x, isolation: vm}\ncli: {default: gpt, demo: {env: [A B]}}\n",
    )
    variables = {"CODEFORGE_SERVER__MAX_WAIT": "soon", "CODEFORGE_GIT__ALLOW_HOSTS": "[1"}

    fields = _complaints(HOME | variables, tmp_path)

    assert set(fields) == {
        "server.prt", "server.auth_token", "sever", "port", "tasks", "workers.lease_seconds",
        "workers.isolation", "cli.default", "cli.demo.env.0", "server.max_wait", "git.allow_hosts",
    }  # fmt: skip
    assert fields["server.prt"] == f"is not a setting; did you mean server.port? (in {file})"
    assert fields["sever"].startswith("is not a setting; did you mean server?")
    assert fields["port"].startswith("is not a setting; did you mean server.port?")
    assert fields["server.auth_token"] == f"the variable NO_TOKEN is not set (in {file})"
    assert fields["server.max_wait"].endswith("1h30m (in CODEFORGE_SERVER__MAX_WAIT)")


def test_an_unset_variable_alone_is_a_complaint(tmp_path: Path) -> None:
    """
    A value that is missing must not silently become the default.
    """
    _write(tmp_path / "codeforge.yaml", 'git: {allow_hosts: ["${HOST_A}"]}')

    assert "HOST_A" in _complaints(HOME, tmp_path)["git.allow_hosts.0"]


def test_an_unknown_variable_is_refused_by_name(tmp_path: Path) -> None:
    """
    A misspelt variable would otherwise do nothing, and nobody would notice.
    """
    fields = _complaints(HOME | {"CODEFORGE_WORKERS__CONCURENCY": "3"}, tmp_path)

    assert fields == {
        "workers.concurency": "is not a setting; did you mean workers.concurrency? "
        "(in CODEFORGE_WORKERS__CONCURENCY)"
    }


def test_complaints_do_not_repeat_values(tmp_path: Path) -> None:
    """
    A value in the wrong place may be a secret.
    """
    _write(
        tmp_path / "codeforge.yaml", "server: {auth_token: {hunter22: hunter22}, port: hunter22}"
    )

    with pytest.raises(SettingsError) as caught:
        load_settings(HOME, tmp_path)

    assert "hunter22" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("codeforge.yaml", b"a: [1\nhunter22: 2"),
        ("codeforge.yaml", b"- hunter22"),
        ("codeforge.yaml", b"hunter22"),
        ("codeforge.yaml", b"server:\n  port: hunter22\n  port: hunter22"),
        ("codeforge.yaml", b"\xff\xfe"),
        ("codeforge.yaml", b"a: !!python/object/apply:os.getcwd []"),
        ("codeforge.toml", b"hunter22 = = 1"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    """
    The operator is told which file and, where it is known, which line; never what stands there.
    """
    (tmp_path / name).write_bytes(content)

    fields = _complaints(HOME, tmp_path)

    assert list(fields) == [str(tmp_path / name)]
    assert "hunter22" not in str(fields)


@pytest.mark.parametrize("name", ["nowhere.yaml", "settings.json"])
def test_a_named_file_must_be_there(tmp_path: Path, name: str) -> None:
    """
    A service must not start with defaults because its file is missing or of another kind.
    """
    (tmp_path / "settings.json").write_text("{}")

    with pytest.raises(SettingsError):
        load_settings(HOME | {"CODEFORGE_CONFIG": name}, tmp_path)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_durations_may_be_written_with_units(hours: int, minutes: int, seconds: int) -> None:
    """
    `1h2m3s` is what it says, as in version A; a bare number is seconds.
    """
    adapter = TypeAdapter[int](Seconds)
    total = hours * 3600 + minutes * 60 + seconds

    assert adapter.validate_python(f"{hours}h{minutes}m{seconds}s") == total
    assert adapter.validate_python(str(total)) == adapter.validate_python(total) == total


@pytest.mark.parametrize(
    ("host", "port", "public_url", "expected"),
    [
        ("0.0.0.0", "80", "", "http://127.0.0.1:80"),  # noqa: S104 - data, nothing is bound
        ("::", "80", "", "http://[::1]:80"),
        ("forge", "8080", "", "http://forge:8080"),
        ("forge", "8080", "https://forge.example/x/", "https://forge.example/x"),
    ],
)
def test_links_are_made_from_the_public_url(
    tmp_path: Path, host: str, port: str, public_url: str, expected: str
) -> None:
    """
    Without one they are made from host and port, and never name an address that cannot be dialled.
    """
    variables = {"HOST": host, "PORT": port, "PUBLIC_URL": public_url}
    environ = HOME | {f"CODEFORGE_SERVER__{name}": value for name, value in variables.items()}

    assert load_settings(environ, tmp_path).settings.server.base_url == expected


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _complaints(environ: dict[str, str], cwd: Path) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, cwd)
    return caught.value.fields
