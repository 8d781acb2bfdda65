-- A rollback, carried out by the database: whoever inserts `event = 'rollback'` gets it whole, in one statement.
--
-- `accept` checks the marker and reserves its id; `expand` runs when it stands in the log, appends what the strategy
-- says, and then writes the tables set-wise. The order of the log is fixed; that of the writes is not, so foreign
-- keys and the tables' own triggers are off while they happen, and the constraints are checked afterwards.

-- Checks what a rollback says that takes back less than everything.
CREATE FUNCTION sourcing.check_part(given jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own sourcing.span;
    undone jsonb;
BEGIN
    IF given ->> 'strategy' IS DISTINCT FROM 'minimal' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005',
            MESSAGE = 'a part of the database can only be taken back by minimal',
            HINT = 'add "strategy": "minimal"';
    ELSIF (SELECT count(*) FROM unnest(ARRAY['only', 'reverts', 'keeps_later']) AS key WHERE given ? key) > 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'only, reverts and keeps_later exclude each other';
    ELSIF given ? 'only' AND (jsonb_typeof(given -> 'only') <> 'string' OR given ->> 'only' = '') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'only must be a type, or a type, a slash and a uuid';
    ELSIF given ? 'conflicts' AND (NOT given ? 'reverts' OR coalesce(given ->> 'conflicts' NOT IN ('ours', 'theirs'), true)) THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'conflicts must be ours or theirs, together with reverts';
    ELSIF given ? 'reverts' THEN
        IF jsonb_typeof(given -> 'reverts') <> 'array' OR (given -> 'reverts')::text !~ '^\[[0-9]{1,18}, [0-9]{1,18}\]$' THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'reverts must be the first and the last id of a transaction';
        END IF;
        own := sourcing.reverted(given);
        IF own.first > own.last
           OR (SELECT count(DISTINCT e."timestamp") FROM sourcing.eventstore e WHERE e.id BETWEEN own.first AND own.last) <> 1
           OR EXISTS (SELECT FROM sourcing.eventstore e
                       WHERE e.id BETWEEN own.first AND own.last AND e.event NOT IN ('create', 'update', 'delete'))
           OR EXISTS (SELECT FROM sourcing.eventstore e
                       WHERE e.id IN (own.first - 1, own.last + 1)
                         AND e."timestamp" = (SELECT f."timestamp" FROM sourcing.eventstore f WHERE f.id = own.first))
        THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005',
                MESSAGE = format('%s are not the first and the last id of a transaction of creates, updates and deletes', given -> 'reverts'),
                HINT = 'the events of one transaction share their timestamp';
        END IF;
    ELSIF given ? 'keeps_later' THEN
        undone := (SELECT e.data FROM sourcing.eventstore e
                    WHERE e.id = coalesce(given -> 'undoes', given -> 'redoes')::bigint AND e.event = 'rollback');
        IF coalesce(undone ?| ARRAY['reverts', 'keeps_later'], false) IS FALSE THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'keeps_later needs to undo or to redo a rollback that kept what came later';
        END IF;
    END IF;
END
$$;

-- Checks the data that a client gives a rollback, and puts it into the one form that the log has.
CREATE FUNCTION sourcing.accept_rollback(data jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unknown text;
    strategy text := coalesce(data ->> 'strategy', 'replay');
    moment timestamptz;
    form constant text := 'YYYY-MM-DD"T"HH24:MI:SS.US';
BEGIN
    IF NOT sourcing.may_roll_back() THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('the role %s may write events and may not roll back', session_user),
            HINT = 'ask the owner of the event store to';
    END IF;
    SELECT key INTO unknown FROM jsonb_object_keys(data) AS key
     WHERE key NOT IN ('before', 'strategy', 'reason', 'undoes', 'redoes', 'only', 'reverts', 'conflicts', 'keeps_later', 'allow_loss') LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = format('a rollback''s data has no key %s', to_jsonb(unknown)),
            HINT = 'its keys are before, strategy, reason, undoes, redoes, only, reverts, conflicts, keeps_later and allow_loss';
    ELSIF strategy NOT IN ('minimal', 'replay') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005',
            MESSAGE = format('there is no strategy %s: it is minimal or replay', data -> 'strategy');
    ELSIF jsonb_typeof(data -> 'reason') NOT IN ('string') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'a rollback''s reason must be text';
    ELSIF EXISTS (SELECT FROM jsonb_each(data) AS given
                   WHERE given.key IN ('undoes', 'redoes')
                     AND NOT EXISTS (SELECT FROM sourcing.eventstore e
                                      WHERE e.event = 'rollback' AND to_jsonb(e.id) = given.value
                                        AND e.id = CASE WHEN given.value::text ~ '^[0-9]{1,18}$' THEN given.value::bigint END)) THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'undoes and redoes must be the ids of rollbacks';
    ELSIF data ? 'allow_loss' AND data -> 'allow_loss' <> 'true' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'allow_loss can only be true';
    ELSIF data ?| ARRAY['only', 'reverts', 'conflicts', 'keeps_later'] THEN
        PERFORM sourcing.check_part(data);
    END IF;
    BEGIN
        IF jsonb_typeof(data -> 'before') = 'string' AND data ->> 'before' ~ '^[[:space:]]*[0-9]{4,6}-[0-9]' THEN
            moment := sourcing.moment_before(data);
        END IF;
    EXCEPTION WHEN data_exception THEN
        moment := NULL;
    END;
    IF moment IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB010',
            MESSAGE = format('a rollback needs a moment to go back before, and %s is none', coalesce(data -> 'before', 'null')),
            HINT = 'give one like {"before": "2020-02-17T03:09:59.145749"}, in UTC or with a zone';
    END IF;
    RETURN (data - 'strategy')
        || jsonb_build_object('before', to_char(moment AT TIME ZONE 'UTC', form))
        || CASE strategy WHEN 'minimal' THEN '{"strategy": "minimal"}'::jsonb ELSE '{}' END;
END
$$;

-- The rows that a rollback at work writes, empty otherwise. Unlogged: it never outlives the transaction.
CREATE UNLOGGED TABLE sourcing.touched (
    type text,
    uuid uuid,
    -- What the log says of it before the rollback, and after it.
    now jsonb,
    target jsonb,
    -- The row in its table, and what it becomes.
    stored jsonb,
    after jsonb,
    -- The create of the row that lives now.
    born bigint,
    -- The event that gave the row its state at the target.
    origin bigint,
    PRIMARY KEY (type, uuid)
);

-- Steps that rollbacks have taken: each row that was looked at, appended, and written. A sequence counts outside of the transaction, so that
-- others see how far one is.
CREATE SEQUENCE sourcing.progress;

-- What a table's columns hold in rows of which no event speaks of them: what they were added with. When the server writes a table anew it
-- forgets that; then it is the default of today, of a column that must have a value.
CREATE FUNCTION sourcing.unspoken(shape sourcing.shape) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT jsonb_object_agg(d.key, d.value) FROM jsonb_each(shape.constants) AS d
                       JOIN pg_attribute a ON a.attrelid = shape.relation AND a.attname = d.key AND a.attnotnull), '{}')
        || coalesce((SELECT jsonb_object_agg(a.attname, CASE WHEN a.atttypid < 16384 THEN array_to_json(a.attmissingval)::jsonb -> 0
                                                             -- Of other types a cast to JSON could be anybody's code.
                                                             ELSE to_jsonb((a.attmissingval::text::text[])[1]) END)
                       FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid
                      WHERE a.attrelid = shape.relation AND a.atthasmissing AND a.attnum > 0 AND NOT a.attisdropped
                        AND (a.atttypid < 16384 OR ty.typtype = 'e')), '{}');
END
$$;

-- Whether one is a number and the other its text, as where a column has changed its type.
CREATE FUNCTION sourcing.same_text(a jsonb, b jsonb, is_json boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT is_json AND coalesce(jsonb_typeof(a) IN ('number', 'string') AND jsonb_typeof(b) IN ('number', 'string')
                                    AND jsonb_typeof(a) <> jsonb_typeof(b) AND a #>> '{}' = b #>> '{}', false)
$$;

-- Whether a column can hold this value and would give it back as it is; a number and its text are the same.
CREATE FUNCTION sourcing.fits(shape sourcing.shape, name text, value jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held jsonb;
BEGIN
    IF value = 'null' OR name <> ALL (shape.written) THEN
        RETURN true;
    END IF;
    EXECUTE format('SELECT %s -> $2 FROM jsonb_to_record($1) AS t(%s)', sourcing.state_of(shape.relation, name),
                   shape.definitions[array_position(shape.written, name)])
       INTO held USING jsonb_build_object(name, value), name;
    RETURN held = value OR sourcing.same_text(held, value, name = ANY (shape.json));
-- The last ones: what a value names is not there.
EXCEPTION WHEN data_exception OR check_violation OR not_null_violation
            OR undefined_table OR undefined_object OR undefined_function OR invalid_schema_name THEN
    RETURN false;
END
$$;

-- A state as its table can hold it: without what has a column and does not fit any more.
CREATE FUNCTION sourcing.fitting(shape sourcing.shape, state jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN state IS NOT NULL
           THEN state || (SELECT coalesce(jsonb_object_agg(s.key, NULL), '{}') FROM jsonb_each(state) AS s WHERE NOT sourcing.fits(shape, s.key, s.value))
           END
$$;

-- The columns in which a row is not what the log says. One that is null because it cannot hold any more what the log says is no difference. One that the log does not speak of may be null, or what it was added with. Generated
-- ones follow from the others.
CREATE FUNCTION sourcing.drifted(told jsonb, there jsonb, shape sourcing.shape, unspoken jsonb) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(name), '{}') FROM unnest(shape.written) AS name
     WHERE coalesce(told -> name, 'null') <> coalesce(there -> name, 'null')
       AND (told ? name OR (there -> name = unspoken -> name) IS NOT TRUE AND (there -> name = shape.constants -> name) IS NOT TRUE)
       AND NOT sourcing.same_text(told -> name, there -> name, name = ANY (shape.json))
       AND (coalesce(there -> name, 'null') <> 'null' OR sourcing.fits(shape, name, told -> name))
$$;

-- Fills `touched` with the rows that the rollback may concern, and with what becomes of each. What stands in a table and the log
-- knows neither now nor at the target, it leaves.
CREATE FUNCTION sourcing.find_touched(marker sourcing.eventstore) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_for constant sourcing.effective_rows[] := sourcing.effective_for_all(marker.id - 1, NULL);
    target_for constant sourcing.effective_rows[] := sourcing.effective_for_all(marker.id - 1, marker);
    spans sourcing.span[];
    here record;
    shape sourcing.shape;
    -- A row of which nothing is said.
    nothing jsonb;
    -- Whether columns of some events do not count.
    overrules boolean;
BEGIN
    DELETE FROM sourcing.touched;
    SELECT array_agg(DISTINCT ROW(s.first, s.last)::sourcing.span) INTO spans
      FROM unnest(target_for) AS t
     -- Rows that only this rollback names had the E of the others until now.
     CROSS JOIN LATERAL (SELECT * FROM unnest(now_for) WITH ORDINALITY AS n(type, uuid, spans, overruled, place)
                          WHERE n.place = sourcing.effective_place(now_for, t.type, t.uuid)) AS n
     CROSS JOIN LATERAL unnest(sourcing.differing(n.spans, t.spans)) AS s;
    FOR here IN
        WITH found AS (
            SELECT type, array_agg(uuid) AS uuids,
                   -- Which events are effective for them.
                   CASE cardinality(target_for) WHEN 1 THEN 1 ELSE sourcing.effective_place(target_for, type, uuid) END AS place
              FROM (SELECT DISTINCT e.type, e.uuid
                      FROM unnest(spans) AS s
                      JOIN sourcing.eventstore e ON e.id BETWEEN s.first AND s.last
                     WHERE e.event IN ('create', 'update', 'delete')
                       AND (NOT marker.data ? 'only' OR sourcing.covers(marker.data, e.type, e.uuid))) AS rows
             GROUP BY 1, 3
        )
        SELECT f.type, f.uuids, r.spans AS target, r.overruled AS target_overruled, n.spans AS now, n.overruled AS now_overruled,
               -- Of each span the first and the last id, ascending: a binary search tells whether an id is in one.
               (SELECT array_agg(s.first ORDER BY s.first) FROM unnest(n.spans) AS s) AS now_firsts,
               (SELECT array_agg(s.last ORDER BY s.first) FROM unnest(n.spans) AS s) AS now_lasts,
               (SELECT array_agg(s.first ORDER BY s.first) FROM unnest(r.spans) AS s) AS target_firsts,
               (SELECT array_agg(s.last ORDER BY s.first) FROM unnest(r.spans) AS s) AS target_lasts
          FROM found f
          JOIN unnest(target_for) WITH ORDINALITY AS r(type, uuid, spans, overruled, place) ON r.place = f.place
          JOIN unnest(now_for) WITH ORDINALITY AS n(type, uuid, spans, overruled, place)
            ON n.place = sourcing.effective_place(now_for, r.type, r.uuid)
         ORDER BY f.type, f.place
    LOOP
        -- Nobody changes it from here on, and where somebody has since this transaction began to look, it has to begin anew.
        shape := sourcing.locked_shape(here.type);
        nothing := (SELECT jsonb_object_agg(name, NULL) FROM unnest(shape.columns) AS name) || sourcing.unspoken(shape);
        overrules := here.now_overruled <> '{}' OR here.target_overruled <> '{}';
        -- What becomes of a row. Of one that stays, only those columns change in which the log differs between now and the target: what the
        -- rollback does not concern stays, whether the log speaks of it or not. One that comes back has what the log says, and else what
        -- its columns were added with.
        EXECUTE format('
            INSERT INTO sourcing.touched (type, uuid, now, target, born, origin, stored, after)
            SELECT $1.name, log.*,
                   CASE
                       WHEN log.target IS NULL OR $1.key IS NULL THEN NULL
                       WHEN log.stored IS NULL OR log.now IS NULL THEN $2 || CASE log.target - $1.columns WHEN ''{}'' THEN fitting.target
                            ELSE fitting.target - ARRAY(SELECT jsonb_object_keys(log.target - $1.columns)) END
                       ELSE log.stored || coalesce((
                            SELECT jsonb_object_agg(name, coalesce(fitting.target -> name, $2 -> name)) FROM unnest($1.columns) AS name
                             WHERE coalesce(log.now -> name, ''null'') <> coalesce(log.target -> name, ''null'')
                               AND NOT sourcing.same_text(log.now -> name, log.target -> name, name = ANY ($1.json))), ''{}'') END
              FROM (SELECT state.*, %1$s AS stored
                      FROM (SELECT e.uuid,
                                   sourcing.fold(e.event, e.said %3$s, e.filled %3$s, $1.json, $1.columns
                                                 ORDER BY e.id) FILTER (WHERE e.is_now) AS now,
                                   sourcing.fold(e.event, e.said %4$s, e.filled %4$s, $1.json, $1.columns
                                                 ORDER BY e.id) FILTER (WHERE e.is_target) AS target,
                                   max(e.id) FILTER (WHERE e.event = ''create'' AND e.is_now) AS born,
                                   max(e.id) FILTER (WHERE e.is_target) AS origin
                              FROM (SELECT e.id, e.event, e.uuid, e.filled,
                                           -- Data that is no object, which other programs wrote, says nothing.
                                           sourcing.said($1, e.event, e.uuid, CASE jsonb_typeof(e.data) WHEN ''object'' THEN e.data ELSE ''{}'' END,
                                                         e."timestamp") AS said,
                                           coalesce(e.id <= ($4)[width_bucket(e.id, $3)], false) AS is_now,
                                           coalesce(e.id <= ($6)[width_bucket(e.id, $5)], false) AS is_target
                                      FROM unnest($7) AS w(uuid)
                                      JOIN sourcing.eventstore e ON e.type = $1.name AND e.uuid = w.uuid
                                    -- What is said is worked out once, not once for each fold.
                                    OFFSET 0) AS e
                                   %5$s
                             WHERE e.is_now OR e.is_target
                             GROUP BY e.uuid) AS state
                      %2$s
                     WHERE state.now IS NOT NULL OR state.target IS NOT NULL) AS log
             CROSS JOIN LATERAL (SELECT %6$s AS target) AS fitting
             WHERE nextval(''sourcing.progress'') > 0',
            CASE WHEN shape.key IS NULL THEN 'NULL::jsonb' ELSE shape.state END,
            CASE WHEN shape.key IS NOT NULL THEN format('LEFT JOIN %s AS t ON t.%I = state.uuid', shape.quoted, shape.key) END,
            CASE WHEN overrules THEN '- n.columns' END,
            CASE WHEN overrules THEN '- r.columns' END,
            CASE WHEN overrules THEN
               'CROSS JOIN LATERAL (SELECT sourcing.overruled_columns($8, $9, $1.name, e.uuid, e.id) AS columns) AS n
                CROSS JOIN LATERAL (SELECT sourcing.overruled_columns($10, $11, $1.name, e.uuid, e.id) AS columns) AS r' END,
            -- What does not fit fails when it is written, unless it may be lost.
            CASE WHEN marker.data ? 'allow_loss' AND shape.key IS NOT NULL THEN 'sourcing.fitting($1, log.target)' ELSE 'log.target' END)
          USING shape, nothing, here.now_firsts, here.now_lasts, here.target_firsts, here.target_lasts, here.uuids,
                here.now_overruled, here.now, here.target_overruled, here.target;
    END LOOP;
END
$$;

-- What truly cannot be done is refused before anything is written, and what would be lost: values that have no place any more unless the rollback says
-- that this is allowed, and values that stand in a table and not in the log. Leaves the rows that change.
CREATE FUNCTION sourcing.check_touched(marker sourcing.eventstore) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here record;
    one record;
    shape sourcing.shape;
    unspoken jsonb;
    nulls jsonb;
    -- Columns that follow from the others.
    generated text[];
BEGIN
    FOR here IN SELECT DISTINCT type FROM sourcing.touched ORDER BY type LOOP
        shape := sourcing.locked_shape(here.type);
        IF shape.key IS NULL THEN
            SELECT w.uuid INTO one FROM sourcing.touched w
             WHERE w.type = here.type AND (w.target IS NOT NULL OR shape.relation IS NOT NULL)
               AND sourcing.without_nulls(w.now) IS DISTINCT FROM sourcing.without_nulls(w.target) LIMIT 1;
            IF FOUND AND shape.relation IS NOT NULL THEN
                RAISE EXCEPTION USING ERRCODE = 'EB013', TABLE = here.type,
                    MESSAGE = format('the table %s takes no part any more (%s), so its rows cannot be taken back', here.type, shape.reason),
                    HINT = 'remove what stands in the way, or choose a later target';
            ELSIF FOUND AND NOT marker.data ? 'allow_loss' THEN
                RAISE EXCEPTION USING ERRCODE = 'EB013', TABLE = here.type,
                    MESSAGE = format('the table %s is gone, so its rows cannot be taken back', here.type),
                    HINT = 'remove what stands in the way, choose a later target, or add "allow_loss": true to leave them in the log alone';
            END IF;
            DELETE FROM sourcing.touched w WHERE w.type = here.type;
            CONTINUE;
        END IF;
        SELECT w.uuid, s.key AS name INTO one FROM sourcing.touched w CROSS JOIN LATERAL jsonb_each(w.target) AS s
         WHERE w.type = here.type AND s.value <> 'null' AND s.key <> ALL (shape.columns) AND s.value IS DISTINCT FROM w.now -> s.key LIMIT 1;
        IF FOUND AND NOT marker.data ? 'allow_loss' THEN
            RAISE EXCEPTION USING ERRCODE = 'EB013', TABLE = here.type,
                MESSAGE = format('%s %s had a value in the column %s, which the table no longer has', here.type, one.uuid, one.name),
                HINT = 'remove what stands in the way, choose a later target, or add "allow_loss": true to leave such values in the log alone';
        END IF;
        generated := ARRAY(SELECT unnest(shape.columns) EXCEPT SELECT unnest(shape.written));
        DELETE FROM sourcing.touched w
         WHERE w.type = here.type
           AND w.stored - generated IS NOT DISTINCT FROM w.after - generated;
        unspoken := sourcing.unspoken(shape);
        nulls := (SELECT jsonb_object_agg(name, NULL) FROM unnest(shape.columns) AS name);
        SELECT w.uuid, w.now IS NULL AS extra, d.name, w.stored -> d.name AS found, w.now -> d.name AS told INTO one
          FROM sourcing.touched w
          -- Most rows are just what the log says, which is quickly seen.
          LEFT JOIN LATERAL unnest(CASE nulls || w.now WHEN w.stored THEN '{}' ELSE sourcing.drifted(w.now, w.stored, shape, unspoken) END) AS d(name)
            ON w.after IS NULL OR w.after -> d.name <> w.stored -> d.name
         WHERE w.type = here.type AND w.stored IS NOT NULL AND (w.now IS NULL OR d.name IS NOT NULL)
         ORDER BY w.uuid LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'EB013', TABLE = here.type,
                MESSAGE = CASE WHEN one.extra THEN format('%s %s is in the table, and the log knows of no such row', here.type, one.uuid)
                    ELSE format('%s %s has %s in %s, where the log says %s', here.type, one.uuid, left(one.found::text, 200), one.name,
                                left(coalesce(one.told, 'null')::text, 200)) END,
                HINT = 'it was written behind the log''s back and would be lost; `ebb init --record-differences` makes events of it';
        END IF;
    END LOOP;
END
$$;

-- Of a rollback that keeps what came after a transaction: refuses it where an event that came after could not be then, an update or a delete of
-- a row that is not there, or a create of one that is.
CREATE FUNCTION sourcing.check_depending(marker sourcing.eventstore) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own constant sourcing.span := sourcing.reverted(marker.data);
    now_for constant sourcing.effective_rows[] := sourcing.effective_for_all(marker.id - 1, NULL);
    target_for constant sourcing.effective_rows[] := sourcing.effective_for_all(marker.id - 1, marker);
    one record;
BEGIN
    WITH life AS (
        SELECT e.id, e.event, e.type, e.uuid,
               sourcing.contains((now_for[sourcing.effective_place(now_for, e.type, e.uuid)]).spans, e.id) AS is_now,
               sourcing.contains((target_for[sourcing.effective_place(target_for, e.type, e.uuid)]).spans, e.id) AS is_target
          FROM (SELECT DISTINCT t.type, t.uuid FROM sourcing.eventstore t
                 WHERE t.id BETWEEN own.first AND own.last AND sourcing.covers(marker.data, t.type, t.uuid)) AS concerned
          JOIN sourcing.eventstore e ON e.type = concerned.type AND e.uuid = concerned.uuid
         WHERE e.event IN ('create', 'update', 'delete') AND e.id < marker.id
    ), impossible AS (
        SELECT id, event, type, uuid, is_target
          FROM (SELECT l.*, lag(l.event) OVER (PARTITION BY l.type, l.uuid ORDER BY l.id) AS before FROM life l WHERE l.is_target) AS target_life
         WHERE (event = 'create') = (before IS NOT NULL AND before <> 'delete')
        EXCEPT
        SELECT id, event, type, uuid, true
          FROM (SELECT l.*, lag(l.event) OVER (PARTITION BY l.type, l.uuid ORDER BY l.id) AS before FROM life l WHERE l.is_now) AS now_life
         WHERE (event = 'create') = (before IS NOT NULL AND before <> 'delete')
    )
    SELECT * INTO one FROM impossible WHERE id > own.last ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'EB013', TABLE = one.type,
            MESSAGE = format('whether %s %s is there depends on it, and #%s %s later', one.type, one.uuid, one.id,
                             CASE one.event WHEN 'create' THEN 'makes it anew' WHEN 'delete' THEN 'deletes it' ELSE 'changes it' END),
            HINT = 'revert that first, or roll back to before it';
    END IF;
END
$$;

-- What `minimal` appends: a delete for each row that goes, newest first; a restore for each that comes back or changes.
CREATE FUNCTION sourcing.append_minimal(marker sourcing.eventstore) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", actor, origin)
    SELECT marker.id + row_number() OVER script,
           CASE WHEN w.after IS NULL THEN 'delete' ELSE 'restore' END,
           CASE WHEN nextval('sourcing.progress') > 0 THEN w.type END, w.uuid, coalesce(w.after, '{}'), marker."timestamp", marker.actor,
           CASE WHEN w.after IS NOT NULL THEN w.origin END
      FROM sourcing.touched w
    WINDOW script AS (ORDER BY w.after IS NOT NULL, CASE WHEN w.after IS NULL THEN -w.born ELSE w.origin END)
     ORDER BY 1
$$;

-- What `replay` appends: a delete for every live row, newest first; then the events effective at the target, repeated, without
-- what of them does not count.
CREATE FUNCTION sourcing.append_replay(marker sourcing.eventstore) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_for constant sourcing.effective_rows[] := sourcing.effective_for_all(marker.id - 1, NULL);
    target_for constant sourcing.effective_rows[] := sourcing.effective_for_all(marker.id - 1, marker);
    one constant boolean := cardinality(now_for) = 1 AND cardinality(target_for) = 1 AND (target_for[1]).overruled = '{}';
BEGIN
    INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", actor)
    SELECT marker.id + row_number() OVER (ORDER BY living.born DESC),
           'delete', living.type, living.uuid, '{}', marker."timestamp", marker.actor
      FROM (SELECT e.type, e.uuid, max(e.id) FILTER (WHERE e.event = 'create') AS born, max(e.id) FILTER (WHERE e.event = 'delete') AS died
              FROM sourcing.eventstore e
             WHERE e.event IN ('create', 'delete') AND e.id < marker.id
               AND sourcing.contains((now_for[CASE WHEN one THEN 1 ELSE sourcing.effective_place(now_for, e.type, e.uuid) END]).spans, e.id)
             GROUP BY e.type, e.uuid) AS living
     WHERE living.born > coalesce(living.died, 0)
     ORDER BY 1;

    INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", filled, actor, origin)
    SELECT (SELECT max(id) FROM sourcing.eventstore) + row_number() OVER (ORDER BY e.id),
           e.event, e.type, e.uuid,
           -- Another program's data may be no object.
           CASE WHEN jsonb_typeof(e.data) <> 'object' THEN '{}' WHEN c.columns IS NULL THEN e.data ELSE e.data - c.columns END,
           marker."timestamp", CASE WHEN c.columns IS NULL THEN e.filled ELSE e.filled - c.columns END, marker.actor, e.id
      FROM sourcing.eventstore e
      LEFT JOIN LATERAL (
           SELECT sourcing.overruled_columns(r.overruled, r.spans, e.type, e.uuid, e.id) AS columns
             FROM unnest(target_for) WITH ORDINALITY AS r(type, uuid, spans, overruled, place)
            WHERE NOT one AND r.place = sourcing.effective_place(target_for, e.type, e.uuid)) AS c ON true
     WHERE e.event IN ('create', 'update', 'delete') AND e.id < marker.id
       AND sourcing.contains((target_for[CASE WHEN one THEN 1 ELSE sourcing.effective_place(target_for, e.type, e.uuid) END]).spans, e.id)
     ORDER BY 1;
END
$$;

-- Writes the touched rows of each table: all of them removed, those that live afterwards inserted.
CREATE FUNCTION sourcing.write_touched() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one sourcing.shape;
    names text;
    role constant text := current_setting('session_replication_role');
    -- Where triggers or rules act all the same: those that are enabled ALWAYS or for replicas.
    acting constant boolean := EXISTS (
        SELECT FROM (SELECT sourcing.find(type) AS oid FROM (SELECT DISTINCT type FROM sourcing.touched) AS types) AS t
         CROSS JOIN LATERAL (SELECT t.oid UNION SELECT relid FROM pg_partition_tree(t.oid)) AS part
         WHERE EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = part.oid AND NOT g.tgisinternal AND g.tgenabled IN ('A', 'R'))
            OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = part.oid AND r.ev_enabled IN ('A', 'R')));
    writes_before constant jsonb := CASE WHEN acting THEN sourcing.row_writes() END;
    own jsonb := '{}';
    rows bigint;
    wrong record;
BEGIN
    -- Neither the tables' own triggers nor foreign keys act: what they did is in the log.
    PERFORM set_config('session_replication_role', 'replica', true);
    FOR one IN SELECT sh.* FROM (SELECT DISTINCT type FROM sourcing.touched ORDER BY type) AS types
               CROSS JOIN LATERAL sourcing.locked_shape(types.type) AS sh WHERE sh.key IS NOT NULL
    LOOP
        SELECT string_agg(format('%I', name), ', ') INTO names FROM unnest(one.written) AS name;
        EXECUTE format('DELETE FROM %s t USING sourcing.touched w WHERE w.type = $1 AND t.%I = w.uuid',
            one.quoted, one.key) USING one.name;
        GET DIAGNOSTICS rows = ROW_COUNT;
        own := own || jsonb_build_object(one.relation || ' delete', rows);
        EXECUTE format('INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE
                        SELECT %3$s FROM sourcing.touched w, jsonb_to_record(w.after) AS r(%4$s)
                         WHERE w.type = $1 AND w.after IS NOT NULL AND nextval(''sourcing.progress'') > 0',
            one.quoted, names, (SELECT string_agg(format('r.%I', name), ', ') FROM unnest(one.written) AS name),
            array_to_string(one.definitions, ', ')) USING one.name;
        GET DIAGNOSTICS rows = ROW_COUNT;
        own := own || jsonb_build_object(one.relation || ' create', rows);
    END LOOP;
    PERFORM set_config('session_replication_role', role, true);
    IF NOT acting THEN
        RETURN;
    END IF;
    SELECT t.name, split_part(w.key, ' ', 2) AS kind INTO wrong
      FROM (SELECT key, value::bigint AS rows FROM jsonb_each_text(sourcing.row_writes())
             UNION ALL SELECT key, -value::bigint FROM jsonb_each_text(writes_before)
             UNION ALL SELECT key, -value::bigint FROM jsonb_each_text(own)) AS w
      JOIN sourcing.tables t ON t.relation = split_part(w.key, ' ', 1)::oid AND t.key IS NOT NULL
     GROUP BY t.name, w.key
    HAVING sum(w.rows) <> 0
     ORDER BY t.name, w.key
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'EB014', TABLE = wrong.name,
            MESSAGE = format('a trigger or a rule that acts during a rollback too wrote to %s (%s), which no event says', wrong.name, wrong.kind),
            HINT = 'one that is enabled ALWAYS or for replicas must not write to tables that take part';
    END IF;
END
$$;

-- Empties `touched`. Where there were many rows, in a way that leaves nothing behind: the next rollbacks would go through what was deleted until the
-- table is vacuumed. Unless somebody reads it, as a dump does: that must not make writers wait.
CREATE FUNCTION sourcing.forget_touched() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_relation_size('sourcing.touched') > 1000000 THEN
        BEGIN
            LOCK TABLE sourcing.touched IN ACCESS EXCLUSIVE MODE NOWAIT;
            TRUNCATE sourcing.touched;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END IF;
    DELETE FROM sourcing.touched;
END
$$;

-- Runs after a `rollback` stands in the log, and writes everything that follows from it.
CREATE FUNCTION sourcing.expand() RETURNS trigger
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
BEGIN
    UPDATE sourcing.writer SET expanding = pg_trigger_depth();
    IF NEW.data ?| ARRAY['reverts', 'keeps_later'] THEN
        PERFORM sourcing.check_depending(NEW);
    END IF;
    PERFORM sourcing.find_touched(NEW);
    PERFORM sourcing.check_touched(NEW);
    -- As for a batch: the rows are told apart without looking at each.
    PERFORM set_config('ebb.expanding', 'batch', true);
    IF NEW.data ->> 'strategy' = 'minimal' THEN
        PERFORM sourcing.append_minimal(NEW);
    ELSE
        PERFORM sourcing.append_replay(NEW);
    END IF;
    INSERT INTO sourcing.eventstore (id, event, uuid, data, "timestamp", actor)
    SELECT max(id) + 1, 'rollback-end', NULL, NEW.data, NEW."timestamp", NEW.actor FROM sourcing.eventstore;
    PERFORM set_config('ebb.expanding', '', true);
    UPDATE sourcing.writer SET expanding = NULL;

    PERFORM sourcing.write_touched();
    PERFORM sourcing.check_constraints();
    PERFORM sourcing.check_written();
    PERFORM sourcing.forget_touched();
    RETURN NULL;
END
$$;

CREATE TRIGGER expand AFTER INSERT ON sourcing.eventstore
    FOR EACH ROW WHEN (NEW.event = 'rollback') EXECUTE FUNCTION sourcing.expand();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER expand;
