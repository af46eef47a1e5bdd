"""What every section of the schema is made of: the base class, key(), and the value types that many keys share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from balance.config.schema import scalars as kind

Timeout = Annotated[float, kind.duration(or_off=True)]
Period = Annotated[float, kind.duration()]
Flag = Annotated[bool, kind.FLAG]
Text = Annotated[str, kind.TEXT]
Name = Annotated[str, kind.NAME]
Size = Annotated[int, kind.SIZE]
Count = Annotated[int, kind.integer(0, 1_000_000_000)]
Mode = Annotated[str, kind.choice("tcp", "http")]


def key(what: str, default: object = None, *, required: bool = False) -> Any:
    """One key: its description, and its default as text."""
    about: dict[str, Any] = {} if default is None else {"default": default}
    return Field(default=None, description=what, json_schema_extra=about | ({"required": True} if required else {}))


def _one_or_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


def one_or_list(scalar: kind.Scalar) -> tuple[Any, Any]:
    """The two annotations of a list that may also be given as a single value."""
    schema = {"anyOf": [scalar.schema, kind.VARIABLE, {"type": "array", "items": scalar.schema, "minItems": 1}]}
    return BeforeValidator(_one_or_list), WithJsonSchema(schema)


class Section(BaseModel):
    """A mapping in the file. `section_name` is its heading in the reference, and its key in UNSUPPORTED_KEYS."""

    # Deferred: one validator for the whole file, made when it is read, instead of one a section at each start.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True)
    section_name: ClassVar[str]

    def given(self) -> dict[str, Any]:
        """The keys that the file has, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}
