"""Works on the Mad Lab with SQLAlchemy and pandas: adds, updates and deletes molecules, then takes it all back.

    python lab.py postgres://localhost/mad_lab

Without an argument, EBB_DATABASE says which database. The rollback takes the whole database back to the moment before
the first new molecule, other people's work included, so use an example database: `ebb -d URL demo --no-tui` makes one.
"""

import os
import sys

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session


class Unexpected(Exception):
    """Something is not as this example expects it."""


def expect(condition, sentence):
    if not condition:
        raise Unexpected(sentence)


# Connecting


def connect(address):
    """An engine for postgres://…; SQLAlchemy wants the name of the driver in the address too."""
    is_postgres = address.startswith(("postgres://", "postgresql://"))
    expect(is_postgres, "that is no address of a PostgreSQL database: give postgres://…")
    return sa.create_engine(sa.make_url(address).set(drivername="postgresql+psycopg"))


def event_class(engine):
    """The class of events. Its attributes are the columns of the event store, which the database describes."""
    expect(sa.inspect(engine).has_table("eventstore", schema="sourcing"), "the database has no event store of ebb's")
    base = automap_base()
    base.prepare(autoload_with=engine, schema="sourcing", reflection_options={"only": ["eventstore"]})
    return base.classes.eventstore


# Writing: every change is an event


def append(engine, events):
    """Inserts events in one transaction. Afterwards they have the id, uuid and timestamp that the server chose."""
    # The flush reads those three back from the INSERT, so there is no need to load the events again after the commit.
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.add_all(events)
        session.flush()
    return events


def add_molecules(engine, Event, smiles):
    return append(engine, [Event(event="create", type="molecule", data={"smiles": one}) for one in smiles])


def add_many_molecules(engine, Event, smiles):
    """Inserts all of them by one statement. Returns the id, uuid and timestamp of each, in the order of the log."""
    rows = [{"event": "create", "type": "molecule", "data": {"smiles": one}} for one in smiles]
    statement = sa.insert(Event).values(rows).returning(Event.id, Event.uuid, Event.timestamp)
    with Session(engine) as session, session.begin():
        # PostgreSQL returns the rows as it has inserted them, which SQL does not promise: the ids do.
        return sorted(session.execute(statement).all())


def update_molecule(engine, Event, uuid, data):
    return append(engine, [Event(event="update", type="molecule", uuid=uuid, data=data)])


def delete_molecule(engine, Event, uuid):
    return append(engine, [Event(event="delete", type="molecule", uuid=uuid)])


def roll_back(engine, Event, timestamp):
    """Takes every table back to what it was before an event's timestamp."""
    # An event of this timestamp or later must be there. Where nothing is to be taken back, nothing is inserted, and the
    # flush fails as it misses the row that it asked for.
    return append(engine, [Event(event="rollback", data={"before": timestamp.isoformat()})])


# Reading: the tables are ordinary tables


def read_table(engine, name):
    """A table, with the uuids of its rows as the index."""
    key = f"{name}_id"
    query = sa.select(sa.text("*")).select_from(sa.table(name)).order_by(sa.column(key))
    with engine.connect() as connection:
        return pd.read_sql(query, connection, index_col=key)


def read_tables(engine):
    return {name: read_table(engine, name) for name in sa.inspect(engine).get_table_names()}


def read_timeline(engine, Event):
    """The events, oldest first, with their ids as the index."""
    query = sa.select(Event.id, Event.timestamp, Event.event, Event.type, Event.uuid, Event.data, Event.actor)
    with engine.connect() as connection:
        return pd.read_sql(query.order_by(Event.id), connection, index_col="id")


# The story


def work(engine):
    Event = event_class(engine)
    tables_before = read_tables(engine)
    expect("molecule" in tables_before, "there is no table molecule: make the Mad Lab with `ebb -d URL demo --no-tui`")
    timeline_before = read_timeline(engine, Event)

    added = add_molecules(engine, Event, ["CCO", "c1ccccc1", "CC(=O)O"])
    check_added(engine, Event, added)
    ethanol, benzene, _ = added

    alkanes = ["C" * length for length in range(3, 15)]
    check_added_many(engine, Event, alkanes, add_many_molecules(engine, Event, alkanes))

    update_molecule(engine, Event, ethanol.uuid, {"metadata": {"name": "ethanol"}})
    check_updated(engine, ethanol)

    delete_molecule(engine, Event, benzene.uuid)
    check_deleted(engine, benzene)

    print("The molecules, after three and then twelve more were added, one updated and one deleted:")
    print(read_table(engine, "molecule")[["smiles", "metadata"]], end="\n\n")

    roll_back(engine, Event, ethanol.timestamp)
    check_rolled_back(engine, Event, tables_before, timeline_before)

    print("The events since then, the rollback's own included:")
    print(read_timeline(engine, Event).loc[ethanol.id :].groupby("event").size().to_string(), end="\n\n")
    print(f"The {len(tables_before)} tables are what they were.")


def check_added(engine, Event, added):
    molecules = read_table(engine, "molecule")
    timeline = read_timeline(engine, Event)
    expect([event.id for event in added] == list(timeline.index[-len(added) :]), "the new events are not the last ones")
    for event in added:
        logged = timeline.loc[event.id]
        expect(event.uuid == logged["uuid"], f"event {event.id} came back with another uuid than it has in the log")
        expect(event.timestamp == logged["timestamp"], f"event {event.id} came back with another timestamp than in the log")
        expect(event.uuid in molecules.index, f"event {event.id} created no molecule {event.uuid}")
        smiles = molecules.loc[event.uuid, "smiles"]
        expect(smiles == event.data["smiles"], f"molecule {event.uuid} is {smiles}, not {event.data['smiles']}")


def check_added_many(engine, Event, smiles, returned):
    molecules = read_table(engine, "molecule")
    timeline = read_timeline(engine, Event)
    expect(len(returned) == len(smiles), f"{len(smiles)} rows were inserted, and {len(returned)} came back")
    logged = timeline.tail(len(smiles))
    expect([row.id for row in returned] == list(logged.index), "the ids that came back are not the last ones, in order")
    expect([row.uuid for row in returned] == list(logged["uuid"]), "other uuids came back than are in the log")
    expect([row.timestamp for row in returned] == list(logged["timestamp"]), "other timestamps came back than are in the log")
    expect(len({row.timestamp for row in returned}) == 1, "one statement's events have more than one timestamp")
    expect(list(molecules.loc[[row.uuid for row in returned], "smiles"]) == smiles, "the molecules are not in the order in which they were given")


def check_updated(engine, created):
    molecule = read_table(engine, "molecule").loc[created.uuid]
    expect(molecule["metadata"] == {"name": "ethanol"}, f"the updated metadata is {molecule['metadata']}")
    expect(molecule["smiles"] == created.data["smiles"], "the update changed a column that it did not name")
    expect(molecule["updated_on"] > molecule["created_on"], "the update did not set updated_on")


def check_deleted(engine, created):
    expect(created.uuid not in read_table(engine, "molecule").index, f"molecule {created.uuid} is still there")


def check_rolled_back(engine, Event, tables_before, timeline_before):
    tables = read_tables(engine)
    expect(tables.keys() == tables_before.keys(), "the rollback added or removed a table")
    for name, table in tables.items():
        expect(table.equals(tables_before[name]), f"after the rollback the table {name} is not what it was")
    # Nothing is taken out of the log: a rollback is recorded as events after the others.
    timeline = read_timeline(engine, Event)
    expect(timeline.head(len(timeline_before)).equals(timeline_before), "the rollback changed events of the past")
    expect(timeline["event"].iloc[-1] == "rollback-end", "the rollback is not the end of the timeline")


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EBB_DATABASE")
    if not address:
        sys.exit("lab.py: which database? Give its address, postgres://…, or set EBB_DATABASE")
    try:
        engine = connect(address)
        try:
            work(engine)
        finally:
            engine.dispose()
    except Unexpected as difference:
        sys.exit(f"lab.py: {difference}")
    except sa.exc.DBAPIError as failure:
        # The database's own sentence; what follows it is the place in the database's functions, and the whole statement.
        sys.exit(f"lab.py: {str(failure.orig).splitlines()[0]}")
    except sa.exc.SQLAlchemyError as failure:
        sys.exit(f"lab.py: {failure}")


if __name__ == "__main__":
    main()
