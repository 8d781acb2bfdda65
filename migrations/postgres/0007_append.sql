-- Appending events: one at a time by anybody's INSERT, or many at once by `append`.
--
-- `accept` runs before each row that is inserted into the event store, `append` is called by programs. Both belong to the
-- event store's owner and run with that role's rights; every name in them is pinned, and so is every setting that changes how
-- a value is read or written as text.
--
-- Events that only concern their own row wait until their statement ends, or until one comes that does not, and are then
-- applied in runs of one kind on one table: a statement for a thousand rows costs little more than one for one row.

-- How many events the statement under way has inserted.
CREATE SEQUENCE sourcing.inserted MINVALUE 0;

-- Only the engine gives ids. This runs for every row that it writes, with the rights of whoever inserts: it is as
-- short as can be, and every name in it is qualified.
CREATE FUNCTION sourcing.refuse_given_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT w.expanding OPERATOR(pg_catalog.=) (pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.-) 1) FROM sourcing.writer w) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'EB008',
        MESSAGE = pg_catalog.concat_ws(' ', NEW.event, NEW.type) OPERATOR(pg_catalog.||) ': id, filled, actor, origin and hash are the event store''s to give';
END
$$;
GRANT SELECT ON sourcing.writer TO PUBLIC;

-- Applies an event before it is logged, those that wait first. Returns it as it will be logged.
CREATE FUNCTION sourcing.accept_at_once(new_event sourcing.eventstore, given_moment timestamptz) RETURNS sourcing.eventstore
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
SET lc_monetary = 'C'
SET xmloption = 'content'
SET array_nulls = on
SET quote_all_identifiers = off
-- The planner takes a run for a large query, and compiling it takes longer than running it.
SET jit = off
AS $$
DECLARE
    not_given constant uuid := '00000000-0000-0000-0000-000000000000';
    what constant text := concat_ws(' ', new_event.event, new_event.type, nullif(new_event.uuid, not_given));
    shape sourcing.shape;
BEGIN
    PERFORM sourcing.apply_waiting();
    shape := sourcing.locked_shape(new_event.type);
    IF shape.relation IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB001', TABLE = new_event.type,
            MESSAGE = format('%s: there is no table %s', what, to_jsonb(new_event.type));
    ELSIF shape.key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB002', TABLE = new_event.type,
            MESSAGE = format('%s: the table %s takes no part: %s', what, new_event.type, shape.reason);
    END IF;
    IF coalesce(new_event.uuid, not_given) = not_given THEN
        IF new_event.event <> 'create' THEN
            RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'No uuid has been provided',
                DETAIL = what,
                HINT = 'an update and a delete say which row they mean';
        END IF;
        new_event.uuid := CASE WHEN new_event.data ? shape.key
            THEN (sourcing.converted(what, shape, new_event.data) ->> shape.key)::uuid END;
        new_event.uuid := coalesce(new_event.uuid, gen_random_uuid());
    END IF;
    new_event.filled := sourcing.apply(what, shape, new_event.event, new_event.uuid, new_event.data, new_event."timestamp", given_moment);
    -- Last: what a cascade or a trigger of the table has appended comes before its cause.
    new_event.id := (sourcing.next_event(true)).last_id + 1;
    RETURN new_event;
END
$$;

-- Any event: returns it as it will be logged, null when nothing is to be logged.
CREATE FUNCTION sourcing.accept_with_care(new_event sourcing.eventstore) RETURNS sourcing.eventstore
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- As in `apply_waiting`.
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    not_given constant uuid := '00000000-0000-0000-0000-000000000000';
    what constant text := concat_ws(' ', new_event.event, new_event.type, nullif(new_event.uuid, not_given));
    given_moment constant timestamptz := coalesce(new_event."timestamp", '-infinity');
    writer sourcing.writer;
    last record;
    latest timestamptz;
    seen record;
BEGIN
    SELECT * INTO writer FROM sourcing.writer;
    IF current_setting('session_replication_role') <> 'origin' THEN
        RAISE EXCEPTION USING ERRCODE = '55000',
            MESSAGE = format('%s: session_replication_role is %s, so the tables'' constraints would not be checked', what,
                current_setting('session_replication_role')),
            HINT = 'set it to origin';
    END IF;
    last := sourcing.next_event(writer.transaction IS NOT DISTINCT FROM pg_current_xact_id());
    IF writer.expanding IS NOT NULL OR last.last_event = 'rollback' THEN
        -- One that another program wrote is no more than an event.
        IF writer.expanding IS NOT NULL OR NOT EXISTS (SELECT FROM sourcing.taken_over WHERE through >= last.last_id) THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005',
                MESSAGE = format('%s: nothing can follow a rollback in the same statement', what),
                HINT = 'insert the rollback alone, or last';
        END IF;
    END IF;
    -- Those that wait come before one that could be refused here, with their own refusals.
    IF (new_event.event IN ('create', 'update', 'delete') AND new_event.type IS NOT NULL AND jsonb_typeof(new_event.data) = 'object'
        AND coalesce(new_event.id, 0) = 0 AND new_event.filled IS NULL AND new_event.origin IS NULL AND new_event.hash IS NULL
        AND coalesce(new_event.actor, '') = '') IS NOT TRUE
    THEN
        PERFORM sourcing.apply_waiting();
    END IF;
    IF new_event.event IS NULL OR new_event.event NOT IN ('create', 'update', 'delete', 'rollback', 'rollback-end', 'restore') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB007',
            MESSAGE = format('there is no event kind %s: it is create, update, delete or rollback', coalesce(to_jsonb(new_event.event), 'null'));
    ELSIF new_event.event IN ('rollback-end', 'restore') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB009',
            MESSAGE = format('%s: only a rollback writes a %s', what, new_event.event);
    ELSIF coalesce(new_event.id, 0) <> 0 OR new_event.filled IS NOT NULL OR new_event.origin IS NOT NULL OR new_event.hash IS NOT NULL
          OR coalesce(new_event.actor, '') <> '' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB008',
            MESSAGE = format('%s: id, filled, actor, origin and hash are the event store''s to give', what);
    END IF;
    new_event.data := coalesce(new_event.data, '{}');
    IF jsonb_typeof(new_event.data) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005',
            MESSAGE = format('%s: data must be a JSON object, not %s', what, left(new_event.data::text, 200));
    END IF;

    IF given_moment = '-infinity' THEN
        new_event."timestamp" := last.moment;
    ELSIF NOT sourcing.may_import() THEN
        PERFORM sourcing.apply_waiting();
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('%s: the role %s may not give a timestamp', what, session_user),
            HINT = 'leave it out; only the event store''s owner imports';
    ELSE
        latest := greatest((SELECT "timestamp" FROM sourcing.eventstore WHERE id = last.last_id), (SELECT t.latest FROM sourcing.taken_over t));
        IF NOT isfinite(given_moment) OR given_moment < latest OR given_moment >= '9999-01-01 00:00:00+00' THEN
            PERFORM sourcing.apply_waiting();
            RAISE EXCEPTION USING ERRCODE = 'EB010',
                MESSAGE = format('%s: its timestamp %s is %s', what, given_moment,
                    CASE WHEN NOT isfinite(given_moment) THEN 'no moment'
                         WHEN given_moment < latest THEN 'earlier than the last event''s, ' || latest
                         ELSE 'in the year 9999 or later, and no later event could follow it' END);
        END IF;
    END IF;
    new_event.actor := sourcing.actor();

    IF new_event.event = 'rollback' THEN
        IF new_event.type IS NOT NULL OR coalesce(new_event.uuid, not_given) <> not_given THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'a rollback concerns no row: leave out type and uuid';
        END IF;
        new_event.uuid := NULL;
        new_event.data := sourcing.accept_rollback(new_event.data);
        new_event.id := last.last_id + 1;
        IF last.last_id = 0 OR sourcing.position_before(sourcing.moment_before(new_event.data), last.last_id + 1) = last.last_id THEN
            -- Nothing comes after the target: nothing is appended.
            RETURN NULL;
        END IF;
        RETURN new_event;
    END IF;

    IF new_event.type IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = format('%s: the type, which is the table, is missing', what);
    END IF;
    -- The first few are applied at once: most statements insert no more, and what they return is final then. So are those that a trigger inserts,
    -- for the event that it belongs to looks at what they have done.
    IF pg_trigger_depth() = 1 AND nextval('sourcing.inserted') > 3 THEN
        SELECT may_wait, constants, key INTO seen FROM sourcing.seen
         WHERE type = new_event.type AND transaction = pg_current_xact_id() AND catalogue_writes = sourcing.catalogue_writes();
        IF FOUND AND new_event.event = ANY (seen.may_wait) AND (new_event.event = 'create' OR coalesce(new_event.uuid, not_given) <> not_given)
           AND (new_event.event <> 'create' OR coalesce(new_event.uuid, not_given) <> not_given OR NOT new_event.data ? seen.key)
        THEN
            IF coalesce(new_event.uuid, not_given) = not_given THEN
                new_event.uuid := gen_random_uuid();
            END IF;
            new_event.id := last.last_id + 1;
            IF new_event.event = 'create' AND seen.constants <> '{}' THEN
                new_event.filled := nullif(seen.constants - ARRAY(SELECT jsonb_object_keys(new_event.data)), '{}');
            END IF;
            PERFORM sourcing.let_wait(new_event.id);
            RETURN new_event;
        END IF;
    END IF;

    RETURN sourcing.accept_at_once(new_event, given_moment);
END
$$;

-- Before each row that anybody inserts. Most events are foreseen, concern only their own row, and are dealt with here by as few looks and
-- statements as possible; whatever is out of the ordinary is left to `accept_with_care`.
CREATE FUNCTION sourcing.accept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Its few looks are the same each time, and planning one takes longer than it does.
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    known record;
    last record;
    holds boolean;
    columns text[];
    written bigint;
BEGIN
    SELECT w.transaction IS NOT DISTINCT FROM pg_current_xact_id() AS is_writer, w.expanding,
           (SELECT NOT o.applied FROM sourcing.waiting o ORDER BY o.first DESC, o.applied DESC LIMIT 1) AS others_wait,
           s.transaction, s.catalogue_writes, s.fingerprint, s.relation, s.quoted, s.foreseen, s.one, s.may_wait, s.constants
      INTO known
      FROM sourcing.writer w LEFT JOIN sourcing.seen s ON s.type = NEW.type;
    IF known.expanding IS NULL AND pg_trigger_depth() = 1 AND NEW.event = ANY (known.may_wait)
       AND NEW."timestamp" = '-infinity' AND NEW.filled IS NULL AND NEW.actor = '' AND NEW.origin IS NULL AND NEW.hash IS NULL
       AND (NEW.event = 'create' OR NEW.uuid <> '00000000-0000-0000-0000-000000000000')
       AND jsonb_typeof(NEW.data) = 'object' AND sourcing.is_foreseen(known.foreseen, NEW.event, NEW.data)
       AND current_setting('session_replication_role') = 'origin' AND current_setting('track_counts') = 'on'
       -- Others have to look whether the table is still what their snapshot says.
       AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
    THEN
        last := sourcing.next_event(known.is_writer);
        -- That the table is what it was when it was seen: in this transaction it cannot have changed without a trace.
        holds := known.transaction = pg_current_xact_id() AND known.catalogue_writes = sourcing.catalogue_writes();
        IF NOT holds AND to_regclass(known.quoted) = known.relation THEN
            EXECUTE 'LOCK TABLE ' || known.quoted || ' IN ROW EXCLUSIVE MODE';
            holds := known.fingerprint = sourcing.fingerprint(known.relation);
            -- Noted for the third event and those that come after it: most transactions have just one.
            IF holds AND last.last_is_own THEN
                UPDATE sourcing.seen s SET transaction = pg_current_xact_id(), catalogue_writes = sourcing.catalogue_writes() WHERE s.type = NEW.type;
            END IF;
        END IF;
        IF holds AND last.last_event IS DISTINCT FROM 'rollback' THEN
            NEW.id := last.last_id + 1;
            NEW."timestamp" := last.moment;
            NEW.actor := sourcing.actor();
            columns := ARRAY(SELECT jsonb_object_keys(NEW.data));
            IF NEW.event = 'create' THEN
                IF coalesce(NEW.uuid, '00000000-0000-0000-0000-000000000000') = '00000000-0000-0000-0000-000000000000' THEN
                    NEW.uuid := gen_random_uuid();
                END IF;
                NEW.filled := nullif(known.constants - columns, '{}');
            END IF;
            -- The first few are written at once: most statements insert no more.
            IF known.others_wait OR nextval('sourcing.inserted') > 3 THEN
                IF known.others_wait IS DISTINCT FROM true THEN
                    PERFORM sourcing.let_wait(NEW.id);
                END IF;
                RETURN NEW;
            END IF;
            EXECUTE sourcing.statement(known.one, NEW.event, columns)
              USING NEW.uuid, NEW.data, NEW."timestamp";
            GET DIAGNOSTICS written = ROW_COUNT;
            IF written = 1 THEN
                RETURN NEW;
            END IF;
            -- There is no such row, or there is one already.
            NEW.id := 0;
            NEW."timestamp" := '-infinity';
            NEW.actor := '';
            NEW.filled := NULL;
        END IF;
    END IF;
    RETURN sourcing.accept_with_care(NEW);
END
$$;

-- In the order of their names: what `accept` makes of a row has an id. Rows that the engine writes by the thousand are told apart without looking:
-- only from inside a trigger, by a role that could write what `refuse_given_id` looks at, and where the engine says that it does. (That
-- last is no protection, as anybody can say so; it keeps such a role's own triggers from giving ids by mistake.)
CREATE TRIGGER a_refuse_given_id BEFORE INSERT ON sourcing.eventstore FOR EACH ROW
    WHEN (NEW.id <> 0 AND (pg_catalog.pg_trigger_depth() <> 1 OR pg_catalog.current_setting('ebb.expanding', true) IS DISTINCT FROM 'batch'
                           OR NOT pg_catalog.has_table_privilege('sourcing.writer'::pg_catalog.regclass, 'UPDATE')))
    EXECUTE FUNCTION sourcing.refuse_given_id();
CREATE TRIGGER b_accept BEFORE INSERT ON sourcing.eventstore FOR EACH ROW
    WHEN (NEW.id IS NULL OR NEW.id = 0) EXECUTE FUNCTION sourcing.accept();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER a_refuse_given_id;
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER b_accept;

-- At the beginning of each statement: one that failed has left its count behind, which nothing takes back. (Another session's,
-- at work meanwhile, is counted anew: a few more of its events are applied at once.) As short as can be, and with every name qualified.
CREATE FUNCTION sourcing.begin_statement() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM setval('sourcing.inserted', 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER begin_statement BEFORE INSERT ON sourcing.eventstore FOR EACH STATEMENT EXECUTE FUNCTION sourcing.begin_statement();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER begin_statement;

-- At the end of each statement.
CREATE FUNCTION sourcing.finish_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce((SELECT NOT applied FROM sourcing.waiting ORDER BY first DESC, applied DESC LIMIT 1), false)
       AND (SELECT expanding IS DISTINCT FROM pg_trigger_depth() - 1 FROM sourcing.writer)
    THEN
        PERFORM sourcing.apply_waiting();
    END IF;
    RETURN NULL;
END
$$;

-- Before `expand`, which is for each row, there is nothing left to apply: a rollback is the last of its statement.
CREATE TRIGGER finish_statement AFTER INSERT ON sourcing.eventstore FOR EACH STATEMENT EXECUTE FUNCTION sourcing.finish_statement();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER finish_statement;

-- Many events that are all foreseen. Inserting a row is what appends them, for only from inside a trigger are events taken as they are; no row
-- is kept. Fails where they are not foreseen, or could come to another end than one after the other.
CREATE TABLE sourcing.batch (
    kinds text[] NOT NULL,
    types text[] NOT NULL,
    uuids uuid[] NOT NULL,
    datas jsonb[] NOT NULL
);

CREATE FUNCTION sourcing.append_batch() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
SET lc_monetary = 'C'
SET xmloption = 'content'
SET array_nulls = on
SET quote_all_identifiers = off
-- As in `apply_waiting`.
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    not_given constant uuid := '00000000-0000-0000-0000-000000000000';
    actor constant text := sourcing.actor();
    foreseen_kinds jsonb;
    name text;
    last record;
BEGIN
    last := sourcing.next_event((SELECT transaction IS NOT DISTINCT FROM pg_current_xact_id() FROM sourcing.writer));
    IF pg_trigger_depth() > 1 OR last.last_event = 'rollback' OR current_setting('session_replication_role') <> 'origin' THEN
        RAISE EXCEPTION 'one after the other';
    END IF;
    SELECT jsonb_object_agg(g.type, g.kinds) INTO foreseen_kinds
      FROM (SELECT d.type, jsonb_agg(d.kind) AS kinds
              FROM (SELECT DISTINCT unnest(NEW.types) AS type, unnest(NEW.kinds) AS kind) AS d GROUP BY d.type) AS g;
    FOR name IN SELECT jsonb_object_keys(foreseen_kinds) LOOP
        PERFORM sourcing.locked_shape(name);
    END LOOP;
    UPDATE sourcing.writer SET expanding = pg_trigger_depth();
    PERFORM set_config('ebb.expanding', 'batch', true);
    WITH seen AS MATERIALIZED (
        SELECT s.type, kind, s.foreseen, s.constants, ARRAY(SELECT jsonb_object_keys(s.constants)) AS names
          FROM sourcing.seen s CROSS JOIN unnest(s.may_wait) AS kind
         WHERE s.type = ANY (NEW.types) AND s.transaction = pg_current_xact_id()
    )
    INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", filled, actor)
    SELECT last.last_id + g.place,
           -- One that is not foreseen has no kind, which the log refuses: in the same pass, for looking through them twice costs more.
           CASE WHEN (g.kind = 'create' OR g.uuid <> not_given)
                     AND jsonb_typeof(g.data) = 'object' AND sourcing.is_foreseen(s.foreseen, g.kind, g.data) THEN g.kind END,
           g.type, coalesce(nullif(g.uuid, not_given), gen_random_uuid()), g.data, last.moment,
           CASE WHEN g.kind <> 'create' OR s.constants = '{}' THEN NULL
                WHEN g.data ?| s.names THEN nullif(s.constants - ARRAY(SELECT jsonb_object_keys(g.data)), '{}')
                ELSE s.constants END, actor
      -- One by one: in FROM, all are put away first.
      FROM (SELECT unnest(NEW.kinds) AS kind, unnest(NEW.types) AS type, unnest(NEW.uuids) AS uuid, unnest(NEW.datas) AS data,
                   generate_series(1::bigint, cardinality(NEW.kinds)) AS place) AS g
      LEFT JOIN seen s ON s.type = g.type AND s.kind = g.kind;
    PERFORM set_config('ebb.expanding', '', true);
    UPDATE sourcing.writer SET expanding = NULL;
    IF NOT sourcing.apply_in_waves(last.last_id + 1, last.last_id + cardinality(NEW.kinds), foreseen_kinds) THEN
        RAISE EXCEPTION 'one after the other';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER append_batch BEFORE INSERT ON sourcing.batch FOR EACH ROW EXECUTE FUNCTION sourcing.append_batch();
ALTER TABLE sourcing.batch ENABLE ALWAYS TRIGGER append_batch;

-- Appends events, in order, all or none: what one INSERT of them does, with a refusal that begins with which of them it was, as
-- `event 3: `. Returns the id of the last event before them.
CREATE FUNCTION sourcing.append(kinds text[], types text[], uuids uuid[], datas jsonb[], moments timestamptz[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint;
    one record;
    state text;
    message text;
    detail text;
    hint text;
    table_name text;
    column_name text;
    constraint_name text;
BEGIN
    IF NOT has_table_privilege(session_user, 'sourcing.eventstore'::regclass, 'INSERT') THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('the role %s may not append events', session_user);
    END IF;
    head := sourcing.take_writer();
    IF cardinality(kinds) >= 16 AND array_remove(moments, NULL) = '{}' THEN
        BEGIN
            INSERT INTO sourcing.batch VALUES (kinds, types, uuids, datas);
            RETURN head;
        EXCEPTION WHEN OTHERS THEN
            -- As anybody inserts them, then.
            NULL;
        END;
    END IF;
    BEGIN
        INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp")
        SELECT g.event, g.type, g.uuid, g.data, coalesce(g.moment, '-infinity')
          FROM unnest(kinds, types, uuids, datas, moments) WITH ORDINALITY AS g(event, type, uuid, data, moment, place)
         ORDER BY g.place;
        RETURN head;
    EXCEPTION WHEN OTHERS THEN
        -- One after the other, then: that finds the event.
        NULL;
    END;
    BEGIN
        FOR one IN
            SELECT * FROM unnest(kinds, types, uuids, datas, moments) WITH ORDINALITY AS g(event, type, uuid, data, moment, place) ORDER BY g.place
        LOOP
            INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp")
            VALUES (one.event, one.type, one.uuid, one.data, coalesce(one.moment, '-infinity'));
        END LOOP;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
            table_name = TABLE_NAME, column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = format('event %s: %s', one.place, message), DETAIL = detail, HINT = hint,
            TABLE = table_name, COLUMN = column_name, CONSTRAINT = constraint_name;
    END;
    RETURN head;
END
$$;

-- What the event store gave the events after one, for who knows what was asked for, all of those together that got the same. Their ids only
-- where not all events of that kind on that table got the same, and their rows only if asked for, in the order of their ids: to send
-- them takes longer than to read them.
CREATE FUNCTION sourcing.given_after(head bigint, uuids_too boolean)
RETURNS TABLE (
    event text, type text, events bigint, first bigint, last bigint, ids bigint[], uuids uuid[], moment timestamptz, filled json, actor text)
LANGUAGE plpgsql
-- By the index, also under a plan that was made while the log was empty; the few groups are sorted all the same, at a price that is
-- put so high that compiling would seem worth its while.
SET enable_seqscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT g.event, g.type, g.events, g.first, g.last, CASE WHEN count(*) OVER (PARTITION BY g.event, g.type) > 1 THEN g.ids END, g.uuids,
           g.moment, g.filled::json, g.actor
      FROM (SELECT e.event, e.type, count(*) AS events, min(e.id) AS first, max(e.id) AS last, array_agg(e.id) AS ids,
                   array_agg(e.uuid) FILTER (WHERE uuids_too) AS uuids,
                   -- As text: 1.0 and 1.00 are equal, and not the same.
                   e."timestamp" AS moment, e.filled::text AS filled, e.actor
              FROM (SELECT * FROM sourcing.eventstore o WHERE o.id OPERATOR(pg_catalog.>) head ORDER BY o.id) AS e
             GROUP BY e.event, e.type, e."timestamp", e.filled::text, e.actor) AS g;
END
$$;

-- Whether the event before this one belongs to the same transaction.
CREATE FUNCTION sourcing.follows_another(id bigint, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN EXISTS (SELECT FROM sourcing.eventstore e
                    WHERE e.id OPERATOR(pg_catalog.=) (follows_another.id OPERATOR(pg_catalog.-) 1) AND e."timestamp" OPERATOR(pg_catalog.=) moment);
END
$$;
