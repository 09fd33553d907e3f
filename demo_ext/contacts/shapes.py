"""What the operations take, with the names that clients of coreBOS know.

Where coreBOS takes JSON in a text (``element``, ``elements``, ``entities``, ``context``, ``file``) or words with commas
between them (``searchOn``, ``updatedfields``, ``ids``, ``crmids``), the object or the list itself may come as well.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from taskqueue.spec import nearest, shown

from .ids import record_id
from .modules import BY_NAME

#: So many records are written in one call at most.
MOST = 10_000


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"this is no JSON: {error}") from None


def _words(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return [word for word in (part.strip() for part in value.split(",")) if word]


def _module(name: str) -> str:
    if name not in BY_NAME:
        raise ValueError(f"there is no module {shown(name)}{nearest(name, BY_NAME)}")
    return name


def _id(text: str) -> str:
    record_id(text)
    return text


def _has_id(element: dict[str, Any]) -> dict[str, Any]:
    if "id" not in element:
        raise ValueError("the element lacks the id of the record, such as 12x37")
    record_id(element["id"])
    return element


ModuleName = Annotated[str, AfterValidator(_module)]
Id = Annotated[str, AfterValidator(_id)]
Element = Annotated[dict[str, Any], BeforeValidator(_from_json)]
ElementWithId = Annotated[Element, AfterValidator(_has_id)]
Words = Annotated[list[str], BeforeValidator(_words)]


class _Data(BaseModel):
    # A misspelt parameter would be passed over in silence.
    model_config = ConfigDict(extra="forbid")


class Create(_Data):
    """The data of create."""

    elementType: ModuleName
    element: Element


class Retrieve(_Data):
    """The data of retrieve."""

    id: Id


class Change(_Data):
    """The data of update and revise."""

    element: ElementWithId


class Upsert(_Data):
    """The data of upsert."""

    elementType: ModuleName
    element: Element
    #: By the values of which fields a record is looked for.
    searchOn: Annotated[list[str], Field(min_length=1), BeforeValidator(_words)]
    #: Which fields a record that was found gets from the element; none: all that it names.
    updatedfields: Words = []


class NewElement(_Data):
    """One of the records that MassCreate makes. What is wrong in it fails it alone."""

    elementType: str
    element: Element
    #: Other elements refer to it as "@{referenceId}".
    referenceId: str = ""
    #: As in upsert: a record that is found is changed.
    searchon: Words = []


class MassCreate(_Data):
    """The data of MassCreate."""

    elements: Annotated[list[NewElement], Field(min_length=1, max_length=MOST), BeforeValidator(_from_json)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> MassCreate:
        names = Counter(one.referenceId for one in self.elements if one.referenceId)
        twice = next((name for name, number in names.items() if number > 1), None)
        if twice is not None:
            raise ValueError(f"two elements have the referenceId {shown(twice)}: each needs one of its own, or none")
        return self


class MassUpdate(_Data):
    """The data of MassUpdate."""

    elements: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST), BeforeValidator(_from_json)]


class MassDelete(_Data):
    """The data of MassDelete."""

    ids: Annotated[list[str], Field(min_length=1, max_length=MOST), BeforeValidator(_words)]


class Describe(_Data):
    """The data of describe."""

    #: One module, or several with commas between them.
    elementType: Annotated[list[ModuleName], Field(min_length=1), BeforeValidator(_words)]


class Related(_Data):
    """The data of getRelatedModulesInfomation."""

    module: ModuleName


class Execute(_Data):
    """The data of ExecuteWorkflow."""

    #: The number of a workflow, or its name.
    workflow: int | str
    entities: Annotated[list[Id], Field(min_length=1, max_length=MOST), BeforeValidator(_from_json)]


class ExecuteWithContext(Execute):
    """The data of ExecuteWorkflowWithContext."""

    #: The values of variables of the workflow.
    context: Annotated[dict[str, Any], BeforeValidator(_from_json)]


class Entity(BaseModel):
    """What becomes of a lead in one module; beside this, values of fields of the new record."""

    model_config = ConfigDict(extra="allow")

    create: bool = True
    name: str = ""
    #: Of an account: also when there is one of that name.
    forcecreate: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """The values of fields."""
        return dict(self.model_extra or {})


class Conversion(_Data):
    """How a lead is converted."""

    leadId: Id
    #: To whom the new records are assigned; None: as the lead.
    assignedTo: str | None = None
    #: To which of them the documents of the lead belong from then on.
    transferRelatedRecordsTo: Literal["Accounts", "Contacts"] = "Contacts"
    entities: dict[Literal["Accounts", "Contacts", "Potentials"], Entity] = {}


class ConvertLead(_Data):
    """The data of convertlead."""

    element: Annotated[Conversion, BeforeValidator(_from_json)]


class SentFile(BaseModel):
    """A file that a client sends."""

    name: str = Field(min_length=1, max_length=150)
    type: str = ""
    size: int | None = None
    #: In base 64.
    content: str


class Convert(_Data):
    """The data of gendoc_convert."""

    #: What is converted: this file, or
    file: Annotated[SentFile | None, BeforeValidator(_from_json)] = None
    #: the note of this record of Documents.
    template: Id | None = None
    #: The records whose fields are put into it, one copy for each; none: it is converted as it is.
    crmids: Annotated[list[str], Field(max_length=1000), BeforeValidator(_words)] = []
    convert_format: Literal["html", "txt"]

    @model_validator(mode="after")
    def _one_source(self) -> Convert:
        if (self.file is None) == (self.template is None):
            raise ValueError("send a file, or the id of a document as template: one of them")
        return self
