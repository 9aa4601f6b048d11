"""The mapping file, as pydantic reads it: remote field ↔ unified field, entry by entry."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mappings.model import Kind

Transform = str | dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Part):
    """One remote field and the unified field (or fields) it stands for."""

    remote: str = Field("", description="The platform's name of the field; dots reach into nested members.")
    field: str = Field("", description="The unified field.")
    fields: list[str] = Field(
        default_factory=list, description="Several unified fields of one remote one (split_name)."
    )
    direction: Literal["pull", "push", "both"] = Field(
        "pull", description="pull: from the platform; push: to it; both."
    )
    transform: list[Transform] = Field(default_factory=list, description="Named transforms, in reading order.")
    on_blank: Literal["ignore", "clear", "known"] = Field(
        "ignore",
        description="What a blank means: nothing (ignore), that a value was cleared (clear), that it is empty (known).",
    )
    default: Any = Field(None, description="Read this when the platform's field is blank.")
    constant: Any = Field(None, description="Read always this, whatever the platform says.")
    about: str = Field("", description="A remark.")

    @model_validator(mode="after")
    def _one_target(self) -> Entry:
        if bool(self.field) == bool(self.fields):
            raise ValueError("an entry has either `field` or `fields`")
        if not self.remote and self.constant is None:
            raise ValueError("an entry has `remote`, or a `constant`")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The unified fields of this entry."""
        return tuple(self.fields) or (self.field,)


class ObjectMapping(_Part):
    """How the records of one remote object are read and written."""

    kind: Kind = Field(description="What such a record is to us.")
    match: list[str] = Field(default_factory=list, description="Unified fields by which an existing record is found.")
    create_when: str = Field(
        "false", description="CEL over `lead` (of deals `deal` and `lead`): when what has no record here gets one."
    )
    filter: str = Field("", description="CEL over `record`: which pulled records take part.")
    fields: list[Entry] = Field(default_factory=list, description="The entries.")
    constants: dict[str, Any] = Field(default_factory=dict, description="Remote field: value, written on create.")


class MappingFile(_Part):
    """A whole mapping file."""

    platform: str = Field("", description="The platform this mapping is for.")
    objects: dict[str, ObjectMapping] = Field(description="The platform's objects, by the connector's names.")
