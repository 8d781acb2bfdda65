"""What a relational database makes of events, written from the definitions alone: a state is every row as a dictionary, and each
rule (unique values, foreign keys and what they carry on, checks) looks at the whole of it."""

import copy
from dataclasses import dataclass
from uuid import UUID

from schema import Schema, Table

Row = dict[str, object]
Place = tuple[int, int]
"""The table's place in the schema, and the row's number."""
Rows = dict[Place, Row]


class Refused(Exception):
    """The database must refuse this."""


class Unclear(Exception):
    """Databases differ in whether they refuse this: it depends on the order in which they look at their constraints."""


def uuid(table: int, number: int) -> str:
    return str(UUID(int=(table + 1) << 64 | number))


def number_of(text: str) -> int:
    """The number of the row with this uuid."""
    return UUID(text).int & (1 << 64) - 1


@dataclass
class Event:
    kind: str
    table: int
    number: int
    data: Row
    """Columns; a foreign key's value is the number of a row."""

    def line(self, schema: Schema) -> dict[str, object]:
        """As `ebb append` reads it."""
        table = schema.tables[self.table]
        pointed = {key.column: key.pointed for key in table.foreign_keys}
        data = {
            column: uuid(pointed[column], value) if column in pointed and value is not None else value
            for column, value in self.data.items()
        }
        return {"event": self.kind, "type": table.name, "uuid": uuid(self.table, self.number), "data": data}


def apply(schema: Schema, rows: Rows, events: list[Event], moment: str) -> tuple[Rows, bool]:
    """The rows after a transaction of these events, and whether a database could also have refused it."""
    rows = copy.deepcopy(rows)
    unclear = False
    for event in events:
        try:
            _statement(schema, rows, event, moment)
        except Unclear:
            unclear = True
        _check(schema, rows, at_end=False)
    _check(schema, rows, at_end=True)
    return rows, unclear


def _statement(schema: Schema, rows: Rows, event: Event, moment: str) -> None:
    place = (event.table, event.number)
    table = schema.tables[event.table]
    if event.kind == "create":
        if place in rows:
            raise Refused("it is there")
        row: Row = dict.fromkeys(table.columns) | {column: value for column, value in table.added.items() if column not in table.dropped}
        row[table.key] = event.number
        row["slot"] = table.slot_default
        if table.has_times:
            row["created_on"] = row["updated_on"] = moment
        row.update(copy.deepcopy(event.data))
        rows[place] = row
    elif place not in rows:
        raise Refused("it is not there")
    elif event.kind == "update":
        row = rows[place]
        if table.has_times:
            row["updated_on"] = moment
        for column, value in event.data.items():
            if column == "info" and isinstance(value, dict) and isinstance(row["info"] or {}, dict):
                row["info"] = {**(row["info"] or {}), **value}
            else:
                row[column] = copy.deepcopy(value)
    else:
        _delete(schema, rows, place, moment)
        return
    if table.tagged:
        row["tag"] = None if row["label"] is None else str(row["label"]).upper()


def _delete(schema: Schema, rows: Rows, place: tuple[int, int], moment: str) -> None:
    """Removes the row and what ON DELETE carries on; a row that is changed by that is updated like any other."""
    gone, loosened, todo = {place}, [], [place]
    while todo:
        target = todo.pop()
        for pointing, row in rows.items():
            for key in schema.tables[pointing[0]].foreign_keys:
                if (key.pointed, row[key.column]) != target:
                    continue
                if key.on_delete == "CASCADE" and pointing not in gone:
                    gone.add(pointing)
                    todo.append(pointing)
                elif key.on_delete == "SET NULL":
                    loosened.append((pointing, key.column))
    # A row that goes and is also held back, or changed, by another key: that depends on which of them is looked at first, and ebb, which
    # deletes the rows that go along one by one and before their cause, refuses where one of them is held back.
    unclear = any(pointing in gone for pointing, _ in loosened) or any(
        (key.pointed, row[key.column]) in gone and key.on_delete in ("NO ACTION", "RESTRICT")
        for pointing, row in rows.items()
        if pointing in gone
        for key in schema.tables[pointing[0]].foreign_keys
    )
    # RESTRICT is looked at before anything is carried on, in SQLite and since PostgreSQL 18 for the row itself too.
    unclear |= any(
        (key.pointed, rows[one][key.column]) == one and key.on_delete == "RESTRICT"
        for one in gone
        for key in schema.tables[one[0]].foreign_keys
    )
    for pointing, column in loosened:
        if pointing not in gone:
            rows[pointing][column] = None
            if schema.tables[pointing[0]].has_times:
                rows[pointing]["updated_on"] = moment
    held_back = any(
        (key.pointed, row[key.column]) in gone and key.on_delete == "RESTRICT"
        for pointing, row in rows.items()
        if pointing not in gone
        for key in schema.tables[pointing[0]].foreign_keys
    )
    if held_back:
        raise Refused("RESTRICT")
    for one in gone:
        del rows[one]
    if unclear:
        raise Unclear


def _check(schema: Schema, rows: Rows, at_end: bool) -> None:
    """The constraints that are looked at after each statement, or when the transaction ends."""
    for place, row in rows.items():
        table = schema.tables[place[0]]
        if not at_end:
            if table.label_required and row["label"] is None or any(row[column] is None for column in table.required):
                raise Refused("NOT NULL")
            if table.slot_checked and row["slot"] is not None and row["slot"] < 0:
                raise Refused("CHECK")
        for key in table.foreign_keys:
            pointed = row[key.column]
            # RESTRICT is not deferred where a row goes, but is where one comes.
            if key.deferred == at_end and pointed is not None and (key.pointed, pointed) not in rows:
                raise Refused(f"{table.name}.{key.column}")
    for place, table in enumerate(schema.tables):
        if table.apart and table.apart_deferred == at_end:
            slots = sorted(row["slot"] for at, row in rows.items() if at[0] == place and row["slot"] is not None)
            if any(other - one < 2 for one, other in zip(slots, slots[1:])):
                raise Refused("EXCLUDE")
        if table.uniques_deferred == at_end:
            for columns in table.uniques:
                _check_unique(columns, [row for at, row in rows.items() if at[0] == place])


def _check_unique(columns: list[str], rows: list[Row]) -> None:
    held = [tuple(row[column] for column in columns) for row in rows]
    held = [value for value in held if None not in value]
    if len(held) != len(set(held)):
        raise Refused("UNIQUE")


def shown(schema: Schema, table: Table, row: Row) -> Row:
    """The row as ebb prints it."""
    places = {key.column: key.pointed for key in table.foreign_keys} | {table.key: schema.tables.index(table)}
    return {
        column: uuid(places[column], value) if column in places and value is not None else value
        for column, value in row.items()
        if column in table.columns
    }


def check(schema: Schema, rows: Rows) -> None:
    """Whether a database could hold these rows."""
    _check(schema, rows, at_end=False)
    _check(schema, rows, at_end=True)
