"""Whether a value is what a JSON schema says: those words of JSON schema that our OpenAPI description has.

https://json-schema.org/draft/2020-12/json-schema-validation
"""

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def unlike(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Where a value is not what the schema says; members that it does not name are such places, too."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if all(any(unlike(value, each, schemas, path)) for each in schema["anyOf"]):
            yield f"{path}: {value!r} is none of {schema['anyOf']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    fits = not kinds or any(isinstance(value, _TYPES[kind]) for kind in kinds)
    if not fits or (isinstance(value, bool) and kinds and "boolean" not in kinds):
        yield f"{path}: {value!r} is no {' or '.join(kinds)}"
    elif isinstance(value, dict) and schema.get("properties"):
        for name in {*schema.get("required", ()), *value}:
            if name not in value or name not in schema["properties"]:
                yield f"{path}.{name}: {'is not described' if name in value else 'is missing'}"
            else:
                yield from unlike(value[name], schema["properties"][name], schemas, f"{path}.{name}")
    elif isinstance(value, dict) and "additionalProperties" in schema:
        for name, each in value.items():
            yield from unlike(each, schema["additionalProperties"], schemas, f"{path}.{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from unlike(each, schema.get("items", {}), schemas, f"{path}[{number}]")
