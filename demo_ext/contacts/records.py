"""Reading and writing records in the transaction of a call, as its user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from taskqueue.operations import User
from taskqueue.spec import shown

from .fields import Field, given
from .ids import RecordId, record_id, user_id
from .modules import BY_NUMBER, DOCUMENTS, MODULES, Module
from .people import BY_NUMBER as PEOPLE
from .people import CREATE, DELETE, RETRIEVE, UPDATE, may, person_of
from .problems import ACCESS_DENIED, INVALID_ID, NOT_FOUND, REFERENCE_INVALID, failed
from .schema import TABLES, crm_module, crm_relation
from .values import check_mandatory, checked


class Records:
    """The records as one user sees them, in one transaction."""

    def __init__(self, session: Session, user: User) -> None:
        self._session = session
        self._user = user
        self._now = datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)

    # --- finding ---

    def named(self, text: object, *, to_write: bool = False) -> RecordId:
        """The id that was sent.

        Arguments:
            to_write: nobody else changes the record until the end of the transaction; else nobody removes it.

        Raises :class:`OperationFailed`, also when there is no such record.
        """
        found = self.parsed(text)
        if not self.exists(found, to_write=to_write):
            raise failed(NOT_FOUND, f"there is no record {found} in {found.module.name}: was it deleted?")
        return found

    @staticmethod
    def parsed(text: object) -> RecordId:
        """The id that was sent, whether there is such a record or not. Raises :class:`OperationFailed`."""
        try:
            return record_id(text)
        except ValueError as error:
            raise failed(INVALID_ID, str(error)) from error

    def exists(self, record: RecordId, *, to_write: bool = False) -> bool:
        """Whether it is there; locked as :meth:`named` says."""
        table = TABLES[record.module.name]
        query = select(table.c.id).where(table.c.id == record.number)
        locked = query.with_for_update(read=not to_write, key_share=not to_write)
        return self._session.scalar(locked) is not None

    def find(self, module: Module, values: Mapping[str, Any], most: int = 2) -> list[RecordId]:
        """Records whose fields have these (stored) values, the oldest first; nobody else changes them from now on."""
        table = TABLES[module.name]
        same = [table.c[name] == value for name, value in values.items()]
        query = select(table.c.id).where(and_(*same)).order_by(table.c.id).limit(most).with_for_update()
        return [RecordId(module, number) for number in self._session.scalars(query)]

    def turn(self, modules: Iterable[Module]) -> None:
        """Be the only one who makes records of these modules until the end of the transaction."""
        for number in sorted({module.number for module in modules}):  # in one order, or two would wait for each other
            mine = crm_module.c.number == number
            self._session.execute(update(crm_module).where(mine).values(given=crm_module.c.given))

    # --- reading ---

    def stored(self, record: RecordId) -> dict[str, Any]:
        """The values of a record as they are stored. Raises :class:`OperationFailed` when there is none."""
        table = TABLES[record.module.name]
        row = self._session.execute(select(table).where(table.c.id == record.number)).mappings().first()
        if row is None:
            raise failed(NOT_FOUND, f"there is no record {record} in {record.module.name}: was it deleted?")
        return dict(row)

    def shown(self, record: RecordId, *, with_names: bool = True) -> dict[str, Any]:
        """A record as clients get it.

        Arguments:
            with_names: of what it refers to also the module and what that is called.
        """
        self.check(record.module, RETRIEVE)
        values = self.stored(record)
        found: dict[str, Any] = {"id": str(record)}
        for field in record.module.fields:
            value = values[field.name]
            found[field.name] = _link(field, value) if field.is_link else given(value)
            if with_names and field.is_link and value is not None:
                found[f"{field.name}ename"] = self._called(field, value)
        return found

    def _called(self, field: Field, number: int) -> dict[str, Any]:
        if field.kind == "owner":
            person = PEOPLE.get(number)
            return {"module": "Users", "reference": person.name if person else ""}
        target = next(module for module in MODULES if module.name == field.refers_to)
        return {"module": target.name, "reference": label(target, self.stored(RecordId(target, number)))}

    def related(self, record: RecordId) -> list[str]:
        """The ids of the documents that belong to a record; of a document, of the records that it belongs to."""
        c = crm_relation.c
        if record.module is DOCUMENTS:
            pairs = select(c.module, c.record).where(c.document == record.number).order_by(c.module, c.record)
            return [str(RecordId(BY_NUMBER[row.module], row.record)) for row in self._session.execute(pairs)]
        numbers = select(c.document).where(c.module == record.module.number, c.record == record.number)
        return [str(RecordId(DOCUMENTS, number)) for number in self._session.scalars(numbers.order_by(c.document))]

    # --- writing ---

    def check(self, module: Module, action: str) -> None:
        """Raise :class:`OperationFailed` unless the user may do that with records of the module."""
        if not may(self._user, module.name, action):
            raise failed(ACCESS_DENIED, f"this user may not {action} records of {module.name}")

    def create(self, module: Module, element: Mapping[str, Any]) -> RecordId:
        """Make a record of an element. Raises :class:`OperationFailed`."""
        self.check(module, CREATE)
        values = {**self._defaults(module), **checked(module, element, self.exists)}
        check_mandatory(module, values)
        related = self._relations(module, element)
        made = RecordId(module, self._next_number(module))
        values |= {module.number_field: f"{module.prefix}{made.number}", "createdtime": self._now}
        table = TABLES[module.name]
        self._session.execute(insert(table).values(id=made.number, modifiedtime=self._now, **values))
        self._relate(made, related)
        return made

    def replace(self, record: RecordId, element: Mapping[str, Any]) -> None:
        """Give all fields of a record the values of an element; empty are those that it does not name."""
        module = record.module
        self.check(module, UPDATE)
        # What is either true or false cannot be empty.
        nothing = {field.name: False if field.kind == "boolean" else None for field in module.fields if field.editable}
        self._write(record, {**nothing, **checked(module, element, self.exists)}, element)

    def change(self, record: RecordId, element: Mapping[str, Any]) -> None:
        """Give those fields of a record that an element names its values."""
        self.check(record.module, UPDATE)
        self._write(record, checked(record.module, element, self.exists), element)

    def mark(self, record: RecordId, **values: Any) -> None:
        """Set fields that only the program writes."""
        table = TABLES[record.module.name]
        change = update(table).where(table.c.id == record.number)
        self._session.execute(change.values(modifiedtime=self._now, **values))

    def mark_once(self, record: RecordId, flag: str, **values: Any) -> bool:
        """Set a flag and more, unless it is set already; whether it was not. Nobody else can do so at the same time."""
        table = TABLES[record.module.name]
        change = update(table).where(table.c.id == record.number, table.c[flag].is_(False))
        done = self._session.execute(change.values({flag: True, "modifiedtime": self._now, **values}))
        return bool(done.rowcount)  # type: ignore[attr-defined]

    def delete(self, record: RecordId) -> None:
        """Remove a record. What refers to it refers to nothing from then on."""
        self.check(record.module, DELETE)
        self._let_go(record)
        table = TABLES[record.module.name]
        self._session.execute(delete(table).where(table.c.id == record.number))

    def move_relations(self, source: RecordId, target: RecordId) -> None:
        """Let the documents of one record belong to another."""
        self._relate(target, [record_id(text) for text in self.related(source)])
        c = crm_relation.c
        mine = and_(c.module == source.module.number, c.record == source.number)
        self._session.execute(delete(crm_relation).where(mine))

    # --- inside ---

    def _write(self, record: RecordId, values: Mapping[str, Any], element: Mapping[str, Any]) -> None:
        check_mandatory(record.module, values, values)
        related = self._relations(record.module, element)
        self.mark(record, **values)
        self._relate(record, related)

    def _defaults(self, module: Module) -> dict[str, Any]:
        found = {field.name: field.default for field in module.fields if field.default is not None}
        caller = person_of(self._user.id)
        return {**found, "assigned_user_id": caller.number} if caller else found

    def _next_number(self, module: Module) -> int:
        mine = crm_module.c.number == module.number
        self._session.execute(update(crm_module).where(mine).values(given=crm_module.c.given + 1))
        return int(self._session.scalars(select(crm_module.c.given).where(mine)).one())

    def _relations(self, module: Module, element: Mapping[str, Any]) -> list[RecordId]:
        sent = element.get("relations") or []
        if not isinstance(sent, Sequence) or isinstance(sent, str):
            raise failed(REFERENCE_INVALID, f"relations is a list of ids, not {shown(sent)}")
        found = [self.named(one) for one in sent]
        for one in found:
            if (module is DOCUMENTS) == (one.module is DOCUMENTS):
                raise failed(
                    REFERENCE_INVALID, f"{one}: only Documents are related to other records, and others to them"
                )
        return found

    def _relate(self, record: RecordId, others: Iterable[RecordId]) -> None:
        present = set(self.related(record))
        for other in dict.fromkeys(others):
            if str(other) not in present:
                document, owner = (record, other) if record.module is DOCUMENTS else (other, record)
                row = {"document": document.number, "module": owner.module.number, "record": owner.number}
                self._session.execute(insert(crm_relation).values(**row))

    def _let_go(self, record: RecordId) -> None:
        for module in MODULES:
            for field in module.fields:
                if field.refers_to == record.module.name:
                    column = TABLES[module.name].c[field.name]
                    change = update(TABLES[module.name]).where(column == record.number)
                    self._session.execute(change.values({field.name: None}))
        c = crm_relation.c
        mine = and_(c.module == record.module.number, c.record == record.number)
        if record.module is DOCUMENTS:
            mine = or_(mine, c.document == record.number)
        self._session.execute(delete(crm_relation).where(mine))


def label(module: Module, values: Mapping[str, Any]) -> str:
    """What people call a record."""
    return " ".join(str(values[name]) for name in module.labels if values[name])


def _link(field: Field, number: int | None) -> str | None:
    if number is None:
        return None
    if field.kind == "owner":
        return user_id(PEOPLE[number])
    return str(RecordId(next(module for module in MODULES if module.name == field.refers_to), number))
