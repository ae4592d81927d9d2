"""Holds real answers against api/openapi.yaml: whatever a server sends must be described there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

import yaml
from openapi_schema_validator import OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from internal.server.openapi import openapi_yaml

_URI = "urn:openapi"
_METHODS = ("get", "post", "put", "patch", "delete")

Json = Mapping[str, Any]


@cache
def spec() -> Json:
    """The description, read."""
    return cast("Json", yaml.safe_load(openapi_yaml()))


def operations() -> Iterator[tuple[str, str, Json]]:
    """Every (METHOD, path, operation)."""
    for path, item in spec()["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def check_answer(
    method: str, path: str, status: int, headers: Mapping[str, str], content: bytes
) -> None:
    """
    Fails when the description does not have this answer, or another body or header for it.

    What no operation describes (an unknown path, a method that a path lacks) must be our error.
    """
    kind = headers.get("content-type", "").partition(";")[0]
    template = _template("GET" if method == "HEAD" else method, path)
    if template is None:
        assert status in {400, 401, 404, 405}, f"{method} {path} {status} is not described"
        assert kind == "application/json"
        _check("#/components/schemas/Error", content)
        return
    known = "get" if method == "HEAD" else method.lower()
    pointer = _resolve(f"#/paths/{_escape(template)}/{known}/responses/{status}")
    response = _at(pointer)
    for name, header in response.get("headers", {}).items():
        is_required = (_at(header["$ref"]) if "$ref" in header else header).get("required")
        assert name in headers or not is_required, f"{method} {path} {status} lacks {name}"
    described = response.get("content", {})
    if method == "HEAD" or not described:
        assert method == "HEAD" or content == b"", f"{method} {path} {status} has a body"
        return
    assert kind in described, f"{method} {path} {status} sent {kind}"
    if kind == "application/json":
        _check(f"{pointer}/content/{_escape(kind)}/schema", content)


def check_request(method: str, path: str, content: bytes) -> None:
    """Fails when the description does not allow this body, which the server has taken."""
    template = _template(method, path)
    if template is None:
        return
    where = f"#/paths/{_escape(template)}/{method.lower()}"
    described = _at(where).get("requestBody")
    if described is not None and (content or described.get("required")):
        kind = _escape("application/json")
        _check(f"{where}/requestBody/content/{kind}/schema", content)


def _template(method: str, path: str) -> str | None:
    for known, template, _ in operations():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if known == method and re.fullmatch(pattern, path.removesuffix("/")):
            return template
    return None


def _resolve(pointer: str) -> str:
    """Where the node really is: itself, or what its `$ref` names."""
    reference = _at(pointer).get("$ref")
    return pointer if reference is None else _resolve(reference)


def _at(pointer: str) -> Json:
    found: Any = spec()
    for part in pointer.removeprefix("#/").split("/"):
        name = part.replace("~1", "/")
        assert name in found, f"api/openapi.yaml has no {pointer}"
        found = found[name]
    return cast("Json", found)


def _escape(name: str) -> str:
    return name.replace("/", "~1")


def _check(pointer: str, content: bytes) -> None:
    _validator(pointer).validate(json.loads(content))


@cache
def _validator(pointer: str) -> Any:
    resource = Resource.from_contents(spec(), default_specification=DRAFT202012)
    empty: Registry[Any] = Registry()
    registry = empty.with_resource(_URI, resource)
    checker = OAS31Validator.FORMAT_CHECKER
    schema = {"$ref": f"{_URI}{pointer}"}
    return OAS31Validator(schema, registry=registry, format_checker=checker)
