"""The JSON schema of the configuration file, for editors that complete and check TOML."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from nportpy.config.schema import File


class _WithoutDefaults(GenerateJsonSchema):
    """The models' defaults are seconds and bytes; the file says "5s" and "256KiB"."""

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def json_schema() -> dict[str, Any]:
    """The schema: tables, keys, words and ranges. What lies between keys is `parse`'s to find."""
    return File.model_json_schema(schema_generator=_WithoutDefaults)
