"""
What is wrong with a request, in the words of its sender: each bad member by its JSON path.

pydantic finds everything in one pass; here its findings become our errors, without the values
(one of them could be a secret).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from internal.errors import BadRequest, Invalid, NotAvailable

ModelT = TypeVar("ModelT", bound=BaseModel)

_NOT_AVAILABLE = "not_available"
_MAX_NAMED = 50
_MAX_PATH = 200
_REST = "..."
"""Where `fields` counts the complaints that it does not name."""

_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "list_type": "must be an array",
    "datetime_type": "must be a time as in RFC 3339, like 2030-01-31T12:00:00Z",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "dict_type": "must be an object",
    "string_pattern_mismatch": "must match {pattern}",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} members",
    "too_long": "must have at most {max_length} members",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}


def complain(text: str) -> PydanticCustomError:
    """A complaint of a validator of ours; *text* follows the member's name: "must be ..."."""
    # The messages of our errors are sentences; here they stand within one.
    return PydanticCustomError("invalid", "{text}", {"text": text.removesuffix(".")})


def complain_not_available(text: str) -> PydanticCustomError:
    """A complaint about what only a later version can do."""
    return PydanticCustomError(_NOT_AVAILABLE, "{text}", {"text": text})


def parse(model: type[ModelT], body: bytes, context: object = None) -> ModelT:
    """
    The model that a JSON body describes; validators get *context*.

    Raises:
        BadRequest: it is no JSON object at all.
        NotAvailable: it uses what only a later version has (its other faults are named too).
        Invalid: some members are wrong; the first 50 are named, the rest is counted.
    """
    try:
        return model.model_validate_json(body, strict=True, context=context)
    except ValidationError as error:
        raise _judge(error.errors(include_url=False, include_input=False)) from None


def _judge(found: list[ErrorDetails]) -> BadRequest | Invalid:
    if found[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not JSON: {found[0]['msg']}.")
    if not found[0]["loc"]:
        return BadRequest("The body must be a JSON object.")
    not_available = [error for error in found if error["type"] == _NOT_AVAILABLE]
    if not_available:  # they give the answer its code, so they come first
        found = not_available + [error for error in found if error["type"] != _NOT_AVAILABLE]
    fields = {_path(error["loc"]): _words(error) for error in found[:_MAX_NAMED]}
    named = "; ".join(f"{path} {words}" for path, words in fields.items())
    if len(found) > _MAX_NAMED:
        fields[_REST] = f"and {len(found) - _MAX_NAMED} more"
        named = f"{named}; {fields[_REST]}"
    if not_available:
        return NotAvailable(f"Not available in this version: {named}.", fields=fields)
    return Invalid(f"The request is not valid: {named}.", fields=fields)


def _path(loc: tuple[int | str, ...]) -> str:
    parts = [part for part in loc if part != "[key]"]  # how pydantic marks a bad key of an object
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)[1:]
    return path if len(path) <= _MAX_PATH else f"{path[: _MAX_PATH - 1]}…"


def _words(error: ErrorDetails) -> str:
    words = _WORDS.get(error["type"])
    context: dict[str, Any] = error.get("ctx", {})
    if context.get("min_length") == 1:
        return "must not be empty"
    return error["msg"] if words is None else words.format(**context)
