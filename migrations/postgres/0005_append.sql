-- Appending events: one at a time by anybody's INSERT, or many at once by `append`.
--
-- `accept` runs before each row that is inserted into the event store, `append` is called by programs. Both belong to the
-- event store's owner and run with that role's rights; every name in them is pinned, and so is every setting that changes how
-- a value is read or written as text.

CREATE FUNCTION sourcing.accept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
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
AS $$
DECLARE
    not_given constant uuid := '00000000-0000-0000-0000-000000000000';
    writer sourcing.writer;
    what text;
    last record;
    given_moment timestamptz := coalesce(NEW."timestamp", '-infinity');
    shape sourcing.shape;
BEGIN
    SELECT * INTO writer FROM sourcing.writer;
    IF writer.expanding = pg_trigger_depth() - 1 THEN
        RETURN NEW;
    END IF;
    what := concat_ws(' ', NEW.event, NEW.type, nullif(NEW.uuid, not_given));
    IF current_setting('session_replication_role') <> 'origin' THEN
        RAISE EXCEPTION USING ERRCODE = '55000',
            MESSAGE = format('%s: session_replication_role is %s, so the tables'' constraints would not be checked', what,
                current_setting('session_replication_role')),
            HINT = 'set it to origin';
    END IF;
    IF writer.transaction IS DISTINCT FROM pg_current_xact_id() THEN
        PERFORM sourcing.take_writer();
        SELECT * INTO writer FROM sourcing.writer;
    END IF;
    SELECT id, event, "timestamp" INTO last FROM sourcing.eventstore ORDER BY id DESC LIMIT 1;
    IF writer.expanding IS NOT NULL OR last.event = 'rollback' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005',
            MESSAGE = format('%s: nothing can follow a rollback in the same statement', what),
            HINT = 'insert the rollback alone, or last';
    END IF;
    IF NEW.event IS NULL OR NEW.event NOT IN ('create', 'update', 'delete', 'rollback', 'rollback-end', 'restore') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB007',
            MESSAGE = format('there is no event kind %s: it is create, update, delete or rollback', coalesce(to_jsonb(NEW.event), 'null'));
    ELSIF NEW.event IN ('rollback-end', 'restore') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB009',
            MESSAGE = format('%s: only a rollback writes a %s', what, NEW.event);
    ELSIF coalesce(NEW.id, 0) <> 0 OR NEW.filled IS NOT NULL OR NEW.origin IS NOT NULL OR NEW.hash IS NOT NULL
          OR coalesce(NEW.actor, '') <> '' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB008',
            MESSAGE = format('%s: id, filled, actor, origin and hash are the event store''s to give', what);
    END IF;
    NEW.data := coalesce(NEW.data, '{}');
    IF jsonb_typeof(NEW.data) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005',
            MESSAGE = format('%s: data must be a JSON object, not %s', what, left(NEW.data::text, 200));
    END IF;

    IF given_moment = '-infinity' THEN
        NEW."timestamp" := greatest(writer.stamp, last."timestamp");
    ELSIF NOT sourcing.may_import() THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('%s: the role %s may not give a timestamp', what, session_user),
            HINT = 'leave it out; only the event store''s owner imports';
    ELSIF NOT isfinite(given_moment) OR given_moment < last."timestamp"
          OR given_moment < (SELECT latest FROM sourcing.taken_over) THEN
        RAISE EXCEPTION USING ERRCODE = 'EB010',
            MESSAGE = format('%s: its timestamp %s is %s', what, given_moment,
                CASE WHEN isfinite(given_moment) THEN 'earlier than the last event''s, ' || last."timestamp" ELSE 'no moment' END);
    END IF;
    NEW.actor := sourcing.actor();

    IF NEW.event = 'rollback' THEN
        IF NEW.type IS NOT NULL OR coalesce(NEW.uuid, not_given) <> not_given THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'a rollback concerns no row: leave out type and uuid';
        END IF;
        NEW.uuid := NULL;
        NEW.data := sourcing.accept_rollback(NEW.data);
        NEW.id := coalesce(last.id, 0) + 1;
        IF last.id IS NULL OR sourcing.moment_before(NEW.data) > last."timestamp" THEN
            -- Nothing comes after the target: nothing is appended.
            RETURN NULL;
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.type IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = format('%s: the type, which is the table, is missing', what);
    END IF;
    shape := sourcing.locked_shape(NEW.type);
    IF shape.relation IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB001', TABLE = NEW.type,
            MESSAGE = format('%s: there is no table %s', what, to_jsonb(NEW.type));
    ELSIF shape.key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB002', TABLE = NEW.type,
            MESSAGE = format('%s: the table %s takes no part: %s', what, NEW.type, shape.reason);
    END IF;
    IF coalesce(NEW.uuid, not_given) = not_given THEN
        IF NEW.event <> 'create' THEN
            RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'No uuid has been provided',
                DETAIL = what,
                HINT = 'an update and a delete say which row they mean';
        END IF;
        NEW.uuid := CASE WHEN NEW.data ? shape.key
            THEN (sourcing.converted(what, shape, NEW.data) ->> shape.key)::uuid END;
        NEW.uuid := coalesce(NEW.uuid, gen_random_uuid());
    END IF;
    NEW.filled := sourcing.apply(what, shape, NEW.event, NEW.uuid, NEW.data, NEW."timestamp", given_moment);
    -- Last: what a cascade or a trigger of the table has appended comes before its cause.
    NEW.id := coalesce((SELECT max(id) FROM sourcing.eventstore), 0) + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER accept BEFORE INSERT ON sourcing.eventstore FOR EACH ROW EXECUTE FUNCTION sourcing.accept();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER accept;

-- Applies and logs events of one kind on one table at once, a statement for all that set the same columns.
-- Returns false, having written nothing, when that could come to another end than one after the other.
CREATE FUNCTION sourcing.append_run(kind text, shape sourcing.shape, uuids uuid[], datas jsonb[], moments timestamptz[])
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    not_given constant uuid := '00000000-0000-0000-0000-000000000000';
    head constant bigint := sourcing.take_writer();
    last sourcing.eventstore;
    writer sourcing.writer;
    one record;
    -- The time columns that the events set.
    times constant text[] := ARRAY(
        SELECT c.name FROM unnest(ARRAY['created_on', 'updated_on'], ARRAY[shape.created_on, shape.updated_on]) AS c(name, type)
         WHERE c.type IS NOT NULL AND (kind = 'create' OR kind = 'update' AND c.name = 'updated_on'));
    -- Their values, for an event g: arguments of jsonb_build_object.
    stamps constant text := coalesce((
        SELECT string_agg(format(', %L, to_jsonb(%s)', c.name,
                   CASE c.type WHEN 'timestamp without time zone' THEN 'g.moment AT TIME ZONE ''UTC''' ELSE 'g.moment' END), '')
          FROM unnest(ARRAY['created_on', 'updated_on'], ARRAY[shape.created_on, shape.updated_on]) AS c(name, type)
         WHERE c.name = ANY (times)), '');
    given constant text := 'unnest($1, $2, $3, $4) AS g(uuid, data, moment, place)';
    statement text;
    rows bigint;
BEGIN
    SELECT * INTO last FROM sourcing.eventstore WHERE id = head;
    SELECT * INTO writer FROM sourcing.writer;
    -- What `accept` would refuse, or the table's own code might, is left to it.
    IF shape.key IS NULL OR shape.has_code OR kind NOT IN ('create', 'update', 'delete')
       OR kind = 'delete' AND (shape.delete_carries OR shape.self_pointing <> '{}')
       OR last.event = 'rollback' OR writer.expanding IS NOT NULL
       OR current_setting('session_replication_role') <> 'origin'
       OR not_given = ANY (uuids) OR kind <> 'create' AND array_position(uuids, NULL) IS NOT NULL
       OR (SELECT count(*) <> count(DISTINCT u) FROM unnest(uuids) AS u WHERE u IS NOT NULL)
       OR array_position(datas, NULL) IS NOT NULL OR EXISTS (SELECT FROM unnest(datas) AS d WHERE jsonb_typeof(d) <> 'object') THEN
        RETURN false;
    END IF;
    IF (SELECT bool_and(m IS NULL) FROM unnest(moments) AS m) THEN
        moments := array_fill(greatest(writer.stamp, last."timestamp"), ARRAY[cardinality(uuids)]);
    ELSIF NOT sourcing.may_import() OR array_position(moments, NULL) IS NOT NULL OR NOT isfinite(moments[1])
          OR NOT isfinite(moments[cardinality(moments)]) OR moments[1] < last."timestamp"
          OR moments[1] < (SELECT latest FROM sourcing.taken_over)
          OR moments <> ARRAY(SELECT m FROM unnest(moments) AS m ORDER BY m) THEN
        RETURN false;
    END IF;

    UPDATE sourcing.writer SET expanding = pg_trigger_depth();
    FOR one IN
        SELECT keyed.keys, array_agg(keyed.uuid) AS uuids, array_agg(keyed.data) AS datas, array_agg(keyed.moment) AS moments,
               array_agg(keyed.place) AS places, columns.names, columns.definitions, columns.assignments, keyed.keys && shape.json AS merges
          FROM (SELECT ARRAY(SELECT jsonb_object_keys(g.data)) AS keys, coalesce(g.uuid, gen_random_uuid()) AS uuid,
                       g.data, g.moment, head + g.place AS place
                  FROM unnest(uuids, datas, moments) WITH ORDINALITY AS g(uuid, data, moment, place)) AS keyed
         CROSS JOIN LATERAL (
               SELECT string_agg(quote_ident(d.name), ', '), string_agg(d.definition, ', '), string_agg(format('%1$I = r.%1$I', d.name), ', ')
                 FROM unnest(shape.written, shape.definitions) AS d(name, definition)
                WHERE d.name = ANY (keyed.keys || times || CASE kind WHEN 'create' THEN ARRAY[shape.key] ELSE '{}' END)
               ) AS columns(names, definitions, assignments)
         GROUP BY keyed.keys, columns.names, columns.definitions, columns.assignments
    LOOP
        IF NOT one.keys <@ shape.written OR shape.key = ANY (one.keys) OR one.keys && shape.self_pointing
           OR kind = 'update' AND ('created_on' = ANY (one.keys) OR one.keys && shape.ordered OR one.keys && shape.update_carries
                                   OR one.assignments IS NULL)
           OR kind = 'delete' AND one.keys <> '{}' THEN
            RAISE EXCEPTION 'one after the other';
        END IF;
        statement := CASE kind
            WHEN 'create' THEN format(
                'WITH made AS MATERIALIZED (
                     SELECT g.*, jsonb_build_object(%1$L, g.uuid%2$s) || g.data AS expected FROM %3$s
                 ), written AS (
                     INSERT INTO %4$s AS t (%5$s) OVERRIDING SYSTEM VALUE
                     SELECT %5$s FROM made m CROSS JOIN LATERAL jsonb_to_record(m.expected) AS r(%6$s)
                     RETURNING t.%1$I AS uuid, %7$s AS stored
                 ), done AS (
                     SELECT m.*, sourcing.filled(m.expected, w.stored) AS filled FROM made m JOIN written w ON w.uuid = m.uuid
                 )', shape.key, stamps, given, shape.quoted, one.names, one.definitions, shape.state)
            WHEN 'update' THEN format(
                'WITH held AS MATERIALIZED (
                     SELECT t.%1$I AS uuid, %7$s AS before FROM %4$s t WHERE t.%1$I = ANY ($1)
                 ), made AS MATERIALIZED (
                     SELECT g.*, %2$s AS expected FROM %3$s JOIN held h ON h.uuid = g.uuid
                 ), done AS (
                     UPDATE %4$s t SET %5$s FROM made m CROSS JOIN LATERAL jsonb_to_record(m.expected) AS r(%6$s)
                      WHERE t.%1$I = m.uuid
                     RETURNING m.uuid, m.data, m.moment, m.place, sourcing.filled(m.expected, %7$s) AS filled
                 )', shape.key,
                CASE WHEN one.merges THEN 'sourcing.expected($6, h.before, $5, g.uuid, g.data, g.moment)'
                     ELSE format('h.before || jsonb_build_object(%s) || g.data', substr(stamps, 3)) END,
                given, shape.quoted, one.assignments, one.definitions, shape.state)
            ELSE format(
                'WITH gone AS (
                     DELETE FROM %2$s t WHERE t.%1$I = ANY ($1) RETURNING t.%1$I AS uuid
                 ), done AS (
                     SELECT g.*, NULL::jsonb AS filled FROM %3$s JOIN gone ON gone.uuid = g.uuid
                 )', shape.key, shape.quoted, given) END;
        EXECUTE statement || '
            INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", filled, actor)
            SELECT place, $5, ($6).name, uuid, data, moment, filled, $7 FROM done ORDER BY place'
          USING one.uuids, one.datas, one.moments, one.places, kind, shape, sourcing.actor();
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows <> cardinality(one.places) THEN
            RAISE EXCEPTION 'one after the other';
        END IF;
    END LOOP;
    UPDATE sourcing.writer SET expanding = NULL;
    RETURN true;
END
$$;

-- Appends events, in order, all or none: what inserting them one after the other does, several times as fast where many of a
-- kind follow each other on one table. A refusal begins with which it was, as `event 3: `.
-- Returns the id of the last event before them.
CREATE FUNCTION sourcing.append(kinds text[], types text[], uuids uuid[], datas jsonb[], moments timestamptz[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
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
    head bigint;
    run record;
    done boolean;
    at bigint;
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
    FOR run IN
        SELECT grouped.event, grouped.type, min(grouped.at) AS first, array_agg(grouped.uuid ORDER BY grouped.at) AS uuids,
               array_agg(grouped.data ORDER BY grouped.at) AS datas, array_agg(grouped.moment ORDER BY grouped.at) AS moments
          FROM (SELECT g.*, g.at - row_number() OVER (PARTITION BY g.event, g.type ORDER BY g.at) AS island
                  FROM unnest(kinds, types, uuids, datas, moments) WITH ORDINALITY AS g(event, type, uuid, data, moment, at)) AS grouped
         GROUP BY grouped.event, grouped.type, grouped.island
         ORDER BY 3
    LOOP
        done := false;
        -- For a few, the longer way is the shorter.
        IF cardinality(run.uuids) > 3 THEN
            BEGIN
                done := sourcing.append_run(run.event, sourcing.locked_shape(run.type), run.uuids, run.datas, run.moments);
            EXCEPTION WHEN OTHERS THEN
                -- One after the other, then: that finds the event and the reason.
                done := false;
            END;
        END IF;
        CONTINUE WHEN done;
        FOR i IN 1 .. cardinality(run.uuids) LOOP
            at := run.first + i - 1;
            INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp")
            VALUES (run.event, run.type, run.uuids[i], run.datas[i], coalesce(run.moments[i], '-infinity'));
        END LOOP;
    END LOOP;
    RETURN head;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
        table_name = TABLE_NAME, column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
    IF at IS NULL THEN
        RAISE;
    END IF;
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = format('event %s: %s', at, message), DETAIL = detail, HINT = hint,
        TABLE = table_name, COLUMN = column_name, CONSTRAINT = constraint_name;
END
$$;
