-- The log, and the lock that its writers take in turn.
--
-- Refusals of ebb's own have SQLSTATEs of the class EB; they are listed in ARCHITECTURE.md. Two are those
-- that programs written for earlier event stores of this kind know: 22004 and P0002.

-- It is there already in a database that was taken over from another program.
CREATE TABLE IF NOT EXISTS sourcing.eventstore (
    -- The defaults of id, uuid and timestamp mean "not given": object mappers want columns that have one,
    -- and read the real values back from RETURNING.
    id bigint PRIMARY KEY DEFAULT 0,
    event text NOT NULL,
    type text,
    uuid uuid DEFAULT '00000000-0000-0000-0000-000000000000',
    data jsonb NOT NULL DEFAULT '{}',
    "timestamp" timestamptz NOT NULL DEFAULT '-infinity',
    filled jsonb,
    actor text NOT NULL DEFAULT '',
    origin bigint,
    hash bytea
);

-- No CHECK constraints: every row comes from `accept` or the engine itself, which see to more than those could say, and
-- making them ready costs a single event as much as writing its row.

-- What another program wrote, in a database that was taken over: the events up to an id, how many they are, and their latest
-- timestamp. Among them ids may have gaps and timestamps run against the ids, and rollbacks are no more
-- than the events that they wrote. No row in a database that ebb began.
CREATE TABLE sourcing.taken_over (
    through bigint NOT NULL,
    events bigint NOT NULL,
    latest timestamptz NOT NULL
);

-- No two entries of these are the same, and looking for such on each page that is full takes a tenth of what appending in bulk does.
CREATE INDEX eventstore_row_id ON sourcing.eventstore (type, uuid, id) WITH (deduplicate_items = off);
CREATE INDEX eventstore_timestamp_id ON sourcing.eventstore ("timestamp", id) WITH (deduplicate_items = off);
CREATE INDEX eventstore_marker ON sourcing.eventstore (id) WHERE event IN ('rollback', 'rollback-end');

CREATE FUNCTION sourcing.refuse_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The engine itself writes `filled` of events that it has only just logged.
    IF TG_OP = 'UPDATE' AND (SELECT expanding = pg_trigger_depth() - 1 FROM sourcing.writer) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'EB012',
        MESSAGE = format('the event store is append-only: %s is refused', TG_OP),
        HINT = 'to take something back, append an event or a rollback';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sourcing.eventstore
    FOR EACH STATEMENT EXECUTE FUNCTION sourcing.refuse_change();
-- Always: session_replication_role must not switch it off.
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER append_only;

-- One row. Whoever appends holds the table's lock until the transaction ends, so that ids are without gaps and in the
-- order of the commits. The row is updated once a transaction, which fails with 40001 in a transaction whose snapshot is
-- older than the lock it waited for.
CREATE TABLE sourcing.writer (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    -- The transaction that holds or last held it.
    transaction xid8,
    -- The timestamp of that transaction's events.
    stamp timestamptz,
    -- While a rollback writes its events: the trigger depth of the function that does. Only its own inserts,
    -- one deeper, are taken as they are. Never what a client's own statement is inserted at.
    expanding integer CHECK (expanding > 0),
    -- Whether a transaction has left rows in `waiting` or `explained`, for the next one to clear.
    left_over boolean NOT NULL DEFAULT false
) WITH (fillfactor = 10);

INSERT INTO sourcing.writer DEFAULT VALUES;

-- What says that a write is the engine's own is only written from inside, that is by its triggers: not by the owner's or a superuser's
-- statements either.
CREATE FUNCTION sourcing.refuse_from_outside() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'EB012',
        MESSAGE = format('sourcing.%s is written by the event store itself: %s is refused', TG_TABLE_NAME, TG_OP),
        HINT = 'append an event or a rollback';
END
$$;

CREATE TRIGGER from_inside BEFORE INSERT OR UPDATE OF expanding OR DELETE OR TRUNCATE ON sourcing.writer
    FOR EACH STATEMENT WHEN (pg_catalog.pg_trigger_depth() = 0) EXECUTE FUNCTION sourcing.refuse_from_outside();
ALTER TABLE sourcing.writer ENABLE ALWAYS TRIGGER from_inside;

-- Waits for the lock, unless this transaction holds it already. Returns the last event, id 0 for none, whether this transaction is
-- known to have logged it, and the timestamp that its next one gets.
CREATE FUNCTION sourcing.next_event(
    is_writer boolean, OUT last_id bigint, OUT last_event text, OUT last_is_own boolean, OUT moment timestamptz)
LANGUAGE plpgsql
-- A plan that was made while the log was empty would sort the whole of it for its last event ever after.
SET enable_sort = off
AS $$
DECLARE
    writer sourcing.writer;
    earliest timestamptz;
BEGIN
    IF is_writer THEN
        SELECT e.id, e.event, e."timestamp" >= w.stamp, greatest(w.stamp, e."timestamp") INTO last_id, last_event, last_is_own, moment
          FROM sourcing.writer w LEFT JOIN LATERAL (SELECT * FROM sourcing.eventstore ORDER BY id DESC LIMIT 1) AS e ON true;
    ELSE
        -- The table's lock, not the row's: who waits for a row that a subtransaction has locked goes on waiting for the whole transaction
        -- when that is taken back, and the transaction, when it then waits for the row itself, for whoever waits for it.
        LOCK TABLE sourcing.writer IN SHARE ROW EXCLUSIVE MODE;
        UPDATE sourcing.writer SET transaction = pg_current_xact_id(), stamp = clock_timestamp() RETURNING * INTO writer;
        -- A statement of its own: it must see what was committed while the one before waited.
        SELECT e.id, e.event, greatest(e."timestamp", t.latest) + interval '1 microsecond' INTO last_id, last_event, earliest
          FROM (SELECT max(latest) AS latest FROM sourcing.taken_over) AS t
          LEFT JOIN LATERAL (SELECT * FROM sourcing.eventstore ORDER BY id DESC LIMIT 1) AS e ON true;
        moment := writer.stamp;
        IF moment < earliest THEN
            -- The clock has been put back.
            moment := earliest;
            UPDATE sourcing.writer SET stamp = moment;
        END IF;
        IF writer.left_over THEN
            DELETE FROM sourcing.explained;
            DELETE FROM sourcing.waiting;
            UPDATE sourcing.writer SET left_over = false;
        END IF;
    END IF;
    last_id := coalesce(last_id, 0);
END
$$;

-- Takes the lock, for who wants to look before appending. Returns the last event's id, 0 for none.
CREATE FUNCTION sourcing.take_writer() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (sourcing.next_event((SELECT transaction IS NOT DISTINCT FROM pg_current_xact_id() FROM sourcing.writer))).last_id;
END
$$;

-- Row writes of this transaction that nested events, those that a trigger or a cascade has inserted, explain.
-- Emptied by who takes the lock next.
CREATE UNLOGGED TABLE sourcing.explained (
    transaction xid8 NOT NULL,
    relation oid NOT NULL,
    uuid uuid NOT NULL,
    kind text NOT NULL,
    rows bigint NOT NULL
);

-- Who writes: the role that is logged in, which a client cannot choose, and the person's name if the client gave one.
CREATE FUNCTION sourcing.actor() RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN session_user || coalesce('/' || nullif(current_setting('ebb.person', true), ''), '');
END
$$;

-- The two rights that an INSERT on the event store does not give. They are privileges like any other: whoever may execute
-- the function has the right, and what asks is always the role that is logged in, which a client cannot choose.

-- Importing: giving events timestamps of one's own.
CREATE FUNCTION sourcing.may_import() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN has_function_privilege(session_user, 'sourcing.may_import()'::regprocedure, 'EXECUTE');
END
$$;

-- Rolling back.
CREATE FUNCTION sourcing.may_roll_back() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN has_function_privilege(session_user, 'sourcing.may_roll_back()'::regprocedure, 'EXECUTE');
END
$$;
