-- Appending a create, an update or a delete: check it, apply it to its table, record what the database made of it.
--
-- `accept` runs before each row that anybody inserts into the event store. It belongs to the event store's owner and
-- runs with that role's rights; every name in it is pinned, and so is every setting that changes how a
-- value is written as text.

-- Converts what is given as the columns' types do, and returns it as it will read back.
-- Fails with the column and the value that cannot be taken.
CREATE FUNCTION sourcing.converted(what text, shape sourcing.shape, given jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted text;
    result jsonb;
    one record;
BEGIN
    SELECT string_agg(definition, ', ') INTO wanted
      FROM unnest(shape.written, shape.definitions) AS d(name, definition)
     WHERE given ? d.name;
    IF wanted IS NULL THEN
        RETURN '{}';
    END IF;
    BEGIN
        EXECUTE format('SELECT to_jsonb(r.*) FROM jsonb_to_record($1) AS r(%s)', wanted) INTO result USING given;
        RETURN result;
    EXCEPTION WHEN OTHERS THEN
        -- Once more, column by column, to name the one.
        FOR one IN
            SELECT d.name, d.definition, given -> d.name AS value
              FROM unnest(shape.written, shape.definitions) AS d(name, definition)
             WHERE given ? d.name
        LOOP
            BEGIN
                EXECUTE format('SELECT to_jsonb(r.*) FROM jsonb_to_record($1) AS r(%s)', one.definition)
                   INTO result USING given;
            EXCEPTION WHEN OTHERS THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'EB004',
                    MESSAGE = format('%s: the column %s of %s (%s) cannot take %s', what, one.name, shape.name,
                        substr(one.definition, length(format('%I', one.name)) + 2), left(one.value::text, 200)),
                    DETAIL = SQLERRM,
                    TABLE = shape.name,
                    COLUMN = one.name;
            END;
        END LOOP;
        RAISE;
    END;
END
$$;

-- Runs the statement that changes a table. The table's own triggers and defaults may expect to find `public` in the
-- search path, so this one function has it, and names nothing unqualified itself.
CREATE FUNCTION sourcing.run(statement text, uuid uuid, state jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    EXECUTE statement USING uuid, state;
END
$$;

-- Writes these columns of a state: an INSERT or an UPDATE of the row.
CREATE FUNCTION sourcing.write_row(shape sourcing.shape, event text, uuid uuid, columns text[], state jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names text;
    definitions text;
BEGIN
    SELECT string_agg(format('%I', d.name), ', '), string_agg(d.definition, ', ')
      INTO names, definitions
      FROM unnest(shape.written, shape.definitions) AS d(name, definition)
     WHERE d.name = ANY (columns);
    IF event = 'create' THEN
        PERFORM sourcing.run(
            format('INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM pg_catalog.jsonb_to_record($2) AS r(%3$s)',
                shape.quoted, names, definitions), uuid, state);
    ELSIF names IS NOT NULL THEN
        PERFORM sourcing.run(
            format('UPDATE %1$s SET (%2$s) = (SELECT %2$s FROM pg_catalog.jsonb_to_record($2) AS r(%3$s)) WHERE %4$I OPERATOR(pg_catalog.=) $1',
                shape.quoted, names, definitions, shape.key), uuid, state);
    END IF;
END
$$;

-- Rows whose delete is under way, so that rows that point at each other in a circle end it.
CREATE UNLOGGED TABLE sourcing.deleting (
    relation oid,
    uuid uuid,
    PRIMARY KEY (relation, uuid)
);

-- The rows that the database would remove, null or set to a default along with a row get events of their own, before it.
CREATE FUNCTION sourcing.append_cascades(what text, shape sourcing.shape, row_uuid uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reference record;
    pointing uuid;
    changed jsonb;
    reached boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint
                    WHERE confrelid = shape.relation AND contype = 'f' AND confdeltype IN ('c', 'n', 'd')) THEN
        RETURN;
    END IF;
    INSERT INTO sourcing.deleting VALUES (shape.relation, row_uuid) ON CONFLICT DO NOTHING;
    FOR reference IN
        SELECT con.conrelid, con.conname, con.confdeltype AS action, t.name, t.key, t.reason,
               con.conrelid::regclass AS quoted,
               -- The columns that SET NULL and SET DEFAULT change: all of the key's, or those named since PostgreSQL 15.
               (SELECT array_agg(a.attname::text) FROM pg_attribute a
                 WHERE a.attrelid = con.conrelid
                   AND a.attnum = ANY (coalesce(
                       (SELECT array_agg(n::smallint) FROM jsonb_array_elements_text(nullif(to_jsonb(con) -> 'confdelsetcols', 'null')) AS n),
                       con.conkey))) AS columns,
               (SELECT string_agg(format('f.%I = t.%I', mine.attname, theirs.attname), ' AND ')
                  FROM unnest(con.conkey, con.confkey) AS pair(mine, theirs)
                  JOIN pg_attribute mine ON mine.attrelid = con.conrelid AND mine.attnum = pair.mine
                  JOIN pg_attribute theirs ON theirs.attrelid = con.confrelid AND theirs.attnum = pair.theirs) AS matching
          FROM pg_constraint con
          LEFT JOIN sourcing.tables t ON t.relation = con.conrelid
         WHERE con.confrelid = shape.relation AND con.contype = 'f' AND con.conparentid = 0
           AND con.confdeltype IN ('c', 'n', 'd')
         -- Rows that go come first, so that a row which goes is not changed before. Then by names, as on every store.
         ORDER BY con.confdeltype <> 'c', t.name COLLATE "C",
                  (SELECT string_agg(a.attname::text, ',' ORDER BY pair.at)
                     FROM unnest(con.conkey) WITH ORDINALITY AS pair(num, at)
                     JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = pair.num) COLLATE "C"
    LOOP
        IF reference.key IS NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s f JOIN %s t ON %s WHERE t.%I = $1)',
                reference.quoted, shape.quoted, reference.matching, shape.key) INTO reached USING row_uuid;
            IF reached THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'EB002',
                    MESSAGE = format('%s: it would change rows of %s by the foreign key %s, and that table takes no part: %s',
                        what, coalesce(reference.name, reference.quoted::text), reference.conname,
                        coalesce(reference.reason, 'the event store does not list it')),
                    HINT = 'take those rows away first, or change the foreign key';
            END IF;
            CONTINUE;
        END IF;
        FOR pointing IN EXECUTE format('SELECT f.%I FROM %s f JOIN %s t ON %s WHERE t.%I = $1 ORDER BY 1',
            reference.key, reference.quoted, shape.quoted, reference.matching, shape.key) USING row_uuid
        LOOP
            IF reference.action = 'c' THEN
                -- Not what is being deleted already, further out.
                CONTINUE WHEN EXISTS (SELECT FROM sourcing.deleting d
                                       WHERE d.relation = reference.conrelid AND d.uuid = pointing);
                -- Nor what an event of this cascade has deleted meanwhile.
                CONTINUE WHEN sourcing.stored(sourcing.shape(reference.name), pointing) IS NULL;
                INSERT INTO sourcing.eventstore (event, type, uuid, "timestamp")
                VALUES ('delete', reference.name, pointing, moment);
            ELSE
                CONTINUE WHEN EXISTS (SELECT FROM sourcing.deleting d
                                       WHERE d.relation = reference.conrelid AND d.uuid = pointing);
                changed := sourcing.cascaded_values(reference.conrelid, reference.columns, reference.action = 'd');
                INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp")
                VALUES ('update', reference.name, pointing, changed, moment);
            END IF;
        END LOOP;
    END LOOP;
    DELETE FROM sourcing.deleting WHERE relation = shape.relation AND uuid = row_uuid;
END
$$;

-- What ON DELETE SET NULL or SET DEFAULT makes of these columns.
CREATE FUNCTION sourcing.cascaded_values(relation oid, columns text[], to_default boolean) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    result jsonb := '{}';
    one record;
    value jsonb;
BEGIN
    FOR one IN
        SELECT a.attname::text AS name, pg_get_expr(d.adbin, d.adrelid) AS expression
          FROM pg_attribute a
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND to_default
         WHERE a.attrelid = relation AND a.attname = ANY (columns)
    LOOP
        value := NULL;
        IF one.expression IS NOT NULL THEN
            EXECUTE format('SELECT to_jsonb(%s)', one.expression) INTO value;
        END IF;
        result := result || jsonb_build_object(one.name, value);
    END LOOP;
    RETURN result;
END
$$;

-- The names in `data` must be columns, and ones that an event may set.
CREATE FUNCTION sourcing.check_columns(what text, shape sourcing.shape, data jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given text;
BEGIN
    FOR given IN SELECT jsonb_object_keys(data) LOOP
        IF given <> ALL (shape.columns) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'EB003',
                MESSAGE = format('%s: %s has no column %s', what, shape.name, to_jsonb(given)),
                HINT = 'its columns are ' || array_to_string(shape.columns, ', '),
                TABLE = shape.name,
                COLUMN = given;
        ELSIF given <> ALL (shape.written) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'EB004',
                MESSAGE = format('%s: the column %s of %s is generated by the database and cannot take %s',
                    what, given, shape.name, left((data -> given)::text, 200)),
                TABLE = shape.name,
                COLUMN = given;
        END IF;
    END LOOP;
END
$$;

-- An update cannot change the key or created_on. Giving the value that is held already is no change.
CREATE FUNCTION sourcing.check_fixed(what text, shape sourcing.shape, before jsonb, given jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fixed text;
BEGIN
    FOREACH fixed IN ARRAY ARRAY[shape.key, 'created_on'] LOOP
        IF given ? fixed AND given -> fixed <> before -> fixed THEN
            RAISE EXCEPTION USING
                ERRCODE = 'EB004',
                MESSAGE = format('%s: the column %s of %s cannot be changed from %s to %s',
                    what, fixed, shape.name, before -> fixed, given -> fixed),
                TABLE = shape.name,
                COLUMN = fixed;
        END IF;
    END LOOP;
END
$$;

-- An update that the database would carry on to other rows (ON UPDATE CASCADE, SET NULL, SET DEFAULT) is refused: those rows
-- would change without an event of their own, and the tables would no longer be what the log says.
CREATE FUNCTION sourcing.refuse_update_cascades(what text, shape sourcing.shape, row_uuid uuid, before jsonb, changed jsonb)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reference record;
    reached boolean;
BEGIN
    FOR reference IN
        SELECT con.conname, con.conrelid::regclass AS pointing,
               string_agg(format('f.%I = t.%I', mine.attname, theirs.attname), ' AND ') AS matching
          FROM pg_constraint con
         CROSS JOIN LATERAL unnest(con.conkey, con.confkey) AS pair(mine, theirs)
          JOIN pg_attribute mine ON mine.attrelid = con.conrelid AND mine.attnum = pair.mine
          JOIN pg_attribute theirs ON theirs.attrelid = con.confrelid AND theirs.attnum = pair.theirs
         WHERE con.confrelid = shape.relation AND con.contype = 'f' AND con.conparentid = 0
           AND con.confupdtype IN ('c', 'n', 'd')
         GROUP BY con.oid, con.conname, con.conrelid
        HAVING bool_or(changed ? theirs.attname::text AND changed -> theirs.attname::text <> before -> theirs.attname::text)
         ORDER BY con.conname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s f JOIN %s t ON %s WHERE t.%I = $1)',
            reference.pointing, shape.quoted, reference.matching, shape.key) INTO reached USING row_uuid;
        IF reached THEN
            RAISE EXCEPTION USING ERRCODE = '27000', TABLE = shape.name, CONSTRAINT = reference.conname,
                MESSAGE = format('%s: the foreign key %s would change rows of %s along with it, without events of their own',
                    what, reference.conname, reference.pointing),
                HINT = 'point those rows elsewhere first, or create a row with the new value and delete this one';
        END IF;
    END LOOP;
END
$$;

-- Applies one event to its table, and returns its `filled`.
CREATE FUNCTION sourcing.apply(
    what text, shape sourcing.shape, event text, uuid uuid, data jsonb, moment timestamptz, given_moment timestamptz)
RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before jsonb := sourcing.stored(shape, uuid);
    given jsonb;
    expected jsonb;
    stored jsonb;
BEGIN
    IF event = 'create' AND before IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB006', TABLE = shape.name,
            MESSAGE = format('%s: a row of %s with this uuid exists already', what, shape.name),
            HINT = 'update it, or give another uuid';
    ELSIF event <> 'create' AND before IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'P0002', TABLE = shape.name,
            MESSAGE = format('%s: %s has no such row', what, shape.name);
    END IF;
    PERFORM sourcing.check_columns(what, shape, data);
    IF event = 'delete' THEN
        PERFORM sourcing.append_cascades(what, shape, uuid, given_moment);
        PERFORM sourcing.run(format('DELETE FROM %s WHERE %I OPERATOR(pg_catalog.=) $1', shape.quoted, shape.key), uuid, NULL);
        IF sourcing.stored(shape, uuid) IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = '27000', TABLE = shape.name,
                MESSAGE = format('%s: a trigger of %s keeps the row', what, shape.name);
        END IF;
        RETURN NULL;
    END IF;
    given := sourcing.converted(what, shape, data);
    IF event = 'create' THEN
        PERFORM sourcing.check_fixed(what, shape, jsonb_build_object(shape.key, uuid), given - 'created_on');
    ELSE
        PERFORM sourcing.check_fixed(what, shape, before, given);
        PERFORM sourcing.refuse_update_cascades(what, shape, uuid, before, given);
    END IF;
    expected := sourcing.expected(shape, before, event, uuid, data, moment);
    PERFORM sourcing.write_row(shape, event, uuid,
        CASE event
            WHEN 'create' THEN ARRAY(SELECT jsonb_object_keys(expected))
            ELSE ARRAY(SELECT jsonb_object_keys(data)) || ARRAY['updated_on'] END,
        expected);
    stored := sourcing.stored(shape, uuid);
    IF stored IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '27000', TABLE = shape.name,
            MESSAGE = format('%s: a trigger of %s did not let the row be written', what, shape.name);
    END IF;
    RETURN sourcing.filled(expected, stored);
END
$$;

CREATE FUNCTION sourcing.accept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $$
DECLARE
    not_given constant uuid := '00000000-0000-0000-0000-000000000000';
    what text := concat_ws(' ', NEW.event, NEW.type, nullif(NEW.uuid, not_given));
    head bigint := sourcing.take_writer();
    writer sourcing.writer;
    last sourcing.eventstore;
    given_moment timestamptz := coalesce(NEW."timestamp", '-infinity');
    shape sourcing.shape;
BEGIN
    SELECT * INTO writer FROM sourcing.writer;
    IF writer.expanding = pg_trigger_depth() - 1 THEN
        RETURN NEW;
    END IF;
    SELECT * INTO last FROM sourcing.eventstore WHERE id = head;
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
    ELSIF NOT sourcing.is_owner() THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('%s: the role %s may not give a timestamp', what, session_user),
            HINT = 'leave it out; only the event store''s owner imports';
    ELSIF NOT isfinite(given_moment) OR given_moment < last."timestamp" THEN
        RAISE EXCEPTION USING ERRCODE = 'EB010',
            MESSAGE = format('%s: its timestamp %s is %s', what, given_moment,
                CASE WHEN isfinite(given_moment) THEN 'earlier than the last event''s, ' || last."timestamp" ELSE 'no moment' END);
    END IF;
    NEW.actor := session_user || coalesce('/' || nullif(current_setting('ebb.person', true), ''), '');

    IF NEW.event = 'rollback' THEN
        IF NEW.type IS NOT NULL OR coalesce(NEW.uuid, not_given) <> not_given THEN
            RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = 'a rollback concerns no row: leave out type and uuid';
        END IF;
        NEW.uuid := NULL;
        NEW.data := sourcing.accept_rollback(NEW.data);
        NEW.id := head + 1;
        IF last.id IS NULL OR sourcing.moment_before(NEW.data) > last."timestamp" THEN
            -- Nothing comes after the target: nothing is appended.
            RETURN NULL;
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.type IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EB005', MESSAGE = format('%s: the type, which is the table, is missing', what);
    END IF;
    shape := sourcing.shape(NEW.type);
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
        NEW.uuid := coalesce((sourcing.converted(what, shape, NEW.data) ->> shape.key)::uuid, gen_random_uuid());
    END IF;
    NEW.filled := sourcing.apply(what, shape, NEW.event, NEW.uuid, NEW.data, NEW."timestamp", given_moment);
    -- Last: what a cascade or a trigger of the table has appended comes before its cause.
    NEW.id := sourcing.take_writer() + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER accept BEFORE INSERT ON sourcing.eventstore FOR EACH ROW EXECUTE FUNCTION sourcing.accept();
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER accept;
