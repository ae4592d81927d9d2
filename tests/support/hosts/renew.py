"""
Cut a host's published API description down to the few operations that CodeForge uses.

    python -m tests.support.hosts.renew github package/generated/api.github.com.json
    python -m tests.support.hosts.renew gitea swagger.v1.json 1.24.0

The first file is in the npm package `@octokit/openapi` (`npm pack @octokit/openapi`), the second is
served by every Gitea at `/swagger.v1.json` and lies in its repository as
`templates/swagger/v1_json.tmpl`. Both are under the MIT licence. What is kept: names, places and
schemas of parameters, the schema of the body, the status codes, and of the answer the example or
else the schema. What is said about them in words is left out.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

Json = dict[str, object]

FIXTURES = Path(__file__).parents[2] / "contract" / "fixtures" / "hosts"
_OPERATIONS = {
    "github": [
        ("get", "/user"),
        ("get", "/repos/{owner}/{repo}"),
        ("get", "/repos/{owner}/{repo}/pulls"),
        ("post", "/repos/{owner}/{repo}/pulls"),
        ("get", "/repos/{owner}/{repo}/pulls/{pull_number}"),
        ("patch", "/repos/{owner}/{repo}/pulls/{pull_number}"),
        ("post", "/repos/{owner}/{repo}/issues/{issue_number}/labels"),
        ("post", "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers"),
    ],
    "gitea": [
        ("get", "/user"),
        ("get", "/repos/{owner}/{repo}"),
        ("get", "/repos/{owner}/{repo}/pulls"),
        ("post", "/repos/{owner}/{repo}/pulls"),
        ("get", "/repos/{owner}/{repo}/pulls/{index}"),
        ("patch", "/repos/{owner}/{repo}/pulls/{index}"),
        ("get", "/repos/{owner}/{repo}/labels"),
        ("get", "/orgs/{org}/labels"),
        ("post", "/repos/{owner}/{repo}/issues/{index}/labels"),
        ("post", "/repos/{owner}/{repo}/pulls/{index}/requested_reviewers"),
    ],
}
_SOURCES = {
    "github": "npm package @octokit/openapi, generated/api.github.com.json",
    "gitea": "github.com/go-gitea/gitea, templates/swagger/v1_json.tmpl",
}
_WORDS = {"description", "summary", "example", "examples", "title", "externalDocs"}


def main() -> None:
    """Write the fixture of the host named first from the file named second."""
    name, file, *version = sys.argv[1:]
    text = Path(file).read_text(encoding="utf-8")
    # Gitea keeps its description as a template: the version and the path are filled in later.
    document = cast("Json", json.loads(re.sub(r"\{\{[^}]*\}\}", "", text)))
    operations = [_operation(document, *where) for where in _OPERATIONS[name]]
    examples = {str(item["example"]) for item in operations if "example" in item}
    fixture: Json = {
        "source": _SOURCES[name],
        "version": version[0] if version else _at(document, "info")["version"],
        "licence": "MIT",
        "operations": operations,
        "definitions": _reachable(_definitions(document), operations),
        "examples": {
            example: _at(document, "components", "examples", example)["value"]
            for example in sorted(examples)
        },
    }
    target = FIXTURES / f"{name}.json"
    target.write_text(json.dumps(fixture, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _operation(document: Json, method: str, path: str) -> Json:
    found = _at(document, "paths", path, method)
    given = [_resolved(document, item) for item in cast("list[Json]", found.get("parameters", []))]
    body = [item for item in given if item["in"] == "body"]  # Swagger 2
    answers = cast("dict[str, Json]", found["responses"])
    good = next(answers[status] for status in sorted(answers) if status.startswith("2"))
    return {
        "method": method.upper(),
        "path": path,
        "parameters": [_parameter(item) for item in given if item["in"] != "body"],
        "body": _plain(body[0]["schema"]) if body else _plain(_json_schema(found, "requestBody")),
        "statuses": sorted(answers),
        **_answer(document, _resolved(document, good)),
    }


def _parameter(given: Json) -> Json:
    kept = {"name", "in", "required", "schema", "type", "enum", "format", "items"}
    parameter = {key: _plain(value) for key, value in given.items() if key in kept}
    if "schema" not in parameter:
        parameter["schema"] = {
            key: parameter.pop(key) for key in ("type", "enum", "format") if key in parameter
        }
    return parameter


def _answer(document: Json, good: Json) -> Json:
    schema = good.get("schema")  # Swagger 2
    if schema is not None:
        return {"answer": _plain(schema)}
    media = _at(good, "content", "application/json")
    examples = cast("dict[str, Json]", media.get("examples", {}))
    if not examples:
        return {}
    return {"example": _last(next(iter(examples.values()))["$ref"])}


def _json_schema(found: Json, member: str) -> object:
    given = found.get(member)
    return _at(cast("Json", given), "content", "application/json")["schema"] if given else None


def _plain(value: object) -> object:
    """The same without words, with references into our own `definitions`."""
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    given = cast("Json", value)
    if isinstance(given.get("$ref"), str):
        return {"$ref": f"#/definitions/{_last(given['$ref'])}"}
    names = given.get("properties")
    plain = {
        key: _plain(item)
        for key, item in given.items()
        if key != "properties" and key not in _WORDS and not key.startswith("x-")
    }
    if isinstance(names, dict):  # here `title` is a name, not words
        plain["properties"] = {k: _plain(v) for k, v in cast("Json", names).items()}
    return plain


def _definitions(document: Json) -> Json:
    found = document.get("definitions") or _at(document, "components", "schemas")
    return {name: _plain(schema) for name, schema in cast("Json", found).items()}


def _reachable(definitions: Json, start: object) -> Json:
    wanted: set[str] = set()
    queue = [start]
    while queue:
        text = json.dumps(queue.pop())
        for name in re.findall(r'"#/definitions/([^"]+)"', text):
            if name not in wanted:
                wanted.add(name)
                queue.append(definitions[name])
    return {name: definitions[name] for name in sorted(wanted)}


def _resolved(document: Json, value: Json) -> Json:
    while isinstance(value.get("$ref"), str):
        value = _at(document, *str(value["$ref"]).removeprefix("#/").split("/"))
    return value


def _at(value: Mapping[str, object], *names: str) -> Json:
    for name in names:
        value = cast("Mapping[str, object]", value[name])
    return cast("Json", value)


def _last(reference: object) -> str:
    return str(reference).rpartition("/")[2]


if __name__ == "__main__":
    main()
