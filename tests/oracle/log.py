"""What a log comes to: which events count after each transaction and each rollback, and what the rows are then. Written from the
definitions: a set of events for every position, and rows folded from them, one after the other."""

import copy
from dataclasses import dataclass, field

from model import Place, Row, Rows, number_of
from schema import Schema


@dataclass
class Logged:
    """An event, as `ebb` prints it."""

    number: int
    kind: str
    place: Place
    data: Row
    filled: Row
    moment: str
    """As a column without zone prints it."""

    @property
    def sets(self) -> set[str]:
        return set(self.data) | set(self.filled)


def logged(schema: Schema, line: dict) -> Logged:
    table = next(place for place, one in enumerate(schema.tables) if one.name == line["type"])
    moment = line["timestamp"].removesuffix("Z").rstrip("0").removesuffix(".")
    pointed = {key.column for key in schema.tables[table].foreign_keys} | {schema.tables[table].key}
    inner = lambda row: {
        column: number_of(value) if column in pointed and value is not None else value for column, value in (row or {}).items()
    }
    return Logged(line["id"], line["event"], (table, number_of(line["uuid"])), inner(line["data"]), inner(line["filled"]), moment)


Scope = tuple[int, int | None] | None
"""A table, and a row's number for that row alone; nothing for everything."""


def covers(scope: Scope, place: Place) -> bool:
    return scope is None or scope[0] == place[0] and scope[1] in (None, place[1])


def is_within(scope: Scope, other: Scope) -> bool:
    return other is None or scope is not None and scope[0] == other[0] and other[1] in (None, scope[1])


@dataclass
class Marker:
    """A rollback, by its two ends."""

    first: int
    last: int
    kind: str
    """rollback, undo or redo."""
    scope: Scope
    transaction: frozenset[int] | None
    """The events that it took out or put back, keeping what came after."""
    takes_back: "Marker | None"
    """The rollback that it undoes or redoes."""
    theirs: bool = False
    keeps: int = 0
    """The last event that it keeps, of one that goes back to a position."""
    allows_loss: bool = False


@dataclass
class Position:
    """What the log comes to after a transaction."""

    last: int
    """The transaction's last event; 0 before the first."""
    rows: Rows
    effective: frozenset[int]
    """The ordinary events in effect."""
    hidden: dict[int, frozenset[str]]
    """Columns of events in effect that do not count all the same."""
    markers: tuple[Marker, ...]
    """The rollbacks in effect."""


@dataclass
class Log:
    schema: Schema
    events: dict[int, Logged] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=lambda: [Position(0, {}, frozenset(), {}, ())])
    steps: list[frozenset[int] | Marker] = field(default_factory=list)
    """The transactions and rollbacks that led from one position to the next."""

    @property
    def now(self) -> Position:
        return self.positions[-1]

    def before(self, event: int) -> Position:
        """The last position before the transaction of this event."""
        return max((one for one in self.positions if one.last < event), key=lambda one: one.last)

    def after(self, event: int) -> Position:
        """The position right after the transaction of this event."""
        return min((one for one in self.positions if one.last >= event), key=lambda one: one.last)

    def append(self, events: list[Logged], rows: Rows) -> None:
        self.events |= {event.number: event for event in events}
        numbers = frozenset(event.number for event in events)
        now = self.now
        self.steps.append(numbers)
        self.positions.append(Position(events[-1].number, rows, now.effective | numbers, now.hidden, now.markers))

    def latest(self, kind: str) -> Marker | None:
        return max((one for one in self.now.markers if one.kind == kind), key=lambda one: one.first, default=None)

    def places(self) -> list[Place]:
        """Every row that the log speaks of, in the order of its first event."""
        return list(dict.fromkeys(event.place for event in self.events.values()))

    def transaction(self, event: int) -> frozenset[int]:
        first = self.before(event).last + 1
        return frozenset(number for number in range(first, self.after(event).last + 1) if number in self.events)

    def back(self, to: Position, scope: Scope) -> Position:
        """What going back to a position would come to, of the rows in the scope."""
        now = self.now
        effective, hidden = self._mixed((to.effective, to.hidden), (now.effective, now.hidden), scope)
        rows = {place: row for place, row in to.rows.items() if covers(scope, place)}
        rows |= {place: row for place, row in now.rows.items() if not covers(scope, place)}
        if scope is None:
            markers = to.markers
        else:
            mine = lambda one: not one.transaction and is_within(one.scope, scope)
            markers = (*(one for one in now.markers if not mine(one)), *(one for one in to.markers if mine(one)))
        return Position(to.last, rows, effective, hidden, markers)

    def without(self, transaction: frozenset[int], theirs: bool) -> Position:
        """What it would come to without these events, and with all that came after."""
        now = self.now
        hidden = self._hiding(now.effective, now.hidden, transaction, now.last + 1) if theirs else now.hidden
        return self._with(now.effective - transaction, hidden, now.markers, transaction)

    def cancelled(self, marker: Marker) -> Position:
        """What it would come to as if a rollback had not been that kept what came after."""
        effective, hidden = self._replayed(len(self.steps), frozenset({marker.first}))[-1]
        markers = tuple(one for one in self.now.markers if one is not marker)
        if marker.takes_back:
            markers = (*markers, marker.takes_back)
        return self._with(effective, hidden, markers, marker.transaction)

    def _replayed(self, count: int, left_out: frozenset[int]) -> list[tuple[frozenset[int], dict[int, frozenset[str]]]]:
        """What counts at each of the first positions, when some rollbacks had not been."""
        counts: list = [(frozenset(), {})]
        for place, step in enumerate(self.steps[:count]):
            effective, hidden = counts[-1]
            match step:
                case frozenset():
                    counts.append((effective | step, hidden))
                case Marker() if step.first in left_out:
                    counts.append(counts[-1])
                case Marker(transaction=None):
                    to = counts[[one.last for one in self.positions].index(step.keeps)]
                    counts.append(self._mixed(to, counts[-1], step.scope))
                case Marker(takes_back=None):
                    hidden = self._hiding(effective, hidden, step.transaction, step.first) if step.theirs else hidden
                    counts.append((effective - step.transaction, hidden))
                case _:
                    counts.append(self._replayed(place, left_out | {step.takes_back.first})[-1])
        return counts

    def _mixed(self, to: tuple, now: tuple, scope: Scope) -> tuple:
        """What counts where one counts for the rows in the scope, and the other for all others."""
        here = lambda number: covers(scope, self.events[number].place)
        effective = frozenset(one for one in to[0] if here(one)) | frozenset(one for one in now[0] if not here(one))
        hidden = {one: columns for one, columns in to[1].items() if here(one)}
        return effective, hidden | {one: columns for one, columns in now[1].items() if not here(one)}

    def _hiding(self, effective: frozenset[int], hidden: dict, transaction: frozenset[int], before: int) -> dict:
        """With what the later events of the transaction's rows set in the columns that it set."""
        hidden = dict(hidden)
        for place in {self.events[one].place for one in transaction}:
            own = set().union(*(self.events[one].sets for one in transaction & effective if self.events[one].place == place))
            own -= {"created_on", "updated_on"}
            # Up to the row's next create or delete: from there on it is another one.
            for number in sorted(one for one in effective if max(transaction) < one < before and self.events[one].place == place):
                if self.events[number].kind != "update":
                    break
                hidden[number] = hidden.get(number, frozenset()) | frozenset(own)
        return hidden

    def _with(self, effective: frozenset[int], hidden: dict, markers: tuple[Marker, ...], touched: frozenset[int]) -> Position:
        rows = dict(self.now.rows)
        for place in {self.events[one].place for one in touched}:
            rows.pop(place, None)
            row = self.fold(place, effective, hidden)
            if row is not None:
                rows[place] = row
        return Position(self.now.last, rows, effective, hidden, markers)

    def fold(self, place: Place, effective: frozenset[int], hidden: dict[int, frozenset[str]]) -> Row | None:
        """The row after these events."""
        table = self.schema.tables[place[0]]
        row: Row | None = None
        for number in sorted(one for one in effective if self.events[one].place == place):
            event = self.events[number]
            left_out = hidden.get(number, frozenset())
            data = {column: value for column, value in copy.deepcopy(event.data).items() if column not in left_out}
            filled = {column: value for column, value in copy.deepcopy(event.filled).items() if column not in left_out}
            if event.kind == "delete":
                row = None
            elif event.kind == "create":
                row = dict.fromkeys(table.every_column) | table.added | {table.key: place[1]}
                if table.has_times:
                    row |= {"created_on": event.moment, "updated_on": event.moment}
                row |= data | filled
            elif row is not None:
                if table.has_times:
                    row["updated_on"] = event.moment
                for column, value in data.items():
                    merges = column == "info" and isinstance(value, dict) and isinstance(row["info"], dict)
                    row[column] = {**row["info"], **value} if merges else value
                row |= filled
        return row

    def depends(self, place: Place, transaction: frozenset[int], effective: frozenset[int]) -> bool:
        """Whether a later event of the row could not have been with these events instead of those that count now."""
        own = sorted(one for one in transaction if self.events[one].place == place)
        begun = self.events[own[0]].kind != "create"
        there = {True: begun, False: begun}
        numbers = sorted(one for one in self.now.effective | effective if one >= own[0] and self.events[one].place == place)
        for number in numbers:
            kind = self.events[number].kind
            if number > max(transaction) and there[True] != there[False] and there[False] == (kind == "create"):
                return True
            if number in self.now.effective:
                there[True] = kind != "delete"
            if number in effective:
                there[False] = kind != "delete"
        return False

    def conflicts(self, place: Place, transaction: frozenset[int]) -> set[str]:
        """The columns that the transaction set and a later event has set too, where it matters which of them holds."""
        now = self.now
        later = [one for one in now.effective if one > max(transaction) and self.events[one].place == place]
        if any(self.events[one].kind != "update" for one in later):
            return set()
        own = set().union(*(self.events[one].sets for one in transaction if self.events[one].place == place))
        both = (own & set().union(*(self.events[one].sets for one in later))) - {"created_on", "updated_on"}
        through = lambda end: self.fold(place, frozenset(one for one in now.effective if one < end), now.hidden) or {}
        ours, theirs, then = through(now.last + 1), through(min(transaction)), through(max(transaction) + 1)
        return {
            column
            for column in both
            if ours.get(column) != theirs.get(column)
            and then.get(column) != theirs.get(column)
            and not (isinstance(theirs.get(column) or {}, dict) and self._apart(column, place, transaction, later))
        }

    def _apart(self, column: str, place: Place, transaction: frozenset[int], later: list[int]) -> bool:
        """Whether they set different keys of a JSON column, and nothing else of it."""
        keys = []
        for numbers in (transaction, later):
            events = [self.events[one] for one in numbers if self.events[one].place == place and column in self.events[one].sets]
            if column != "info" or any(one.kind != "update" or column in one.filled or not isinstance(one.data[column], dict) for one in events):
                return False
            keys.append({key for one in events for key in one.data[column]})
        return not keys[0] & keys[1]

    def roll_back(self, to: Position, marker: Marker) -> None:
        self.steps.append(marker)
        self.positions.append(Position(marker.last, to.rows, to.effective, to.hidden, (*to.markers, marker)))
