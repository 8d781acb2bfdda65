-- The log. Timestamps are UTC text with microseconds that sorts as text, JSON is text, uuids are lower-case text.
CREATE TABLE eventstore (
    id INTEGER PRIMARY KEY CHECK (id > 0),
    event TEXT NOT NULL CHECK (event IN ('create', 'update', 'delete', 'rollback', 'rollback-end', 'restore')),
    type TEXT,
    uuid TEXT,
    data TEXT NOT NULL DEFAULT '{}',
    timestamp TEXT NOT NULL,
    filled TEXT,
    actor TEXT NOT NULL,
    origin INTEGER,
    hash BLOB,
    CHECK ((event IN ('rollback', 'rollback-end')) = (type IS NULL)),
    CHECK ((type IS NULL) = (uuid IS NULL))
) STRICT;

-- With the kind, so that among a row's many updates its create is found in the index alone.
CREATE INDEX eventstore_row_id ON eventstore (type, uuid, id, event);
CREATE INDEX eventstore_timestamp_id ON eventstore (timestamp, id);
CREATE INDEX eventstore_marker ON eventstore (id) WHERE event IN ('rollback', 'rollback-end');

CREATE TRIGGER eventstore_no_update BEFORE UPDATE ON eventstore BEGIN
    SELECT RAISE(ABORT, 'the event store is append-only: UPDATE is refused');
END;

CREATE TRIGGER eventstore_no_delete BEFORE DELETE ON eventstore BEGIN
    SELECT RAISE(ABORT, 'the event store is append-only: DELETE is refused');
END;

-- Without this, INSERT OR REPLACE would remove the old event without a word: it fires no delete trigger.
CREATE TRIGGER eventstore_no_replace BEFORE INSERT ON eventstore
WHEN EXISTS (SELECT 1 FROM eventstore WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'the event store is append-only: REPLACE is refused');
END;
