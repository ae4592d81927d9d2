"""
What a host's own API description says of a request; the descriptions are made by `renew.py`.

Stricter than the host: a parameter or a member of a body that the description does not name is a
complaint, because hosts ignore those in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

from jsonschema import Draft4Validator, ValidationError

Json = dict[str, object]

_FIXTURES = Path(__file__).parents[2] / "contract" / "fixtures" / "hosts"


class Description:
    """One host's description, cut down to the operations that are used."""

    def __init__(self, name: str) -> None:
        """*name* is that of a file in tests/contract/fixtures/hosts."""
        document = cast("Json", json.loads((_FIXTURES / f"{name}.json").read_text("utf-8")))
        self._definitions = cast("Json", document["definitions"])
        self._examples = cast("dict[str, Json]", document.get("examples", {}))
        self._operations = cast("list[Json]", document["operations"])

    def example(self, name: str) -> Json:
        """The description's own example of an answer, as a copy."""
        return cast("Json", json.loads(json.dumps(self._examples[name])))

    def complaints(
        self, method: str, path: str, query: Mapping[str, str], body: object
    ) -> list[str]:
        """What is wrong with a request; *path* is below the API's root and still encoded."""
        operation = self._find(method, path)
        if operation is None:
            return [f"there is no {method} {path}"]
        return [
            *_query_faults(cast("list[Json]", operation["parameters"]), query),
            *self._body_faults(operation, body),
        ]

    def answer_faults(self, method: str, path: str, body: object) -> list[str]:
        """What is wrong with the double's own answer, where the description has a schema of it."""
        operation = self._find(method, path)
        if operation is None or "answer" not in operation:
            return []
        return list(self._schema_faults(cast("Json", operation["answer"]), body))

    def _find(self, method: str, path: str) -> Json | None:
        for operation in self._operations:
            pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(str(operation["path"])))
            if operation["method"] == method and re.fullmatch(pattern, path):
                return operation
        return None

    def _body_faults(self, operation: Json, body: object) -> Iterator[str]:
        schema = operation["body"]
        if schema is None:
            if body is not None:
                yield "no body is taken"
            return
        yield from self._schema_faults(cast("Json", schema), body)
        known = self._members(cast("Json", schema))
        if isinstance(body, dict) and known:
            for name in cast("Json", body):
                if name not in known:
                    yield f"body: {name} is unknown"

    def _schema_faults(self, schema: Json, body: object) -> Iterator[str]:
        whole = {**schema, "definitions": self._definitions}
        for fault in _faults(whole, body):
            yield f"body: {fault}"

    def _members(self, schema: Json) -> set[str]:
        """The names of a body's members, in all of its alternatives."""
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.rpartition("/")[2]
            return self._members(cast("Json", self._definitions[name]))
        members = set(cast("Json", schema.get("properties", {})))
        for kind in ("oneOf", "anyOf", "allOf"):
            for part in cast("list[Json]", schema.get(kind, [])):
                members |= self._members(part)
        return members


def _query_faults(parameters: list[Json], query: Mapping[str, str]) -> Iterator[str]:
    known = {str(item["name"]): item for item in parameters if item["in"] == "query"}
    for name, text in query.items():
        if name not in known:
            yield f"query: {name} is unknown"
            continue
        schema = cast("Json", known[name]["schema"])
        value: object = int(text) if schema.get("type") == "integer" and text.isdigit() else text
        if schema.get("type") != "array":
            for fault in _faults(schema, value):
                yield f"query: {name}: {fault}"
    for name, item in known.items():
        if item.get("required") and name not in query:
            yield f"query: {name} is missing"


class _Checks(Protocol):
    """The part of jsonschema's validators that we use; their own types are partly unknown."""

    def iter_errors(self, instance: object) -> Iterator[ValidationError]: ...


def _faults(schema: Json, value: object) -> Iterator[str]:
    validator = cast("_Checks", Draft4Validator(cast("Json", _translated(schema))))
    for fault in validator.iter_errors(value):
        yield f"{fault.json_path}: {fault.message[:300]}"


def _translated(value: object) -> object:
    """OpenAPI 3.0 says `nullable` where JSON Schema has a type `null`."""
    if isinstance(value, list):
        return [_translated(item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    given = {key: _translated(item) for key, item in cast("Json", value).items()}
    if given.pop("nullable", False) is True and isinstance(given.get("type"), str):
        given["type"] = [given["type"], "null"]
    return given
