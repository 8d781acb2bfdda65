-- Applying many events at once: those that wait, in runs of one kind on one table.

-- Where in the log events begin that are logged before they are applied: a row when the first of them is logged, another when they have been
-- applied. The latest says whether any wait. Rows, so that a subtransaction which is undone takes back what it says
-- along with what it did; and only ever new ones, for one that is updated for each statement would be found more and more slowly.
-- Emptied by who takes the lock next.
CREATE UNLOGGED TABLE sourcing.waiting (
    first bigint,
    applied boolean,
    PRIMARY KEY (first, applied)
);
CREATE TRIGGER from_inside BEFORE INSERT OR UPDATE ON sourcing.waiting
    FOR EACH STATEMENT WHEN (pg_catalog.pg_trigger_depth() = 0) EXECUTE FUNCTION sourcing.refuse_from_outside();
ALTER TABLE sourcing.waiting ENABLE ALWAYS TRIGGER from_inside;

-- Notes that events wait from this one on, unless some do already.
CREATE FUNCTION sourcing.let_wait(first bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT w.applied FROM sourcing.waiting w ORDER BY w.first DESC, w.applied DESC LIMIT 1) IS DISTINCT FROM false THEN
        INSERT INTO sourcing.waiting VALUES (first, false);
        UPDATE sourcing.writer SET left_over = true WHERE NOT left_over;
    END IF;
END
$$;

-- Whether these events of one kind, each of another row, may be applied by one statement that sets these columns. Whether `any_order` is known to
-- do, as `may_change_places` says.
CREATE FUNCTION sourcing.may_be_at_once(
    kind text, shape sourcing.shape, uuids uuid[], datas jsonb[], columns text[], any_order boolean) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Whether a value that must be unique goes from one of these rows to another.
    goes_over boolean := false;
BEGIN
    IF shape.key = ANY (columns) OR columns && shape.self_pointing
       OR kind = 'delete' AND (shape.self_pointing <> '{}' OR columns <> '{}')
       -- A default, that of a partition too, could point at a row that comes later.
       OR kind = 'create' AND EXISTS (
              SELECT FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid
               WHERE (a.attrelid = shape.relation OR a.attrelid IN (SELECT relid FROM pg_partition_tree(shape.relation)))
                 AND a.attname = ANY (shape.self_pointing) AND (a.atthasdef OR ty.typdefault IS NOT NULL))
       OR kind = 'update' AND ('created_on' = ANY (columns) OR columns && shape.ordered OR columns && shape.update_carries) THEN
        RETURN false;
    END IF;
    IF kind = 'update' AND NOT any_order AND columns && shape.distinct_text THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM unnest($1, $2) AS g(uuid, data) JOIN %s t ON %s AND t.%I <> g.uuid WHERE t.%I = ANY ($1))',
            shape.quoted,
            (SELECT '(' || string_agg(format('t.%1$I = (g.data ->> %1$L)', name), ' OR ') || ')' FROM unnest(shape.distinct_text) AS name WHERE name = ANY (columns)),
            shape.key, shape.key) INTO goes_over USING uuids, datas;
    END IF;
    RETURN NOT goes_over;
END
$$;

-- Applies foreseen events of one kind on one table, each of another row, by one statement.
CREATE FUNCTION sourcing.write_foreseen(
    kind text, shape sourcing.shape, statements sourcing.statements, uuids uuid[], datas jsonb[], moments timestamptz[], any_order boolean)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    columns constant text[] := ARRAY(SELECT DISTINCT jsonb_object_keys(data) FROM unnest(datas) AS data);
    written bigint;
BEGIN
    IF sourcing.may_be_at_once(kind, shape, uuids, datas, columns, any_order) THEN
        EXECUTE sourcing.statement(statements, kind, columns) USING uuids, datas, moments;
        GET DIAGNOSTICS written = ROW_COUNT;
    END IF;
    IF written IS DISTINCT FROM cardinality(uuids) THEN
        RAISE EXCEPTION 'one after the other';
    END IF;
END
$$;

-- Applies events of one kind on one table, each of another row, by one statement for all that set the same columns.
-- Returns the `filled` of each; null, having written nothing, when that could come to another end than one after the other.
CREATE FUNCTION sourcing.apply_run(
    kind text, shape sourcing.shape, uuids uuid[], datas jsonb[], moments timestamptz[], any_order boolean)
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
BEGIN
    IF shape.key IS NULL OR shape.has_code OR kind NOT IN ('create', 'update', 'delete')
       OR kind = 'delete' AND shape.delete_carries
       -- A key that is there already would not be noticed now.
       OR kind = 'create' AND NOT shape.conflict_tells
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
        IF NOT one.keys <@ shape.written OR kind = 'update' AND one.assignments IS NULL
           OR kind = 'create' AND one.parts > 1 AND shape.numbered <> '{}'
           OR NOT sourcing.may_be_at_once(kind, shape, uuids, datas, one.keys, any_order) THEN
            RAISE EXCEPTION 'one after the other';
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
CREATE FUNCTION sourcing.may_change_places(first_id bigint, last_id bigint, known_kinds jsonb) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
-- The planner does not know how many there are, and each with each is too many.
SET enable_nestloop = off
AS $$
DECLARE
    -- Of the events, by table.
    kinds jsonb := known_kinds;
    one record;
    shape sourcing.shape;
    name text;
    changed uuid[];
    given_values text[];
    given_rows uuid[];
    held_values text[];
    held_rows uuid[];
    numbered text[] := '{}';
BEGIN
    IF kinds IS NULL THEN
        SELECT jsonb_object_agg(e.type, e.kinds) INTO kinds
          FROM (SELECT type, jsonb_agg(event) AS kinds
                  FROM (SELECT DISTINCT type, event FROM sourcing.eventstore WHERE id BETWEEN first_id AND last_id) AS d GROUP BY type) AS e;
    END IF;
    -- The foreign keys between their tables; partitions may have some of their own.
    FOR one IN
        SELECT pointing.key AS pointing, pointed.key AS pointed, a.attname::text AS name,
               con.confkey IS NOT DISTINCT FROM p.conkey AND NOT (a.atthasdef OR ty.typdefault IS NOT NULL OR a.attnum = ANY (own.conkey)) AS tells
          FROM jsonb_each(kinds) AS pointing
         CROSS JOIN jsonb_each(kinds) AS pointed
          JOIN pg_constraint con ON con.contype = 'f'
           AND coalesce(pg_partition_root(con.conrelid), con.conrelid)::oid = sourcing.find(pointing.key)
           AND coalesce(pg_partition_root(con.confrelid), con.confrelid)::oid = sourcing.find(pointed.key)
          LEFT JOIN pg_constraint p ON p.conrelid = con.confrelid AND p.contype = 'p'
          LEFT JOIN pg_constraint own ON own.conrelid = con.conrelid AND own.contype = 'p'
          JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = ANY (con.conkey)
          JOIN pg_type ty ON ty.oid = a.atttypid
    LOOP
        -- At rows that go, at something else than the key, or with something else than what events give: the row's own key, a default, a
        -- generated value.
        IF kinds -> one.pointed ? 'delete' OR NOT one.tells THEN
            RETURN false;
        END IF;
        -- At rows that come.
        IF EXISTS (
            SELECT FROM (SELECT g.id, (g.data ->> one.name)::uuid AS key FROM sourcing.eventstore g
                          WHERE g.id BETWEEN first_id AND last_id AND g.type = one.pointing AND g.data ? one.name) AS given
              JOIN sourcing.eventstore c ON c.uuid = given.key AND c.id BETWEEN first_id AND last_id
               AND c.type = one.pointed AND c.event = 'create') THEN
            RETURN false;
        END IF;
    END LOOP;
    FOR one IN SELECT type, value AS kinds FROM jsonb_each(kinds) AS k(type, value) LOOP
        shape := sourcing.locked_shape(one.type);
        -- Creates that are numbered take turns with those of another table, or one of them comes only after its row has gone.
        IF shape.numbered <> '{}' AND one.kinds ? 'create' THEN
            IF shape.numbered && numbered OR numbered <> '{}' AND 'any' = ANY (numbered || shape.numbered) OR one.kinds ? 'delete' AND EXISTS (
                SELECT FROM sourcing.eventstore c JOIN sourcing.eventstore d ON d.type = c.type AND d.uuid = c.uuid AND d.event = 'delete'
                 WHERE c.type = one.type AND c.event = 'create'
                   AND c.id BETWEEN first_id AND last_id AND d.id BETWEEN first_id AND last_id) THEN
                RETURN false;
            END IF;
            numbered := numbered || shape.numbered;
        END IF;
        CONTINUE WHEN one.kinds = '["create"]';
        IF array_remove(shape.ordered, shape.key) <> '{}' AND one.kinds <> '["delete"]' THEN
            RETURN false;
        END IF;
        FOREACH name IN ARRAY shape.distinct_text LOOP
            SELECT array_agg(e.uuid) FILTER (WHERE e.event <> 'create'),
                   array_agg(e.data ->> name) FILTER (WHERE e.event <> 'delete'), array_agg(e.uuid) FILTER (WHERE e.event <> 'delete')
              INTO changed, given_values, given_rows
              FROM sourcing.eventstore e
             WHERE e.id BETWEEN first_id AND last_id AND e.type = one.type AND (e.event = 'delete' OR e.data ? name);
            CONTINUE WHEN changed IS NULL;
            EXECUTE format('SELECT array_agg(t.%1$I), array_agg(t.%2$I) FROM %3$s t WHERE t.%2$I = ANY ($1)', name, shape.key, shape.quoted)
               INTO held_values, held_rows USING changed;
            -- A value that two rows get, or that one gets and another had. The rows are looked at only where a value comes twice.
            IF EXISTS (
                WITH held AS MATERIALIZED (
                    SELECT * FROM unnest(given_values || held_values, given_rows || held_rows) AS h(value, uuid) WHERE value IS NOT NULL
                )
                SELECT FROM held JOIN (SELECT value FROM held GROUP BY value HAVING count(*) > 1) AS twice USING (value)
                 GROUP BY value HAVING count(DISTINCT uuid) > 1)
            THEN
                RETURN false;
            END IF;
        END LOOP;
    END LOOP;
    RETURN true;
END
$$;

-- Applies events in waves: first the first of each row, then the second of each, and so on; each wave by runs. Where they may not change
-- places, in blocks of the same kind on the same table that follow one another.
-- Returns false, having written nothing, when that could come to another end than one after the other. Where all are foreseen, their kinds by
-- table are known.
CREATE FUNCTION sourcing.apply_in_waves(first_id bigint, last_id bigint, foreseen_kinds jsonb) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    in_waves boolean;
    run record;
    shape sourcing.shape;
    seen record;
    results jsonb[];
BEGIN
    in_waves := sourcing.may_change_places(first_id, last_id, foreseen_kinds);
    FOR run IN
        -- The events of a run in the order of the log: they come sorted, and runs are told apart by hashing.
        SELECT e.wave, e.event, e.type, array_agg(e.id) AS ids, array_agg(e.uuid) AS uuids, array_agg(e.data) AS datas,
               array_agg(e."timestamp") AS moments, array_agg(e.filled) FILTER (WHERE foreseen_kinds IS NULL) AS guesses, count(*) OVER () AS runs
          FROM (SELECT block, row_number() OVER (PARTITION BY uuid, block ORDER BY id) AS wave, event, type, id, uuid, data, "timestamp", filled
                  FROM (SELECT 0 AS block, w.* FROM sourcing.eventstore w WHERE in_waves AND w.id BETWEEN first_id AND last_id
                         UNION ALL
                        SELECT sum(b.begins) OVER (ORDER BY (b.log).id), (b.log).*
                          FROM (SELECT w AS log,
                                       coalesce(w.event <> lag(w.event) OVER o OR w.type <> lag(w.type) OVER o, true)::integer AS begins
                                  FROM sourcing.eventstore w WHERE NOT in_waves AND w.id BETWEEN first_id AND last_id
                                WINDOW o AS (ORDER BY w.id)) AS b) AS placed
                 ORDER BY id) AS e
         GROUP BY e.block, e.wave, e.event, e.type
         ORDER BY e.block, e.wave
    LOOP
        -- A run costs as much as a few events one after the other. A row's second event in a block could have come after another row's.
        IF run.runs * 4 > last_id - first_id + 1 OR NOT in_waves AND run.wave > 1 THEN
            RAISE EXCEPTION 'one after the other';
        END IF;
        shape := sourcing.locked_shape(run.type);
        SELECT s.foreseen, s.many INTO seen FROM sourcing.seen s WHERE s.type = run.type;
        IF foreseen_kinds IS NOT NULL OR NOT EXISTS (SELECT FROM unnest(run.datas) AS data WHERE sourcing.is_foreseen(seen.foreseen, run.event, data) IS NOT TRUE) THEN
            PERFORM sourcing.write_foreseen(run.event, shape, seen.many, run.uuids, run.datas, run.moments, in_waves);
            CONTINUE;
        END IF;
        results := sourcing.apply_run(run.event, shape, run.uuids, run.datas, run.moments, in_waves);
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
-- A plan that was made while the log was empty would read the whole of it ever after.
SET enable_seqscan = off
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
    FOR first_id IN waiting .. head BY 5000 LOOP
        last_id := least(first_id + 4999, head);
        CONTINUE WHEN last_id - first_id >= 3 AND sourcing.apply_in_waves(first_id, last_id, NULL);
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
