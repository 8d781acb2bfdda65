-- Appending events: one at a time by anybody's INSERT, or many at once by `append`.
--
-- `accept` runs before each row that is inserted into the event store, `append` is called by programs. Both belong to the
-- event store's owner and run with that role's rights; every name in them is pinned, and so is every setting that changes how
-- a value is read or written as text.
--
-- Events that only concern their own row wait until their statement ends, or until one comes that does not, and are then
-- applied in runs of one kind on one table: a statement for a thousand rows costs little more than one for one row.

-- Where in the log events begin that are logged before they are applied: a row when the first of them is logged, another when they have been
-- applied. The latest says whether any wait. Rows, so that a subtransaction which is undone takes back what it says
-- along with what it did; and only ever new ones, for one that is updated for each statement would be found more and more slowly.
-- Emptied by whoever takes the lock next.
CREATE UNLOGGED TABLE sourcing.waiting (
    first bigint,
    applied boolean,
    PRIMARY KEY (first, applied)
);
CREATE TRIGGER from_inside BEFORE INSERT OR UPDATE ON sourcing.waiting
    FOR EACH STATEMENT WHEN (pg_catalog.pg_trigger_depth() = 0) EXECUTE FUNCTION sourcing.refuse_from_outside();
ALTER TABLE sourcing.waiting ENABLE ALWAYS TRIGGER from_inside;

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
    PERFORM sourcing.apply_waiting();
    new_event.filled := sourcing.apply(what, shape, new_event.event, new_event.uuid, new_event.data, new_event."timestamp", given_moment);
    -- Last: what a cascade or a trigger of the table has appended comes before its cause.
    new_event.id := coalesce((SELECT max(id) FROM sourcing.eventstore), 0) + 1;
    RETURN new_event;
END
$$;

CREATE FUNCTION sourcing.accept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    not_given constant uuid := '00000000-0000-0000-0000-000000000000';
    writer sourcing.writer;
    what text;
    last record;
    given_moment timestamptz := coalesce(NEW."timestamp", '-infinity');
    seen record;
BEGIN
    SELECT * INTO writer FROM sourcing.writer;
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
        -- One that another program wrote is no more than an event.
        IF writer.expanding IS NOT NULL OR NOT EXISTS (SELECT FROM sourcing.taken_over WHERE through >= last.id) THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005',
                MESSAGE = format('%s: nothing can follow a rollback in the same statement', what),
                HINT = 'insert the rollback alone, or last';
        END IF;
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
        PERFORM sourcing.apply_waiting();
        NEW.uuid := NULL;
        NEW.data := sourcing.accept_rollback(NEW.data);
        NEW.id := coalesce(last.id, 0) + 1;
        IF last.id IS NULL OR sourcing.position_before(sourcing.moment_before(NEW.data), last.id + 1) = last.id THEN
            -- Nothing comes after the target: nothing is appended.
            RETURN NULL;
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.type IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = format('%s: the type, which is the table, is missing', what);
    END IF;
    -- The first few are applied at once: most statements insert no more, and what they return is final then.
    IF nextval('sourcing.inserted') > 3 THEN
        SELECT may_wait, constants, key INTO seen FROM sourcing.seen
         WHERE type = NEW.type AND transaction = pg_current_xact_id() AND catalogue_writes = sourcing.catalogue_writes();
        IF FOUND AND NEW.event = ANY (seen.may_wait) AND (NEW.event = 'create' OR coalesce(NEW.uuid, not_given) <> not_given)
           AND (NEW.event <> 'create' OR coalesce(NEW.uuid, not_given) <> not_given OR NOT NEW.data ? seen.key)
        THEN
            IF coalesce(NEW.uuid, not_given) = not_given THEN
                NEW.uuid := gen_random_uuid();
            END IF;
            NEW.id := coalesce(last.id, 0) + 1;
            IF NEW.event = 'create' AND seen.constants <> '{}' THEN
                NEW.filled := nullif(seen.constants - ARRAY(SELECT jsonb_object_keys(NEW.data)), '{}');
            END IF;
            IF (SELECT applied FROM sourcing.waiting ORDER BY first DESC, applied DESC LIMIT 1) IS DISTINCT FROM false THEN
                -- None is waiting: this is the first.
                INSERT INTO sourcing.waiting VALUES (NEW.id, false);
            END IF;
            RETURN NEW;
        END IF;
    END IF;

    RETURN sourcing.accept_at_once(NEW, given_moment);
END
$$;

-- In the order of their names: what `accept` makes of a row has an id.
CREATE TRIGGER a_refuse_given_id BEFORE INSERT ON sourcing.eventstore FOR EACH ROW
    WHEN (NEW.id <> 0) EXECUTE FUNCTION sourcing.refuse_given_id();
CREATE TRIGGER b_accept BEFORE INSERT ON sourcing.eventstore FOR EACH ROW
    WHEN (NEW.id IS NULL OR NEW.id = 0) EXECUTE FUNCTION sourcing.accept();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER a_refuse_given_id;
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER b_accept;

-- Applies events of one kind on one table, each of another row, by one statement for all that set the same columns.
-- Returns the `filled` of each; null, having written nothing, when that could come to another end than one after the other.
CREATE FUNCTION sourcing.apply_run(kind text, shape sourcing.shape, uuids uuid[], datas jsonb[], moments timestamptz[])
RETURNS jsonb[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
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
    filled_of constant text := '(SELECT jsonb_object_agg(s.key, s.value) FROM jsonb_each(%s) AS s WHERE s.value <> coalesce(m.expected -> s.key, ''null''))';
    statement text;
    part jsonb[];
    places bigint[];
    filled jsonb[] := '{}';
    all_places bigint[] := '{}';
    -- Whether a value that must be unique goes from one of these rows to another.
    goes_over boolean;
BEGIN
    IF shape.key IS NULL OR shape.has_code OR kind NOT IN ('create', 'update', 'delete')
       OR kind = 'delete' AND (shape.delete_carries OR shape.self_pointing <> '{}')
       -- A key that is there already would not be noticed now; a default could point at a row that comes later.
       OR kind = 'create' AND (NOT shape.conflict_tells OR EXISTS (
              SELECT FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid
               WHERE a.attrelid = shape.relation AND a.attname = ANY (shape.self_pointing) AND (a.atthasdef OR ty.typdefault IS NOT NULL)))
       OR EXISTS (SELECT FROM unnest(datas) AS d WHERE jsonb_typeof(d) IS DISTINCT FROM 'object') THEN
        RETURN NULL;
    END IF;
    FOR one IN
        SELECT keyed.keys, array_agg(keyed.uuid ORDER BY keyed.place) AS uuids, array_agg(keyed.data ORDER BY keyed.place) AS datas,
               array_agg(keyed.moment ORDER BY keyed.place) AS moments, array_agg(keyed.place ORDER BY keyed.place) AS places,
               count(*) OVER () AS parts, columns.names, columns.definitions, columns.assignments, keyed.keys && shape.json AS merges
          FROM (SELECT ARRAY(SELECT jsonb_object_keys(g.data)) AS keys, g.uuid, g.data, g.moment, g.place
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
           OR kind = 'create' AND one.parts > 1 AND shape.numbered <> '{}'
           OR kind = 'delete' AND one.keys <> '{}' THEN
            RAISE EXCEPTION 'one after the other';
        END IF;
        IF kind = 'update' AND one.keys && shape.distinct_text THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM unnest($1, $2) AS g(uuid, data) JOIN %s t ON %s AND t.%I <> g.uuid WHERE t.%I = ANY ($1))',
                shape.quoted,
                (SELECT '(' || string_agg(format('t.%1$I = (g.data ->> %1$L)', name), ' OR ') || ')' FROM unnest(shape.distinct_text) AS name WHERE name = ANY (one.keys)),
                shape.key, shape.key) INTO goes_over USING uuids, datas;
            IF goes_over THEN
                RAISE EXCEPTION 'one after the other';
            END IF;
        END IF;
        statement := CASE kind
            WHEN 'create' THEN format(
                'WITH made AS MATERIALIZED (
                     SELECT g.*, jsonb_build_object(%1$L, g.uuid%2$s) || g.data AS expected FROM %3$s
                 ), written AS (
                     INSERT INTO %4$s AS t (%5$s) OVERRIDING SYSTEM VALUE
                     SELECT %5$s FROM (SELECT r.* FROM made m CROSS JOIN LATERAL jsonb_to_record(m.expected) AS r(%6$s)) AS r
                     RETURNING t.%1$I AS uuid, %7$s AS stored
                 ), done AS (
                     SELECT m.place, %8$s AS filled FROM made m JOIN written w ON w.uuid = m.uuid
                 )', shape.key, stamps, given, shape.quoted, one.names, one.definitions, shape.state, format(filled_of, 'w.stored'))
            WHEN 'update' THEN format(
                'WITH held AS MATERIALIZED (
                     SELECT t.%1$I AS uuid, %7$s AS before FROM %4$s t WHERE t.%1$I = ANY ($1)
                 ), made AS MATERIALIZED (
                     SELECT g.*, %2$s AS expected FROM %3$s JOIN held h ON h.uuid = g.uuid
                 ), done AS (
                     UPDATE %4$s t SET %5$s FROM made m CROSS JOIN LATERAL jsonb_to_record(m.expected) AS r(%6$s)
                      WHERE t.%1$I = m.uuid
                     RETURNING m.place, %8$s AS filled
                 )', shape.key,
                CASE WHEN one.merges THEN 'sourcing.expected($6, h.before, $5, g.uuid, g.data, g.moment)'
                     ELSE format('h.before || jsonb_build_object(%s) || g.data', substr(stamps, 3)) END,
                given, shape.quoted, one.assignments, one.definitions, shape.state, format(filled_of, shape.state))
            ELSE format(
                'WITH gone AS (
                     DELETE FROM %2$s t WHERE t.%1$I = ANY ($1) RETURNING t.%1$I AS uuid
                 ), done AS (
                     SELECT g.place, NULL::jsonb AS filled FROM %3$s JOIN gone ON gone.uuid = g.uuid
                 )', shape.key, shape.quoted, given) END;
        EXECUTE statement || ' SELECT array_agg(filled), array_agg(place) FROM done'
           INTO part, places USING one.uuids, one.datas, one.moments, one.places, kind, shape;
        IF cardinality(part) IS DISTINCT FROM cardinality(one.places) THEN
            RAISE EXCEPTION 'one after the other';
        END IF;
        filled := filled || part;
        all_places := all_places || places;
    END LOOP;
    RETURN (SELECT array_agg(f.filled ORDER BY f.place) FROM unnest(filled, all_places) AS f(filled, place));
END
$$;

-- Writes into the log what the database made of these events, where it is not what was guessed.
CREATE FUNCTION sourcing.record_filled(ids bigint[], results jsonb[], guesses jsonb[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF results IS DISTINCT FROM guesses THEN
        UPDATE sourcing.writer SET expanding = pg_trigger_depth();
        UPDATE sourcing.eventstore e SET filled = f.filled
          FROM unnest(ids, results, guesses) AS f(id, filled, guess)
         WHERE e.id = f.id AND f.filled IS DISTINCT FROM f.guess;
        UPDATE sourcing.writer SET expanding = NULL;
    END IF;
END
$$;

-- Whether these events may be applied in another order, as long as those of one row keep theirs: nothing that one of them
-- gives or takes away (a row that is pointed at, a value that must be unique) is another one's to take.
CREATE FUNCTION sourcing.may_change_places(first_id bigint, last_id bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- The planner does not know how many there are, and each with each is too many.
SET enable_nestloop = off
AS $$
DECLARE
    one record;
    shape sourcing.shape;
    name text;
    taken boolean;
    numbered text[] := '{}';
BEGIN
    -- A value that is the key of a row which comes or goes among them, in whichever way it is written.
    IF EXISTS (
        WITH given AS MATERIALIZED (
            SELECT g.id, translate(lower(given.value), '-{}', '') AS key
              FROM sourcing.eventstore g CROSS JOIN LATERAL jsonb_each_text(g.data) AS given
             WHERE g.id BETWEEN first_id AND last_id AND length(given.value) BETWEEN 32 AND 41
        )
        SELECT FROM given
          JOIN sourcing.eventstore c ON replace(c.uuid::text, '-', '') = given.key AND c.id BETWEEN first_id AND last_id
           AND c.event IN ('create', 'delete') AND c.id <> given.id) THEN
        RETURN false;
    END IF;
    -- A foreign key between their tables that points at rows which go, or at something else than the key, or with something else than what
    -- events give: the row's own key, a default, a generated value. Partitions may have some of their own.
    IF EXISTS (
        WITH among AS (
            SELECT sourcing.find(e.type) AS relation, bool_or(e.event = 'delete') AS deletes
              FROM (SELECT DISTINCT type, event FROM sourcing.eventstore WHERE id BETWEEN first_id AND last_id) AS e GROUP BY e.type
        )
        SELECT FROM pg_constraint con
          JOIN among pointing ON pointing.relation = coalesce(pg_partition_root(con.conrelid), con.conrelid)::oid
          JOIN among pointed ON pointed.relation = coalesce(pg_partition_root(con.confrelid), con.confrelid)::oid
          LEFT JOIN pg_constraint p ON p.conrelid = con.confrelid AND p.contype = 'p'
         WHERE con.contype = 'f' AND (pointed.deletes OR con.confkey IS DISTINCT FROM p.conkey OR EXISTS (
                   SELECT FROM pg_attribute a
                     JOIN pg_type ty ON ty.oid = a.atttypid
                     LEFT JOIN pg_constraint own ON own.conrelid = a.attrelid AND own.contype = 'p'
                    WHERE a.attrelid = con.conrelid AND a.attnum = ANY (con.conkey)
                      AND (a.atthasdef OR ty.typdefault IS NOT NULL OR a.attnum = ANY (own.conkey))))) THEN
        RETURN false;
    END IF;
    FOR one IN
        SELECT e.type, array_agg(e.uuid) FILTER (WHERE e.event <> 'create') AS changed,
               array_agg(e.uuid) FILTER (WHERE e.event <> 'delete') AS written, array_agg(e.data) FILTER (WHERE e.event <> 'delete') AS datas
          FROM sourcing.eventstore e WHERE e.id BETWEEN first_id AND last_id GROUP BY e.type
    LOOP
        shape := sourcing.locked_shape(one.type);
        IF one.changed IS NOT NULL AND one.written IS NOT NULL AND array_remove(shape.ordered, shape.key) <> '{}' THEN
            RETURN false;
        END IF;
        -- Creates that are numbered take turns with those of another table, or one of them comes only after its row has gone.
        IF shape.numbered <> '{}' AND one.written IS NOT NULL THEN
            IF shape.numbered && numbered OR EXISTS (
                SELECT FROM sourcing.eventstore c JOIN sourcing.eventstore d ON d.type = c.type AND d.uuid = c.uuid AND d.event = 'delete'
                 WHERE c.type = one.type AND c.event = 'create'
                   AND c.id BETWEEN first_id AND last_id AND d.id BETWEEN first_id AND last_id) THEN
                RETURN false;
            END IF;
            numbered := numbered || shape.numbered;
        END IF;
        FOREACH name IN ARRAY shape.distinct_text LOOP
            -- A value that two rows get, or that one gets and another had.
            SELECT count(DISTINCT g.uuid) > count(DISTINCT g.data ->> name) OR count(DISTINCT (g.data ->> name, g.uuid)) > count(DISTINCT g.data ->> name)
              INTO taken FROM unnest(one.written, one.datas) AS g(uuid, data) WHERE g.data ->> name IS NOT NULL;
            IF NOT taken AND one.changed IS NOT NULL THEN
                EXECUTE format('SELECT EXISTS (SELECT FROM %s t JOIN unnest($1, $2) AS g(uuid, data) ON t.%I = (g.data ->> %L) AND t.%I <> g.uuid
                                                WHERE t.%I = ANY ($3))', shape.quoted, name, name, shape.key, shape.key)
                   INTO taken USING one.written, one.datas, one.changed;
            END IF;
            IF taken THEN
                RETURN false;
            END IF;
        END LOOP;
    END LOOP;
    RETURN true;
END
$$;

-- Applies events in waves: first the first of each row, then the second of each, and so on; each wave by runs.
-- Returns false, having written nothing, when that could come to another end than one after the other.
CREATE FUNCTION sourcing.apply_in_waves(first_id bigint, last_id bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    run record;
    results jsonb[];
BEGIN
    IF last_id - first_id < 3 OR NOT sourcing.may_change_places(first_id, last_id) THEN
        RETURN false;
    END IF;
    FOR run IN
        SELECT e.event, e.type, array_agg(e.id ORDER BY e.id) AS ids, array_agg(e.uuid ORDER BY e.id) AS uuids,
               array_agg(e.data ORDER BY e.id) AS datas, array_agg(e."timestamp" ORDER BY e.id) AS moments,
               array_agg(e.filled ORDER BY e.id) AS guesses, count(*) OVER () AS runs
          FROM (SELECT w.*, row_number() OVER (PARTITION BY w.type, w.uuid ORDER BY w.id) AS wave
                  FROM sourcing.eventstore w WHERE w.id BETWEEN first_id AND last_id) AS e
         GROUP BY e.wave, e.event, e.type
         ORDER BY e.wave, e.event, e.type
    LOOP
        -- A run costs as much as a few events one after the other.
        IF run.runs * 4 > last_id - first_id + 1 THEN
            RETURN false;
        END IF;
        results := sourcing.apply_run(run.event, sourcing.locked_shape(run.type), run.uuids, run.datas, run.moments);
        IF results IS NULL THEN
            RAISE EXCEPTION 'one after the other';
        END IF;
        PERFORM sourcing.record_filled(run.ids, results, run.guesses);
    END LOOP;
    RETURN true;
EXCEPTION WHEN OTHERS THEN
    -- One after the other, then: that finds the event and the reason.
    RETURN false;
END
$$;

-- Applies the events that are logged and not applied yet.
CREATE FUNCTION sourcing.apply_waiting() RETURNS void
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
    waiting constant bigint := (
        SELECT w.first FROM (SELECT * FROM sourcing.waiting ORDER BY first DESC, applied DESC LIMIT 1) AS w WHERE NOT w.applied);
    head constant bigint := (SELECT max(id) FROM sourcing.eventstore);
    one sourcing.eventstore;
    last_id bigint;
    result jsonb;
BEGIN
    IF waiting IS NULL THEN
        RETURN;
    END IF;
    FOR first_id IN waiting .. head BY 1000 LOOP
        last_id := least(first_id + 999, head);
        CONTINUE WHEN sourcing.apply_in_waves(first_id, last_id);
        FOR one IN SELECT * FROM sourcing.eventstore WHERE id BETWEEN first_id AND last_id ORDER BY id LOOP
            result := sourcing.apply(concat_ws(' ', one.event, one.type, one.uuid), sourcing.locked_shape(one.type),
                one.event, one.uuid, one.data, one."timestamp", one."timestamp");
            IF result IS DISTINCT FROM one.filled THEN
                PERFORM sourcing.record_filled(ARRAY[one.id], ARRAY[result], ARRAY[one.filled]);
            END IF;
        END LOOP;
    END LOOP;
    INSERT INTO sourcing.waiting VALUES (waiting, true);
END
$$;

-- At the beginning of each statement: one that failed has left its count behind, which nothing takes back. (Another session's,
-- at work meanwhile, is counted anew: a few more of its events are applied at once.) As short as can be, and with every name qualified.
CREATE FUNCTION sourcing.begin_statement() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_catalog.setval('sourcing.inserted', 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER begin_statement BEFORE INSERT ON sourcing.eventstore FOR EACH STATEMENT EXECUTE FUNCTION sourcing.begin_statement();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER begin_statement;

-- At the end of each statement.
CREATE FUNCTION sourcing.finish_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT expanding = pg_trigger_depth() - 1 FROM sourcing.writer) THEN
        RETURN NULL;
    END IF;
    PERFORM setval('sourcing.inserted', 0);
    PERFORM sourcing.apply_waiting();
    RETURN NULL;
END
$$;

-- Before `expand`, which is for each row, there is nothing left to apply: a rollback is the last of its statement.
CREATE TRIGGER finish_statement AFTER INSERT ON sourcing.eventstore FOR EACH STATEMENT EXECUTE FUNCTION sourcing.finish_statement();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER finish_statement;

-- Appends events, in order, all or none: what one INSERT of them does, with a refusal that begins with which of them it was, as
-- `event 3: `. Returns the id of the last event before them.
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
    one record;
    done boolean := false;
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
    IF cardinality(kinds) > 1 THEN
        BEGIN
            INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp")
            SELECT g.event, g.type, g.uuid, g.data, coalesce(g.moment, '-infinity')
              FROM unnest(kinds, types, uuids, datas, moments) WITH ORDINALITY AS g(event, type, uuid, data, moment, place)
             ORDER BY g.place;
            done := true;
        EXCEPTION WHEN OTHERS THEN
            -- One after the other, then: that finds the event.
            NULL;
        END;
    END IF;
    IF NOT done THEN
        FOR one IN
            SELECT * FROM unnest(kinds, types, uuids, datas, moments) WITH ORDINALITY AS g(event, type, uuid, data, moment, place) ORDER BY g.place
        LOOP
            at := one.place;
            INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp")
            VALUES (one.event, one.type, one.uuid, one.data, coalesce(one.moment, '-infinity'));
        END LOOP;
    END IF;
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
