"""The documentation in the browser comes from this server alone."""

from __future__ import annotations

import re

import httpx2
import yaml


async def test_the_page_needs_nothing_from_elsewhere(client: httpx2.AsyncClient) -> None:
    """
    Every file it names is served here, and its policy lets the browser ask nobody else.
    """
    page = await client.get("/api/docs")

    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 4
    for path in files:
        assert path.startswith("/api/docs/")
        assert (await client.get(path)).status_code == 200, path
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "'unsafe-eval'" not in policy


async def test_the_description_is_served_as_it_was_written(client: httpx2.AsyncClient) -> None:
    """
    YAML, with the paths of this server.
    """
    answer = await client.get("/api/docs/openapi.yaml")

    assert answer.headers["content-type"] == "application/yaml"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert "/api/v1/tasks" in yaml.safe_load(answer.text)["paths"]


async def test_no_other_file_is_served(client: httpx2.AsyncClient) -> None:
    """
    Names are looked up in a table and never on the disk.
    """
    for name in ("index.html", "..", "..%2fapp.py", "swagger-ui.css.map", "openapi.yml"):
        assert (await client.get(f"/api/docs/{name}")).status_code == 404, name
