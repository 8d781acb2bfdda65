-- A rollback, carried out by the database: whoever inserts `event = 'rollback'` gets it whole, in one statement.
--
-- `accept` checks the marker and reserves its id; `expand` runs when it stands in the log, appends what the strategy
-- says, and then writes the tables set-wise. The order of the log is fixed; that of the writes is not, so foreign
-- keys and the tables' own triggers are off while they happen, and the constraints are checked afterwards.

-- Some ids of the log: from the first to the last, both included.
CREATE TYPE sourcing.span AS (first bigint, last bigint);

CREATE FUNCTION sourcing.contains(spans sourcing.span[], id bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM unnest(spans) AS s WHERE id BETWEEN s.first AND s.last)
$$;

-- The moment that a rollback's data names; without zone it is UTC.
CREATE FUNCTION sourcing.moment_before(data jsonb) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD' AS $$
    SELECT (data ->> 'before')::timestamptz
$$;

-- The last event of the longest run of events, from the first one on and before this id, that are all earlier than the moment;
-- 0 when the first is not.
CREATE FUNCTION sourcing.position_before(moment timestamptz, before_id bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    other sourcing.taken_over;
    place bigint;
BEGIN
    SELECT * INTO other FROM sourcing.taken_over;
    IF moment <= other.latest THEN
        -- Among these the timestamps are in no order.
        RETURN coalesce((SELECT max(e.id) FROM sourcing.eventstore e
                          WHERE e.id < least(before_id, (SELECT min(p.id) FROM sourcing.eventstore p WHERE p."timestamp" >= moment))), 0);
    END IF;
    SELECT id INTO place FROM sourcing.eventstore
     WHERE "timestamp" < moment AND id < before_id
     ORDER BY "timestamp" DESC, id DESC LIMIT 1;
    -- Every event of theirs is earlier, whichever of them has the latest timestamp.
    RETURN greatest(place, CASE WHEN other.through < before_id THEN other.through END, 0);
END
$$;

-- The events effective at a position, E(n): what came after the latest rollback that has ended there, its marker, and
-- what was effective where it went back to.
CREATE FUNCTION sourcing.effective(n bigint) RETURNS sourcing.span[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    spans sourcing.span[] := '{}';
    finish bigint;
    start sourcing.eventstore;
BEGIN
    WHILE n > 0 LOOP
        SELECT max(id) INTO finish FROM sourcing.eventstore
         WHERE event = 'rollback-end' AND id <= n AND id > coalesce((SELECT through FROM sourcing.taken_over), 0);
        IF finish IS NULL THEN
            RETURN spans || ROW(1, n)::sourcing.span;
        END IF;
        SELECT * INTO STRICT start FROM sourcing.eventstore
         WHERE event = 'rollback' AND id < finish ORDER BY id DESC LIMIT 1;
        IF finish < n THEN
            spans := spans || ROW(finish + 1, n)::sourcing.span;
        END IF;
        spans := spans || ROW(start.id, start.id)::sourcing.span;
        n := sourcing.position_before(sourcing.moment_before(start.data), start.id);
    END LOOP;
    RETURN spans;
END
$$;

-- The ids that are in one of the two and not in the other.
CREATE FUNCTION sourcing.differing(a sourcing.span[], b sourcing.span[]) RETURNS sourcing.span[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH cut(at) AS (
        SELECT s.first FROM unnest(a || b) AS s UNION SELECT s.last + 1 FROM unnest(a || b) AS s
    ), piece AS (
        SELECT at AS first, lead(at) OVER (ORDER BY at) - 1 AS last FROM cut
    )
    SELECT coalesce(array_agg(ROW(first, last)::sourcing.span), '{}')
      FROM piece
     WHERE last IS NOT NULL AND sourcing.contains(a, first) <> sourcing.contains(b, first)
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
     WHERE key NOT IN ('before', 'strategy', 'reason', 'undoes', 'redoes') LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = format('a rollback''s data has no key %s', to_jsonb(unknown)),
            HINT = 'its keys are before, strategy, reason, undoes and redoes';
    ELSIF strategy NOT IN ('minimal', 'replay') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005',
            MESSAGE = format('there is no strategy %s: it is minimal or replay', data -> 'strategy');
    ELSIF jsonb_typeof(data -> 'reason') NOT IN ('string') THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'a rollback''s reason must be text';
    ELSIF jsonb_typeof(data -> 'undoes') <> 'number' OR jsonb_typeof(data -> 'redoes') <> 'number' THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'undoes and redoes must be the ids of rollbacks';
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
    -- Its state before the rollback, and after it.
    now jsonb,
    target jsonb,
    -- The create of the row that lives now.
    born bigint,
    -- The event that gave the row its state at the target.
    origin bigint,
    PRIMARY KEY (type, uuid)
);

-- Fills `touched` with the rows that the events in these spans concern, as far as they live before the rollback or after it:
-- what else stands in a table the log does not know, and a rollback leaves it.
CREATE FUNCTION sourcing.find_touched(spans sourcing.span[], now sourcing.span[], target sourcing.span[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one text;
    shape sourcing.shape;
BEGIN
    DELETE FROM sourcing.touched;
    INSERT INTO sourcing.touched (type, uuid)
    SELECT DISTINCT e.type, e.uuid
      FROM unnest(spans) AS s
      JOIN sourcing.eventstore e ON e.id BETWEEN s.first AND s.last
     WHERE e.event IN ('create', 'update', 'delete');
    FOR one IN SELECT DISTINCT type FROM sourcing.touched ORDER BY type LOOP
        -- Nobody changes it from here on, and where somebody has since this transaction began to look, it has to begin anew.
        shape := sourcing.locked_shape(one);
        UPDATE sourcing.touched t
           SET now = state.now, target = state.target, born = state.born, origin = state.origin
          FROM (SELECT e.uuid,
                       sourcing.fold(shape, e.event, e.uuid, e.data, e.filled, e."timestamp" ORDER BY e.id)
                           FILTER (WHERE sourcing.contains(find_touched.now, e.id)) AS now,
                       sourcing.fold(shape, e.event, e.uuid, e.data, e.filled, e."timestamp" ORDER BY e.id)
                           FILTER (WHERE sourcing.contains(find_touched.target, e.id)) AS target,
                       max(e.id) FILTER (WHERE e.event = 'create' AND sourcing.contains(find_touched.now, e.id)) AS born,
                       max(e.id) FILTER (WHERE sourcing.contains(find_touched.target, e.id)) AS origin
                  FROM sourcing.touched w
                  JOIN sourcing.eventstore e ON e.type = w.type AND e.uuid = w.uuid
                 WHERE w.type = one
                 GROUP BY e.uuid) AS state
         WHERE t.type = one AND t.uuid = state.uuid;
    END LOOP;
    DELETE FROM sourcing.touched AS w WHERE w.now IS NULL AND w.target IS NULL;
END
$$;

-- What truly cannot be done is refused before anything is written.
CREATE FUNCTION sourcing.check_touched() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT w.type, w.uuid, lost.name, sh.reason, sh.key IS NULL AS gone
          FROM (SELECT DISTINCT type FROM sourcing.touched) AS types
          LEFT JOIN LATERAL sourcing.shape(types.type) AS sh ON true
          JOIN sourcing.touched w ON w.type = types.type
          LEFT JOIN LATERAL (
               SELECT s.key AS name FROM jsonb_each(w.target) AS s
                WHERE s.value <> 'null' AND s.key <> ALL (sh.columns)
               ) AS lost ON true
         WHERE sourcing.without_nulls(w.now) IS DISTINCT FROM sourcing.without_nulls(w.target)
           AND (sh.key IS NULL OR lost.name IS NOT NULL)
         LIMIT 1
    LOOP
        RAISE EXCEPTION USING
            ERRCODE = 'EB013',
            TABLE = one.type,
            MESSAGE = CASE WHEN one.gone
                THEN format('the table %s %s, so its rows cannot be taken back', one.type,
                    coalesce('takes no part any more (' || one.reason || ')', 'is gone'))
                ELSE format('%s %s had a value in the column %s, which the table no longer has', one.type, one.uuid, one.name) END,
            HINT = 'remove what stands in the way, or choose a later target';
    END LOOP;
END
$$;

-- What `minimal` appends: a delete for each row that goes, newest first; a restore for each that comes back or changes.
CREATE FUNCTION sourcing.append_minimal(marker sourcing.eventstore) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH sh AS (
        SELECT types.type, jsonb_object_agg(column_name, NULL) AS nulls
          FROM (SELECT DISTINCT type FROM sourcing.touched) AS types
         CROSS JOIN LATERAL sourcing.shape(types.type) AS shape
         CROSS JOIN LATERAL unnest(shape.columns) AS column_name
         GROUP BY types.type
    )
    INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", actor, origin)
    SELECT marker.id + row_number() OVER script,
           CASE WHEN w.target IS NULL THEN 'delete' ELSE 'restore' END,
           w.type, w.uuid, coalesce(sh.nulls || w.target, '{}'), marker."timestamp", marker.actor,
           CASE WHEN w.target IS NOT NULL THEN w.origin END
      FROM sourcing.touched w
      JOIN sh USING (type)
    WINDOW script AS (ORDER BY w.target IS NOT NULL, CASE WHEN w.target IS NULL THEN -w.born ELSE w.origin END)
     ORDER BY 1
$$;

-- What `replay` appends: a delete for every live row, newest first; then the events effective at the target, repeated.
CREATE FUNCTION sourcing.append_replay(marker sourcing.eventstore, target sourcing.span[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", actor)
    SELECT marker.id + row_number() OVER (ORDER BY w.born DESC),
           'delete', w.type, w.uuid, '{}', marker."timestamp", marker.actor
      FROM sourcing.touched w
     WHERE w.now IS NOT NULL
     ORDER BY 1;

    INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", filled, actor, origin)
    SELECT (SELECT max(id) FROM sourcing.eventstore) + row_number() OVER (ORDER BY e.id),
           -- Another program's data may be no object.
           e.event, e.type, e.uuid, CASE jsonb_typeof(e.data) WHEN 'object' THEN e.data ELSE '{}' END,
           marker."timestamp", e.filled, marker.actor, e.id
      FROM unnest(target) AS s
      JOIN sourcing.eventstore e ON e.id BETWEEN s.first AND s.last
     WHERE e.event IN ('create', 'update', 'delete')
     ORDER BY 1;
$$;

-- Writes the touched rows of each table: all of them removed, those that live at the target inserted.
CREATE FUNCTION sourcing.write_touched() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one sourcing.shape;
    names text;
    role constant text := current_setting('session_replication_role');
    -- Where triggers or rules act all the same: those that are enabled ALWAYS or for replicas.
    acting constant boolean := EXISTS (
        SELECT FROM (SELECT DISTINCT sourcing.find(type) AS oid FROM sourcing.touched) AS t
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
               CROSS JOIN LATERAL sourcing.shape(types.type) AS sh WHERE sh.key IS NOT NULL
    LOOP
        SELECT string_agg(format('%I', name), ', ') INTO names FROM unnest(one.written) AS name;
        EXECUTE format('DELETE FROM %s t USING sourcing.touched w WHERE w.type = $1 AND t.%I = w.uuid',
            one.quoted, one.key) USING one.name;
        GET DIAGNOSTICS rows = ROW_COUNT;
        own := own || jsonb_build_object(one.relation || ' delete', rows);
        EXECUTE format('INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE
                        SELECT %3$s FROM sourcing.touched w, jsonb_to_record(w.target) AS r(%4$s)
                         WHERE w.type = $1 AND w.target IS NOT NULL',
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

-- The touched rows must now be what the log says.
CREATE FUNCTION sourcing.check_written() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one sourcing.shape;
    wrong record;
BEGIN
    FOR one IN SELECT sh.* FROM (SELECT DISTINCT type FROM sourcing.touched ORDER BY type) AS types
               CROSS JOIN LATERAL sourcing.shape(types.type) AS sh WHERE sh.key IS NOT NULL
    LOOP
        EXECUTE format('SELECT w.uuid, w.target, %3$s AS found
                          FROM sourcing.touched w LEFT JOIN %1$s t ON t.%2$I = w.uuid
                         WHERE w.type = $1
                           AND sourcing.without_nulls(w.target - $2) IS DISTINCT FROM sourcing.without_nulls(%3$s - $2)
                         LIMIT 1', one.quoted, one.key, one.state)
           INTO wrong
          USING one.name, ARRAY(SELECT name FROM (
                    -- Generated columns are the database's, and columns that are gone cannot be compared.
                    SELECT unnest(one.columns) EXCEPT SELECT unnest(one.written)
                    UNION SELECT key FROM sourcing.touched w, jsonb_object_keys(w.target) AS key
                           WHERE w.type = one.name AND key <> ALL (one.columns)) AS skipped(name));
        IF wrong.uuid IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'EB014',
                MESSAGE = format('%s %s is not what the log says after the rollback', one.name, wrong.uuid),
                DETAIL = format('the log says %s, the table has %s', wrong.target, wrong.found);
        END IF;
    END LOOP;
END
$$;

-- The constraints that were not enforced while the rows were written: foreign keys on both sides of the
-- touched rows, and unique constraints that are deferrable (the others hold by their index).
CREATE FUNCTION sourcing.check_constraints() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- What is hidden must not be taken for not there: reading it fails.
SET row_security = off
AS $$
DECLARE
    relations oid[] := ARRAY(SELECT DISTINCT part.oid
          FROM (SELECT DISTINCT sourcing.find(type) AS oid FROM sourcing.touched) AS t
         CROSS JOIN LATERAL (SELECT t.oid UNION SELECT relid FROM pg_partition_tree(t.oid)) AS part);
    one record;
    violated boolean;
BEGIN
    FOR one IN
        SELECT con.conname, con.conrelid::regclass AS pointing, con.confrelid::regclass AS pointed,
               mine.key AS pointing_key, mine.name AS pointing_name, theirs.name AS pointed_name,
               con.conrelid = ANY (relations) AS pointing_touched,
               con.confrelid = ANY (relations) AS pointed_touched,
               columns.given, sourcing.matching(con.oid) AS matching,
               owner.rolname AS owner,
               owner.rolsuper OR pg_has_role(owner.oid, log.relowner, 'MEMBER') AS trusted,
               -- When the key that is pointed at is the one uuid, the rows that have gone say which rows to look at.
               CASE WHEN cardinality(con.conkey) = 1 AND columns.first_pointed = theirs.key THEN columns.first_pointing END AS column
          FROM pg_constraint con
          JOIN pg_class pointing ON pointing.oid = con.conrelid
          JOIN pg_roles owner ON owner.oid = pointing.relowner
          JOIN pg_class log ON log.oid = 'sourcing.eventstore'::regclass
          LEFT JOIN sourcing.tables mine ON mine.relation = coalesce(pg_partition_root(con.conrelid), con.conrelid)
          LEFT JOIN sourcing.tables theirs ON theirs.relation = coalesce(pg_partition_root(con.confrelid), con.confrelid)
         CROSS JOIN LATERAL (
               SELECT string_agg(format('f.%I IS NOT NULL', m.attname), ' AND '),
                      min(m.attname::text), min(t.attname::text)
                 FROM unnest(con.conkey, con.confkey) AS pair(mine, theirs)
                 JOIN pg_attribute m ON m.attrelid = con.conrelid AND m.attnum = pair.mine
                 JOIN pg_attribute t ON t.attrelid = con.confrelid AND t.attnum = pair.theirs
               ) AS columns(given, first_pointing, first_pointed)
         WHERE con.contype = 'f' AND con.conparentid = 0
           AND (con.conrelid = ANY (relations) OR con.confrelid = ANY (relations))
           AND to_jsonb(con) ->> 'conenforced' IS DISTINCT FROM 'false'
         ORDER BY con.conname
    LOOP
        violated := false;
        IF NOT one.trusted THEN
            -- Reading the table would run its owner's policies and casts with the event store's rights.
            IF EXISTS (SELECT FROM sourcing.touched w
                        WHERE w.type = one.pointed_name AND w.now IS NOT NULL
                          AND (w.target IS NULL OR one.column IS NULL AND w.now <> w.target)) THEN
                RAISE EXCEPTION USING ERRCODE = 'EB013', TABLE = one.pointed_name,
                    MESSAGE = format('%s references %s, and cannot be looked at: its owner, %s, is neither a superuser nor a member of the event store''s owner role',
                        one.pointing, one.pointed_name, one.owner),
                    HINT = format('drop the foreign key %s, or give the table to somebody who is', one.conname);
            END IF;
            CONTINUE;
        END IF;
        IF one.pointing_touched AND one.pointing_key IS NOT NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s f JOIN sourcing.touched w ON w.type = $1 AND w.uuid = f.%I
                             WHERE %s AND NOT EXISTS (SELECT FROM %s t WHERE %s))',
                one.pointing, one.pointing_key, one.given, one.pointed, one.matching)
               INTO violated USING one.pointing_name;
        END IF;
        IF one.pointed_touched AND NOT violated THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s f WHERE %s AND %s AND NOT EXISTS (SELECT FROM %s t WHERE %s))',
                one.pointing, one.given,
                CASE WHEN one.column IS NULL THEN 'true'
                     ELSE format('f.%I IN (SELECT uuid FROM sourcing.touched WHERE type = $1 AND target IS NULL)', one.column) END,
                one.pointed, one.matching)
               INTO violated USING one.pointed_name;
        END IF;
        IF violated THEN
            RAISE EXCEPTION USING
                ERRCODE = '23503',
                CONSTRAINT = one.conname,
                TABLE = one.pointing::text,
                MESSAGE = format('the rollback would violate the foreign key %s: a row of %s would point at a row of %s that is not there',
                    one.conname, one.pointing, one.pointed);
        END IF;
    END LOOP;

    FOR one IN
        SELECT con.conname, con.conrelid::regclass AS relation, string_agg(format('%I', a.attname), ', ') AS columns,
               -- Since PostgreSQL 15, nulls can count as the same.
               CASE WHEN to_jsonb(i) -> 'indnullsnotdistinct' = 'true' THEN 'true'
                    ELSE string_agg(format('%I IS NOT NULL', a.attname), ' AND ') END AS given
          FROM pg_constraint con
          JOIN pg_index i ON i.indexrelid = con.conindid
          JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = ANY (con.conkey)
         WHERE con.contype IN ('p', 'u') AND con.condeferrable AND con.conrelid = ANY (relations)
         GROUP BY con.oid, con.conname, con.conrelid, i.*
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %s GROUP BY %s HAVING count(*) > 1)',
            one.relation, one.given, one.columns) INTO violated;
        IF violated THEN
            RAISE EXCEPTION USING
                ERRCODE = '23505',
                CONSTRAINT = one.conname,
                TABLE = one.relation::text,
                MESSAGE = format('the rollback would violate the unique constraint %s of %s', one.conname, one.relation);
        END IF;
    END LOOP;

    FOR one IN
        SELECT con.conname, con.conrelid::regclass AS relation,
               coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') AS condition,
               (SELECT string_agg(pg_get_indexdef(i.indexrelid, place::integer, false) || format(' AS c%s', place), ', ' ORDER BY place)
                  FROM generate_series(1, i.indnkeyatts) AS place) AS columns,
               (SELECT string_agg(format('a.c%1$s OPERATOR(%2$I.%3$s) b.c%1$s', e.place, ns.nspname, op.oprname), ' AND ')
                  FROM unnest(con.conexclop) WITH ORDINALITY AS e(operator, place)
                  JOIN pg_operator op ON op.oid = e.operator
                  JOIN pg_namespace ns ON ns.oid = op.oprnamespace) AS matching
          FROM pg_constraint con
          JOIN pg_index i ON i.indexrelid = con.conindid
         WHERE con.contype = 'x' AND con.condeferrable AND con.conrelid = ANY (relations)
    LOOP
        EXECUTE format('WITH r AS (SELECT ctid AS place, %s FROM %s WHERE %s)
            SELECT EXISTS (SELECT FROM r a JOIN r b ON a.place <> b.place AND %s)',
            one.columns, one.relation, one.condition, one.matching) INTO violated;
        IF violated THEN
            RAISE EXCEPTION USING
                ERRCODE = '23P01',
                CONSTRAINT = one.conname,
                TABLE = one.relation::text,
                MESSAGE = format('the rollback would violate the exclusion constraint %s of %s', one.conname, one.relation);
        END IF;
    END LOOP;
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
DECLARE
    now sourcing.span[] := sourcing.effective(NEW.id - 1);
    target sourcing.span[] := sourcing.effective(sourcing.position_before(sourcing.moment_before(NEW.data), NEW.id));
BEGIN
    UPDATE sourcing.writer SET expanding = pg_trigger_depth();
    IF NEW.data ->> 'strategy' = 'minimal' THEN
        PERFORM sourcing.find_touched(sourcing.differing(now, target), now, target);
        DELETE FROM sourcing.touched AS w
         WHERE sourcing.without_nulls(w.now) IS NOT DISTINCT FROM sourcing.without_nulls(w.target);
        PERFORM sourcing.check_touched();
        PERFORM sourcing.append_minimal(NEW);
    ELSE
        PERFORM sourcing.find_touched(now || target, now, target);
        PERFORM sourcing.check_touched();
        PERFORM sourcing.append_replay(NEW, target);
    END IF;
    INSERT INTO sourcing.eventstore (id, event, uuid, data, "timestamp", actor)
    SELECT max(id) + 1, 'rollback-end', NULL, NEW.data, NEW."timestamp", NEW.actor FROM sourcing.eventstore;
    UPDATE sourcing.writer SET expanding = NULL;

    PERFORM sourcing.write_touched();
    PERFORM sourcing.check_constraints();
    PERFORM sourcing.check_written();
    DELETE FROM sourcing.touched;
    RETURN NULL;
END
$$;

CREATE TRIGGER expand AFTER INSERT ON sourcing.eventstore
    FOR EACH ROW WHEN (NEW.event = 'rollback') EXECUTE FUNCTION sourcing.expand();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER expand;
