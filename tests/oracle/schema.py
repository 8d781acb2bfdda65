"""Schemas that a laboratory could have, made at random: foreign keys in any direction, unique values, checks, triggers."""

from dataclasses import dataclass, field
from random import Random

SQLITE, POSTGRES = "sqlite", "postgres"

DEFERRED = " DEFERRABLE INITIALLY DEFERRED"


@dataclass
class ForeignKey:
    column: str
    pointed: int
    """The table that it points at, by its place in the schema."""
    on_delete: str
    """NO ACTION, RESTRICT, CASCADE or SET NULL."""
    deferred: bool
    """Whether it is looked at only when the transaction ends."""


@dataclass
class Table:
    name: str
    has_times: bool
    label_required: bool
    slot_default: int | None
    slot_checked: bool
    tagged: bool
    """Whether a trigger of the table's own keeps `tag` at the label in capitals."""
    uniques: list[list[str]]
    uniques_deferred: bool
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    required: set[str] = field(default_factory=set)
    """The foreign keys' columns that must have a value."""
    apart: bool = False
    """Whether no two rows may have slots that are the same or next to each other."""
    apart_deferred: bool = False
    added: dict[str, object] = field(default_factory=dict)
    """The columns that were added later, with what they were added with."""
    dropped: set[str] = field(default_factory=set)

    @property
    def plain_name(self) -> str:
        return self.name.rsplit(".", 1)[-1]

    @property
    def key(self) -> str:
        return f"{self.plain_name}_id"

    @property
    def every_column(self) -> list[str]:
        """Those that are gone included."""
        times = ["created_on", "updated_on"] if self.has_times else []
        tag = ["tag"] if self.tagged else []
        return [self.key, *times, "label", "slot", "info", *tag, *(key.column for key in self.foreign_keys), *self.added]

    @property
    def columns(self) -> list[str]:
        return [column for column in self.every_column if column not in self.dropped]


@dataclass
class Schema:
    backend: str
    tables: list[Table]

    def sql(self) -> str:
        """The tables first, then what points from one to another, so that they can point in circles."""
        text, uuid, json, time = {
            SQLITE: ("TEXT", "TEXT", "JSON", "TIMESTAMP"),
            POSTGRES: ("text", "uuid", "jsonb", "timestamp"),
        }[self.backend]
        tables, later = [], []
        for table in self.tables:
            parts = [f"{table.key} {uuid} PRIMARY KEY"]
            if table.has_times:
                parts += [f"created_on {time} NOT NULL", f"updated_on {time} NOT NULL"]
            parts.append(f"label {text}" + (" NOT NULL" if table.label_required else ""))
            default = "" if table.slot_default is None else f" DEFAULT {table.slot_default}"
            parts.append("slot integer" + default + (" CHECK (slot >= 0)" if table.slot_checked else ""))
            parts.append(f"info {json}")
            if table.tagged:
                parts.append(f"tag {text}")
            constraints = [
                f"UNIQUE ({', '.join(columns)})" + (DEFERRED if table.uniques_deferred else "") for columns in table.uniques
            ]
            if table.apart:
                apart = "EXCLUDE USING gist (int4range(slot, slot + 2) WITH &&) WHERE (slot IS NOT NULL)"
                constraints.append(apart + (DEFERRED if table.apart_deferred else ""))
            for key in table.foreign_keys:
                parts.append(f"{key.column} {uuid}" + (" NOT NULL" if key.column in table.required else ""))
                pointed = self.tables[key.pointed]
                constraint = f"FOREIGN KEY ({key.column}) REFERENCES {pointed.name} ({pointed.key}) ON DELETE {key.on_delete}"
                constraint += DEFERRED if key.deferred else ""
                if self.backend == SQLITE:
                    constraints.append(constraint)
                else:
                    later.append(f"ALTER TABLE {table.name} ADD {constraint};")
            tables.append(f"CREATE TABLE {table.name} ({', '.join(parts + constraints)});")
            if table.tagged:
                later.append(self._tagging(table))
        schemas = {table.name.split(".")[0] for table in self.tables if "." in table.name}
        return "\n".join([*(f"CREATE SCHEMA {name};" for name in sorted(schemas)), *tables, *later]) + "\n"

    def _tagging(self, table: Table) -> str:
        if self.backend == SQLITE:
            return "\n".join(
                f"CREATE TRIGGER {table.name}_tag_{event.lower()} AFTER {event} ON {table.name} WHEN NEW.tag IS NOT upper(NEW.label)"
                f" BEGIN UPDATE {table.name} SET tag = upper(NEW.label) WHERE {table.key} = NEW.{table.key}; END;"
                for event in ("INSERT", "UPDATE")
            )
        return (
            f"CREATE FUNCTION {table.plain_name}_tag() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN NEW.tag := upper(NEW.label); RETURN NEW; END $$;\n"
            f"CREATE TRIGGER {table.plain_name}_tag BEFORE INSERT OR UPDATE ON {table.name}"
            f" FOR EACH ROW EXECUTE FUNCTION {table.plain_name}_tag();"
        )


def generate(random: Random, backend: str) -> Schema:
    names = ["sample", "spectrum", "batch", "method"][: random.randint(2, 4)]
    if backend == POSTGRES and random.random() < 0.3:
        names = [f"lab.{name}" if random.random() < 0.5 else name for name in names]
    tables = [
        Table(
            name=name,
            has_times=random.random() < 0.5,
            label_required=random.random() < 0.3,
            slot_default=random.choice([None, None, 0, 7]),
            slot_checked=random.random() < 0.3,
            tagged=random.random() < 0.25,
            uniques=random.choice([[], [["label"]], [["slot"]], [["label", "slot"]], [["label"], ["slot"]]]),
            # SQLite has no such constraint.
            uniques_deferred=backend == POSTGRES and random.random() < 0.2,
            apart=backend == POSTGRES and random.random() < 0.15,
            apart_deferred=random.random() < 0.5,
        )
        for name in names
    ]
    for place, table in enumerate(tables):
        for number in range(random.choice([0, 1, 1, 2])):
            pointed = random.randrange(len(tables))
            key = ForeignKey(
                column=f"{tables[pointed].plain_name}_{number}",
                pointed=pointed,
                on_delete=random.choice(["NO ACTION", "NO ACTION", "RESTRICT", "CASCADE", "CASCADE", "SET NULL"]),
                deferred=random.random() < 0.35,
            )
            table.foreign_keys.append(key)
            # One that points at an older table can be asked for: its rows can be made first.
            if pointed < place and key.on_delete != "SET NULL" and random.random() < 0.5:
                table.required.add(key.column)
    return Schema(backend, tables)
