"""Histories: transactions, rollbacks, reverts, undos and redos at random, and columns that come and go between them."""

from dataclasses import dataclass
from random import Random

from model import Event, Refused, Rows, apply
from schema import Schema


@dataclass
class Append:
    events: list[Event]


@dataclass
class RollBack:
    at: float
    """Which event, as a fraction of the log, so that it names one also when other steps are left out."""
    keep: bool
    """Whether that event is kept."""
    strategy: str
    only: str | None = None
    """Whether only a table, or a row, is taken back: that of the event `of`."""
    of: float = 0.0


@dataclass
class Revert:
    at: float
    conflicts: str | None
    """ours, theirs, or nothing."""


@dataclass
class Alter:
    """A column comes or goes."""

    table: int
    drop: str | None
    default: int | None


@dataclass
class Undo:
    again: bool
    """Whether it is a redo."""
    with_later: bool


Step = Append | RollBack | Revert | Alter | Undo


LABELS = ["C", "CC", "CCO", "c1ccccc1", None]


class Generator:
    """Makes steps that mostly can be done: it follows what the rows would be."""

    def __init__(self, random: Random, schema: Schema):
        self.random = random
        self.schema = schema
        self.rows: Rows = {}
        self.numbers = 0

    def steps(self, count: int) -> list[Step]:
        """A few transactions, then more of them among rollbacks and what takes those back."""
        steps: list[Step] = [self._append() for _ in range(3)]
        while len(steps) < count:
            what = self.random.random()
            if what < 0.4:
                steps.append(self._append())
            elif what < 0.6:
                strategy = self.random.choice(["minimal", "replay"])
                steps.append(RollBack(self.random.random(), self.random.random() < 0.5, strategy))
            elif what < 0.7:
                only = self.random.choice(["table", "row"])
                steps.append(RollBack(self.random.random(), self.random.random() < 0.5, "minimal", only, self.random.random()))
            elif what < 0.78:
                steps.append(Revert(self.random.random(), self.random.choice([None, None, "ours", "theirs"])))
            elif what < 0.8:
                steps.append(self._alter())
            else:
                steps.append(Undo(what > 0.93, self.random.random() < 0.7))
        return steps

    def _alter(self) -> Alter:
        drop = self.random.choice(["info", "tag", None, None])
        return Alter(self.random.randrange(len(self.schema.tables)), drop, self.random.choice([None, 5]))

    def _append(self) -> Append:
        events: list[Event] = []
        rows = self.rows
        wanted = self.random.choice([1, 1, 2, 3, 5, 8])
        for _ in range(wanted * 3):
            more = self._swap(rows) if self.random.random() < 0.08 else [self._event(rows)]
            try:
                # What only waits for a later event to be right is tried as a whole below.
                rows, _ = apply(self.schema, self.rows, events + more, "")
                events += more
            except Refused:
                if self.random.random() < 0.03:
                    return Append(events + more)
                events += self._completed(events, more)
            if len(events) >= wanted:
                break
        try:
            self.rows, _ = apply(self.schema, self.rows, events, "")
        except Refused:
            pass
        return Append(events or [self._event(self.rows)])

    def _completed(self, events: list[Event], more: list[Event]) -> list[Event]:
        """The same with the rows that it points at and that are not there: they come later in the transaction."""
        event = more[-1]
        if event.kind == "delete":
            return []
        for key in self.schema.tables[event.table].foreign_keys:
            number = event.data.get(key.column)
            if number is not None and (key.pointed, number) not in self.rows:
                more = [*more, Event("create", key.pointed, number, self._data(key.pointed, self.rows, True))]
        try:
            apply(self.schema, self.rows, events + more, "")
        except Refused:
            return []
        return more

    def _swap(self, rows: Rows) -> list[Event]:
        """The labels of two rows change hands."""
        table = self.random.randrange(len(self.schema.tables))
        places = [place for place in rows if place[0] == table]
        if len(places) < 2:
            return [self._event(rows)]
        one, other = self.random.sample(places, 2)
        change = lambda place, label: Event("update", table, place[1], {"label": label})
        return [change(one, "between"), change(other, rows[one]["label"]), change(one, rows[other]["label"])]

    def _event(self, rows: Rows) -> Event:
        kind = self.random.choice(["create"] * 4 + ["update"] * 4 + ["delete"] * 2)
        table = self.random.randrange(len(self.schema.tables))
        here = [number for at, number in rows if at == table]
        if kind == "create" or not here:
            self.numbers += 1
            # Now and then one that was there before, or is.
            number = self.random.randint(1, self.numbers) if self.random.random() < 0.2 else self.numbers
            return Event("create", table, number, self._data(table, rows, True))
        number = self.random.choice(here)
        return Event(kind, table, number, {} if kind == "delete" else self._data(table, rows, False))

    def _data(self, table: int, rows: Rows, whole: bool) -> dict[str, object]:
        definition = self.schema.tables[table]
        data: dict[str, object] = {}
        for column, values in [
            ("label", LABELS),
            ("slot", [0, 1, 2, 3, -1, None]),
            ("info", [{"k": 1}, {"l": 2}, {"k": {"deep": 3}}, {"k": None}, [1, 2], None]),
        ]:
            if self.random.random() < 0.6 or whole and column == "label":
                data[column] = self.random.choice(values)
        for key in definition.foreign_keys:
            if self.random.random() < 0.6 or whole and key.column in definition.required:
                there = [number for at, number in rows if at == key.pointed]
                missing = self.numbers + self.random.randint(0, 2)
                data[key.column] = self.random.choice([*there, missing, None] if there else [missing, None])
        return data
