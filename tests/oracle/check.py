#!/usr/bin/env python3
"""check.py --ebb PROGRAM [--postgres URL] [--count N] [--seed N]: plays generated histories on generated schemas through
the command line, and compares all that `ebb` says and does with a model that shares nothing with it. Without a URL, on
SQLite files. What fails is made as short as it can be, and printed as Python that plays it again."""

import argparse
import copy
import sys
import time
from random import Random

from history import Alter, Append, Generator, Revert, RollBack, Step, Undo
from log import Log, Marker, Position, Scope, covers, logged
from model import Event, Refused, Rows, apply, check, shown, uuid
from program import Databases, Hangs, NoAnswer
from schema import POSTGRES, SQLITE, Schema, generate


class Mismatch(Exception):
    """The program and the model do not agree."""


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Mismatch(f"{what}: {found!r}, not {wanted!r}")


class Player:
    """Plays one history."""

    def __init__(self, schema: Schema, databases: Databases):
        self.schema = schema
        self.databases = databases
        self.program = databases.fresh(schema)
        self.log = Log(schema)
        self.rollbacks = 0

    def play(self, steps: list[Step]) -> None:
        for number, step in enumerate(steps):
            try:
                match step:
                    case Append():
                        self._append(step)
                    case RollBack():
                        self._roll_back(step)
                    case Revert():
                        self._revert(step)
                    case Alter():
                        self._alter(step)
                    case Undo():
                        self._undo(step)
            except (Mismatch, Hangs, NoAnswer) as mismatch:
                raise Mismatch(f"step {number + 1}, {step}: {mismatch}") from None
        self._compare()

    def _append(self, step: Append) -> None:
        events = [self._possible(event) for event in step.events]
        answer = self.program.run("append", lines=[event.line(self.schema) for event in events])
        # As a column without zone prints it.
        moment = answer.lines[0]["timestamp"].removesuffix("Z").rstrip("0").removesuffix(".") if answer.lines else ""
        unclear = False
        try:
            rows, unclear = apply(self.schema, self.log.now.rows, events, moment)
            refused = None
        except Refused as reason:
            refused = str(reason)
        if answer.code == 0:
            if refused:
                raise Mismatch(f"it must be refused: {refused}")
            ids = [event["id"] for event in answer.lines]
            expect("ids", ids, list(range(self.log.now.last + 1, self.log.now.last + 1 + len(ids))))
            # What came of it is seen after the next rollback, or at the end: that keeps a history short.
            self.log.append([logged(self.schema, line) for line in answer.lines], rows)
        elif not (refused or unclear):
            raise Mismatch(f"it must be accepted: {answer.error}")

    def _possible(self, event: Event) -> Event:
        """Without columns that are gone."""
        gone = self.schema.tables[event.table].dropped
        return Event(event.kind, event.table, event.number, {name: value for name, value in event.data.items() if name not in gone})

    def _alter(self, step: Alter) -> None:
        table = self.schema.tables[step.table]
        if step.drop:
            if step.drop not in table.columns or step.drop == "tag":
                return
            self.databases.alter(f"ALTER TABLE {table.name} DROP COLUMN {step.drop}")
            table.dropped.add(step.drop)
            return
        name = f"added_{len(table.added)}"
        default = "" if step.default is None else f" NOT NULL DEFAULT {step.default}"
        self.databases.alter(f"ALTER TABLE {table.name} ADD COLUMN {name} integer{default}")
        table.added[name] = step.default
        for position in self.log.positions:
            for place, row in position.rows.items():
                if place[0] == step.table:
                    row[name] = step.default

    def _roll_back(self, step: RollBack) -> None:
        head = self.log.now.last
        if head == 0:
            return
        event = 1 + int(step.at * head)
        to = self.log.after(event) if step.keep else self.log.before(event)
        arguments = ["rollback", "--after-event" if step.keep else "--before-event", str(event), "--strategy", step.strategy]
        scope: Scope = None
        if step.only:
            places = self.log.places()
            if not places:
                return
            table, number = places[int(step.of * len(places))]
            scope = (table, number if step.only == "row" else None)
            name = self.schema.tables[table].name
            arguments += ["--only", f"{name}/{uuid(table, number)}" if step.only == "row" else name]
        then = self.log.back(to, scope)
        marker = Marker(0, 0, "rollback", scope, None, None)
        self._take(arguments, then, to.last, step.strategy, marker)

    def _revert(self, step: Revert) -> None:
        events = sorted(self.log.events)
        if not events:
            return
        event = events[int(step.at * len(events))]
        transaction = self.log.transaction(event)
        arguments = ["revert", str(event), *([f"--{step.conflicts}"] if step.conflicts else [])]
        if event not in self.log.now.effective:
            answer = self.program.run(*arguments, "--yes")
            expect("exit code", (answer.code, answer.error and answer.error["code"]), (1, "nothing-to-undo"))
            return
        then = self.log.without(transaction, step.conflicts == "theirs")
        counting = transaction & self.log.now.effective
        places = {self.log.events[one].place for one in counting}
        in_the_way = self._depending(places, counting, then)
        if not step.conflicts and any(self.log.conflicts(place, counting) for place in places if place not in in_the_way):
            in_the_way.add("conflict")
        marker = Marker(0, 0, "rollback", None, transaction, None, step.conflicts == "theirs")
        self._take(arguments, then, self.log.now.last, "minimal", marker, bool(in_the_way))

    def _depending(self, places: set, transaction: frozenset[int], then: Position) -> set:
        return {place for place in places if self.log.depends(place, transaction, then.effective)}

    def _undo(self, step: Undo) -> None:
        command = "redo" if step.again else "undo"
        marker = self.log.latest("undo" if step.again else "rollback")
        arguments = [command, *(["--with-later"] if step.with_later else [])]
        if marker is None:
            answer = self.program.run(*arguments, "--yes")
            expect("exit code", (answer.code, answer.error and answer.error["code"]), (1, "nothing-to-undo"))
            return
        taking = Marker(0, 0, command, marker.scope, marker.transaction, marker, marker.theirs)
        if marker.transaction is not None:
            then = self.log.cancelled(marker)
            counting = marker.transaction & (self.log.now.effective ^ then.effective)
            places = {self.log.events[one].place for one in counting}
            depending = self._depending(places, counting, then)
            self._take(arguments, then, self.log.now.last, "minimal", taking, bool(depending), later=0)
            return
        to = self.log.before(marker.first)
        later = len([one for one in self.log.now.effective if one > marker.last and covers(marker.scope, self.log.events[one].place)])
        then = self.log.back(to, marker.scope)
        self._take(arguments, then, to.last, "minimal", taking, later=later, needs_yes=later > 0 and not step.with_later)

    def _take(
        self,
        arguments: list[str],
        then: Position,
        keeps: int,
        strategy: str,
        marker: Marker,
        in_the_way: bool = False,
        later: int | None = None,
        needs_yes: bool = False,
    ) -> None:
        """Takes something back: the plan must say what the model says, and then it must be so, or be refused."""
        now = self.log.now
        changes = self._changes(now.rows, then.rows)
        lost = self._lost(now.rows, then.rows)
        try:
            check(self.schema, then.rows)
        except Refused:
            in_the_way = True
        answer = self.program.run(*arguments, "--dry-run")
        plan = answer.one
        expect("keeps through", plan["target"]["keeps_through"], keeps)
        expect("head", plan["head"], now.last)
        expect("events undone", plan["events_undone"], len(now.effective - then.effective))
        expect("events reinstated", plan["events_reinstated"], len(then.effective - now.effective))
        if later is not None:
            expect("later events", plan["later_events"], later)
        losses = {(loss["type"], loss["column"]): loss["count"] for loss in plan["losses"]}
        expect("losses", losses, lost)
        # What takes back a rollback that could leave values in the log alone may do so too.
        allowed = marker.takes_back is not None and marker.takes_back.allows_loss
        blocked = in_the_way or bool(lost) and not allowed
        expect("exit code of the plan", answer.code, 3 if blocked else 0)
        expect("whether something stands in the way", bool(plan["blockers"]), blocked)
        found = {(one["type"], one["uuid"]): (one["action"], one["columns"]) for one in plan["changes"]}
        expect("changes", found, changes)
        counts = {table["type"]: (table["removed"], table["brought_back"], table["changed"]) for table in plan["tables"]}
        wanted: dict[str, list[int]] = {}
        for (table, _), (action, _) in changes.items():
            wanted.setdefault(table, [0, 0, 0])[["remove", "bring-back", "change"].index(action)] += 1
        expect("tables", counts, {name: tuple(count) for name, count in wanted.items()})
        whole = marker.scope is None
        is_empty = (marker.transaction is None and keeps == now.last) or not whole and now.effective == then.effective
        if is_empty:
            expect("events to append", plan["events_to_append"], 0)
        elif strategy == "replay":
            expect("events to append", plan["events_to_append"], 2 + len(now.rows) + len(then.effective))
        else:
            expect("events to append", plan["events_to_append"], 2 + len(changes))
        if in_the_way or needs_yes:
            answer = self.program.run(*arguments, "--yes")
            expect("exit code", answer.code, 3)
            self._compare()
            return
        if lost and not allowed:
            arguments = [*arguments, "--allow-loss"]
        answer = self.program.run(*arguments, "--yes")
        if answer.code != 0:
            raise Mismatch(f"it must be done: {answer.error}")
        outcome = answer.one
        expect("events appended", outcome["events_appended"], plan["events_to_append"])
        expect("keeps through", outcome["keeps_through"], keeps)
        if not is_empty:
            marker.first, marker.last = outcome["rollback"], outcome["rollback_end"]
            marker.keeps, marker.allows_loss = keeps, allowed or bool(lost)
            expect("its events", (marker.first, marker.last), (now.last + 1, now.last + plan["events_to_append"]))
            self.log.roll_back(then, marker)
            self.rollbacks += 1
        self._compare()

    def _lost(self, now: Rows, then: Rows) -> dict:
        """Values that have nowhere to go."""
        lost: dict = {}
        for place, row in then.items():
            table = self.schema.tables[place[0]]
            for column in table.dropped:
                value = row.get(column)
                if value is not None and value != now.get(place, {}).get(column):
                    lost[table.name, column] = lost.get((table.name, column), 0) + 1
        return lost

    def _changes(self, now: Rows, then: Rows) -> dict:
        changes = {}
        for place in now.keys() | then.keys():
            table = self.schema.tables[place[0]]
            nothing = dict.fromkeys(table.columns)
            was = shown(self.schema, table, now[place]) if place in now else nothing
            will_be = shown(self.schema, table, then[place]) if place in then else nothing
            columns = {name: {"from": was[name], "to": will_be[name]} for name in table.columns if was[name] != will_be[name]}
            if columns:
                action = "change" if place in now and place in then else "remove" if place in now else "bring-back"
                changes[table.name, uuid(*place)] = (action, columns)
        return changes

    def _compare(self) -> None:
        """The tables, and whether they are what the log says."""
        for place, table in enumerate(self.schema.tables):
            wanted = sorted(
                (shown(self.schema, table, row) for at, row in self.log.now.rows.items() if at[0] == place),
                key=lambda row: row[table.key],
            )
            found = sorted(self.program.run("table", table.name).lines, key=lambda row: row[table.key])
            expect(table.name, found, wanted)
        if not any(table.added or table.dropped for table in self.schema.tables):
            # What differs between an earlier position and now.
            earlier = self.log.positions[len(self.log.positions) // 2]
            lines = self.program.run("diff", str(earlier.last)).lines
            differing = {(one["type"], one["uuid"]): (one["action"], one["columns"]) for one in lines}
            expect(f"difference from #{earlier.last}", differing, self._changes(earlier.rows, self.log.now.rows))
        verified = self.program.run("verify")
        expect("findings", verified.one["findings"], [])
        expect("events", verified.one["events"], self.log.now.last)


def play(databases: Databases, schema: Schema, steps: list[Step]) -> tuple[str | None, int]:
    """Why it fails, and how many rollbacks it had."""
    player = Player(copy.deepcopy(schema), databases)
    try:
        player.play(steps)
        return None, player.rollbacks
    except Mismatch as mismatch:
        return str(mismatch), player.rollbacks
    finally:
        databases.remove()


def shortened(databases: Databases, schema: Schema, steps: list[Step]) -> list[Step]:
    """The same without the steps and events that the failure does not need."""
    smaller = True
    while smaller:
        smaller = False
        for shorter in _shorter(steps):
            if play(databases, schema, shorter)[0]:
                steps, smaller = shorter, True
                break
    return steps


def _shorter(steps: list[Step]):
    for number, step in enumerate(steps):
        yield steps[:number] + steps[number + 1 :]
        if isinstance(step, Append) and len(step.events) > 1:
            for at in range(len(step.events)):
                yield [*steps[:number], Append(step.events[:at] + step.events[at + 1 :]), *steps[number + 1 :]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ebb", required=True)
    parser.add_argument("--postgres")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    backend = POSTGRES if options.postgres else SQLITE
    databases = Databases(options.ebb, options.postgres)
    rollbacks, nested, failed = 0, 0, 0
    try:
        for number in range(options.seed, options.seed + options.count):
            random = Random(number)
            schema = generate(random, backend)
            steps = Generator(random, schema).steps(random.randint(8, 18))
            failure, count = play(databases, schema, steps)
            rollbacks, nested = rollbacks + count, nested + (count >= 3)
            if failure:
                failed += 1
                print(f"seed {number}: {failure}", file=sys.stderr)
                steps = shortened(databases, schema, steps)
                failure, _ = play(databases, schema, steps)
                lines = [f"shortened: {failure}", schema.sql(), *(f"  {step}," for step in steps)]
                print("\n".join(lines), file=sys.stderr, flush=True)
    finally:
        databases.close()
    print(
        f"{backend}: {options.count} histories from seed {options.seed}: {failed} failed; {rollbacks} rollbacks,"
        f" {nested} histories with three or more"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
