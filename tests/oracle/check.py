#!/usr/bin/env python3
"""check.py --ebb PROGRAM [--postgres URL] [--count N] [--seed N]: plays generated histories on generated schemas through
the command line, and compares all that `ebb` says and does with a model that shares nothing with it. Without a URL, on
SQLite files. What fails is made as short as it can be, and printed as Python that plays it again."""

import argparse
import sys
import time
from random import Random

from history import Append, Generator, Log, Position, RollBack, Step, Undo
from model import Refused, Rows, apply, shown, uuid
from program import Databases, Hangs, Program
from schema import POSTGRES, SQLITE, Schema, generate


class Mismatch(Exception):
    """The program and the model do not agree."""


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Mismatch(f"{what}: {found!r}, not {wanted!r}")


class Player:
    """Plays one history."""

    def __init__(self, schema: Schema, program: Program):
        self.schema = schema
        self.program = program
        self.log = Log()
        self.rollbacks = 0

    def play(self, steps: list[Step]) -> None:
        for number, step in enumerate(steps):
            try:
                match step:
                    case Append():
                        self._append(step)
                    case RollBack():
                        self._roll_back(step)
                    case Undo():
                        self._undo(step)
            except (Mismatch, Hangs) as mismatch:
                raise Mismatch(f"step {number + 1}, {step}: {mismatch}") from None
        self._compare()

    def _append(self, step: Append) -> None:
        answer = self.program.run("append", lines=[event.line(self.schema) for event in step.events])
        # As a column without zone prints it.
        moment = answer.lines[0]["timestamp"].removesuffix("Z").rstrip("0").removesuffix(".") if answer.lines else ""
        unclear = False
        try:
            rows, unclear = apply(self.schema, self.log.now.rows, step.events, moment)
            refused = None
        except Refused as reason:
            refused = str(reason)
        if answer.code == 0:
            if refused:
                raise Mismatch(f"it must be refused: {refused}")
            ids = [event["id"] for event in answer.lines]
            expect("ids", ids, list(range(self.log.now.last + 1, self.log.now.last + 1 + len(ids))))
            # What came of it is seen after the next rollback, or at the end: that keeps a history short.
            self.log.append(ids, rows)
        elif not (refused or unclear):
            raise Mismatch(f"it must be accepted: {answer.error}")

    def _roll_back(self, step: RollBack) -> None:
        head = self.log.now.last
        if head == 0:
            return
        event = 1 + int(step.at * head)
        to = self.log.after(event) if step.keep else self.log.before(event)
        arguments = ["rollback", "--after-event" if step.keep else "--before-event", str(event), "--strategy", step.strategy]
        plan = self._plan(arguments, to, step.strategy)
        self._execute([*arguments, "--yes"], plan, to, "rollback")

    def _undo(self, step: Undo) -> None:
        command = "redo" if step.again else "undo"
        marker = self.log.latest("undo" if step.again else "rollback")
        arguments = [command, *(["--with-later"] if step.with_later else [])]
        if marker is None:
            answer = self.program.run(*arguments, "--yes")
            expect("exit code", (answer.code, answer.error and answer.error["code"]), (1, "nothing-to-undo"))
            return
        to = self.log.before(marker.first)
        later = len([event for event in self.log.now.effective if event > marker.last])
        plan = self._plan(arguments, to, "minimal")
        expect("later events", plan["later_events"], later)
        if later and not step.with_later:
            answer = self.program.run(*arguments, "--yes")
            expect("exit code without --with-later", answer.code, 3)
            self._compare()
            return
        self._execute([*arguments, "--yes"], plan, to, command)

    def _plan(self, arguments: list[str], to: Position, strategy: str) -> dict:
        """The plan, which must say what the model says."""
        answer = self.program.run(*arguments, "--dry-run")
        now = self.log.now
        expect("exit code of the plan", answer.code, 0)
        plan = answer.one
        expect("keeps through", plan["target"]["keeps_through"], to.last)
        expect("head", plan["head"], now.last)
        expect("events undone", plan["events_undone"], len(now.effective - to.effective))
        expect("events reinstated", plan["events_reinstated"], len(to.effective - now.effective))
        expect("blockers", plan["blockers"], [])
        changes = self._changes(now.rows, to.rows)
        found = {(one["type"], one["uuid"]): (one["action"], one["columns"]) for one in plan["changes"]}
        expect("changes", found, changes)
        counts = {table["type"]: (table["removed"], table["brought_back"], table["changed"]) for table in plan["tables"]}
        wanted: dict[str, list[int]] = {}
        for (table, _), (action, _) in changes.items():
            wanted.setdefault(table, [0, 0, 0])[["remove", "bring-back", "change"].index(action)] += 1
        expect("tables", {name: count for name, count in counts.items() if any(count)}, {name: tuple(count) for name, count in wanted.items()})
        if to.last == now.last:
            expect("events to append", plan["events_to_append"], 0)
        elif strategy == "replay":
            expect("events to append", plan["events_to_append"], 2 + len(now.rows) + len(to.effective))
        else:
            expect("events to append", plan["events_to_append"], 2 + len(changes))
        return plan

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

    def _execute(self, arguments: list[str], plan: dict, to: Position, kind: str) -> None:
        answer = self.program.run(*arguments)
        if answer.code != 0:
            raise Mismatch(f"it must be done: {answer.error}")
        outcome = answer.one
        expect("events appended", outcome["events_appended"], plan["events_to_append"])
        expect("keeps through", outcome["keeps_through"], to.last)
        if plan["events_to_append"]:
            first, last = outcome["rollback"], outcome["rollback_end"]
            expect("its events", (first, last), (self.log.now.last + 1, self.log.now.last + plan["events_to_append"]))
            self.log.roll_back(to, first, last, kind)
            self.rollbacks += 1
        self._compare()

    def _compare(self) -> None:
        """The tables, and whether they are what the log says."""
        for place, table in enumerate(self.schema.tables):
            wanted = sorted(
                (shown(self.schema, table, row) for at, row in self.log.now.rows.items() if at[0] == place),
                key=lambda row: row[table.key],
            )
            found = sorted(self.program.run("table", table.name).lines, key=lambda row: row[table.key])
            expect(table.name, found, wanted)
        verified = self.program.run("verify")
        expect("findings", verified.one["findings"], [])
        expect("events", verified.one["events"], self.log.now.last)


def play(databases: Databases, schema: Schema, steps: list[Step]) -> tuple[str | None, int]:
    """Why it fails, and how many rollbacks it had."""
    player = Player(schema, databases.fresh(schema))
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
