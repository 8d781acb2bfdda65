-- What a table looks like is read from the catalogue once, and once more when that has changed.

-- What this transaction has done to the catalogue so far. While the number stands still, a shape that it has seen holds:
-- others cannot change a table that this transaction has locked.
CREATE FUNCTION sourcing.catalogue_writes() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN pg_stat_get_xact_tuples_inserted('pg_attribute'::regclass) + pg_stat_get_xact_tuples_updated('pg_attribute'::regclass)
         + pg_stat_get_xact_tuples_inserted('pg_class'::regclass) + pg_stat_get_xact_tuples_updated('pg_class'::regclass)
         + pg_stat_get_xact_tuples_inserted('pg_trigger'::regclass) + pg_stat_get_xact_tuples_updated('pg_trigger'::regclass)
         + pg_stat_get_xact_tuples_deleted('pg_trigger'::regclass)
         + pg_stat_get_xact_tuples_inserted('pg_constraint'::regclass) + pg_stat_get_xact_tuples_deleted('pg_constraint'::regclass)
         + pg_stat_get_xact_tuples_inserted('pg_attrdef'::regclass) + pg_stat_get_xact_tuples_deleted('pg_attrdef'::regclass)
         + pg_stat_get_xact_tuples_inserted('pg_rewrite'::regclass) + pg_stat_get_xact_tuples_updated('pg_type'::regclass)
         + pg_stat_get_xact_tuples_inserted('pg_auth_members'::regclass) + pg_stat_get_xact_tuples_deleted('pg_auth_members'::regclass)
         + pg_stat_get_xact_tuples_updated('pg_authid'::regclass) + pg_stat_get_xact_tuples_updated('pg_namespace'::regclass)
         + pg_stat_get_xact_tuples_updated('pg_proc'::regclass);
END
$$;

-- What the catalogue says of a table, told by where its entries there lie and which transactions wrote them: while that is the same, so is
-- the table's shape. Null when its shape depends on more: on code, types and privileges that are noted elsewhere. Who asks is the event
-- store's owner. Defaults and constraints of other kinds leave a trace in the entries of their columns, of their indexes or of the table itself.
--
-- A small part of what the shape costs: each look is one into an index, which a small catalogue's statistics would not suggest, and the
-- plan is the same each time.
CREATE FUNCTION sourcing.fingerprint(relation oid) RETURNS text
LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN count(*) = count(part.entry) THEN concat_ws(' ', c.oid, c.xmin, c.ctid, c.relnamespace::regnamespace, current_user, string_agg(part.entry, ' ')) END
          FROM pg_catalog.pg_class c
         CROSS JOIN LATERAL (
               SELECT CASE WHEN a.attinhcount > 0 THEN NULL
                           WHEN a.attisdropped OR a.atttypid < 16384 THEN a.xmin::text || a.ctid::text
                           -- Of the types that are not built in, only an enum has no code.
                           ELSE (SELECT concat(a.xmin, a.ctid, ty.xmin, ty.ctid) FROM pg_catalog.pg_type ty WHERE ty.oid = a.atttypid AND ty.typtype = 'e') END
                 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                UNION ALL
               -- Those of foreign keys, from here and to here.
               SELECT CASE WHEN g.tgisinternal THEN g.xmin::text || g.ctid::text END FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid
                UNION ALL
               SELECT i.xmin::text || i.ctid::text FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid) AS part(entry)
         WHERE c.oid = relation
           AND c.relkind = 'r' AND NOT (c.relhassubclass OR c.relhasrules OR c.relrowsecurity)
           -- No other table can come to have its name, dot included.
           AND strpos(c.relname, '.') = 0 AND strpos(c.relnamespace::regnamespace::text, '.') = 0
           AND (c.relnamespace::regnamespace::text = 'public' OR NOT EXISTS (
                    SELECT FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace p ON p.oid = o.relnamespace AND p.nspname = 'public'
                     WHERE o.relname = (SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace)))
           AND pg_has_role(c.relowner, current_user, 'MEMBER')
           AND has_schema_privilege(c.relnamespace, 'USAGE')
           AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
         GROUP BY c.oid, c.xmin, c.ctid, c.relnamespace);
END
$$;

-- Whether functions, operators or collations that are not built in have a part in a table's defaults, constraints or indexes: what those are,
-- volatile or not, can change without any of its own entries.
CREATE FUNCTION sourcing.uses_code(relation oid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM pg_depend d
         WHERE d.refobjid >= 16384
           AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass,
                                'pg_collation'::regclass)
           AND (d.classid = 'pg_class'::regclass
                    AND (d.objid = relation OR d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = relation))
                OR d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT oid FROM pg_attrdef WHERE adrelid = relation)
                OR d.classid = 'pg_constraint'::regclass
                    AND d.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = relation OR confrelid = relation)));
END
$$;

-- Events of which it is known beforehand what the database will make of them: their row will hold what they say, and their table's
-- constant defaults. Nothing has to be read back then.
CREATE TYPE sourcing.foreseen AS (
    -- What the JSON of such an event's data looks like, as a regular expression, without the columns that take any JSON.
    data text,
    any_json text[],
    -- Those, and the ones that take any string.
    any_string text[],
    -- The kinds of such events.
    kinds text[]
);

-- Null where the database may do more than an event says: by code, by generated columns, or by constraints that could depend on a
-- session's settings; and for tables of so many columns that comparing with what such data looks like takes longer than reading back.
CREATE FUNCTION sourcing.foreseen(shape sourcing.shape) RETURNS sourcing.foreseen
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Of what its own literals mean.
SET standard_conforming_strings = on
AS $$
DECLARE
    result sourcing.foreseen;
    -- They are given by the event store itself.
    given constant text[] := ARRAY[shape.key] || CASE WHEN shape.created_on IS NOT NULL THEN ARRAY['created_on'] ELSE '{}' END
        || CASE WHEN shape.updated_on IS NOT NULL THEN ARRAY['updated_on'] ELSE '{}' END;
    -- The types whose values come back as they were given, if they look as below.
    plain constant oid[] := ARRAY['text', 'varchar', 'uuid', 'bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'jsonb']::regtype[];
BEGIN
    IF shape.has_code OR NOT shape.conflict_tells OR shape.columns <> shape.written OR cardinality(shape.columns) > 40
       OR EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = shape.relation AND a.attnum > 0 AND NOT a.attisdropped
                     AND (a.attidentity <> ''
                          OR a.attname IN ('created_on', 'updated_on')
                             AND (a.atttypmod <> -1 OR a.atttypid NOT IN ('timestamp'::regtype, 'timestamptz'::regtype))))
       -- Functions, and casts between texts and what a setting can make of them.
       OR EXISTS (SELECT FROM pg_constraint con
                   CROSS JOIN LATERAL pg_get_constraintdef(con.oid) AS definition
                   WHERE con.conrelid = shape.relation AND con.contype = 'c'
                     AND (definition ~* '[a-z0-9_"][(]|current_|localtime|\muser\M|session_user|system_user'
                          OR definition ~ '::(?!(?:text|numeric|integer|bigint|smallint|double precision|real|boolean|uuid|jsonb|character varying)\M)'
                          OR EXISTS (SELECT FROM pg_attribute a
                                      WHERE a.attrelid = shape.relation AND a.attnum = ANY (con.conkey)
                                        AND (a.atttypid <> ALL (plain)
                                             OR a.atttypid IN ('float4'::regtype, 'float8'::regtype) AND definition ~ '::(?:text|character)|[|][|]'))))
    THEN
        RETURN NULL;
    END IF;
    SELECT '^[{](?:' || coalesce(string_agg(format('%s: (?:null%s)|', c.written, c.looks), '') FILTER (WHERE NOT c.any_json), '') || ', )*[}]$',
           coalesce(array_agg(c.name) FILTER (WHERE c.any_json), '{}'),
           coalesce(array_agg(c.name) FILTER (WHERE c.any_string), '{}')
      INTO result.data, result.any_json, result.any_string
      FROM (SELECT a.attname::text AS name, a.atttypid = 'jsonb'::regtype AS any_json,
                   a.atttypid = 'jsonb'::regtype OR a.atttypid IN ('text'::regtype, 'varchar'::regtype) AND a.atttypmod = -1 AS any_string,
                   regexp_replace(to_jsonb(a.attname::text)::text, '([][().*+?{}|^$\\])', '\\\1', 'g') AS written,
                   CASE WHEN a.atttypmod = -1 THEN CASE a.atttypid
                       WHEN 'text'::regtype THEN '|"(?:[^"\\]|\\.)*"'
                       WHEN 'varchar'::regtype THEN '|"(?:[^"\\]|\\.)*"'
                       WHEN 'uuid'::regtype THEN '|"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"'
                       WHEN 'bool'::regtype THEN '|true|false'
                       WHEN 'int2'::regtype THEN '|-?[0-9]{1,4}'
                       WHEN 'int4'::regtype THEN '|-?[0-9]{1,9}'
                       WHEN 'int8'::regtype THEN '|-?[0-9]{1,18}'
                       -- As many digits as come back the same.
                       WHEN 'float4'::regtype THEN '|-?[0-9]{1,3}(?:[.][0-9]{1,3})?'
                       WHEN 'float8'::regtype THEN '|-?[0-9]{1,8}(?:[.][0-9]{1,7})?'
                       WHEN 'numeric'::regtype THEN '|-?[0-9]+(?:[.][0-9]+)?' END END AS looks
              FROM pg_attribute a
             WHERE a.attrelid = shape.relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (given)) AS c;
    result.kinds := ARRAY['update', 'delete'];
    -- Where all its other defaults are known.
    IF NOT EXISTS (SELECT FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
                    WHERE d.adrelid = shape.relation AND a.attname <> ALL (given) AND NOT shape.constants ? a.attname::text)
    THEN
        result.kinds := result.kinds || 'create'::text;
    END IF;
    RETURN result;
END
$$;

-- The statements that write such events.
CREATE TYPE sourcing.statements AS (
    -- With gaps for the names of the columns that are given and for their values, each after a comma.
    creating text,
    -- With a gap for the assignments, each after a comma.
    updating text,
    deleting text,
    -- By column, after a comma: its value, and its assignment.
    "values" jsonb,
    assignments jsonb
);

-- Those for one event, whose uuid, data and timestamp are $1, $2 and $3, or for many, of which these are arrays.
CREATE FUNCTION sourcing.statements(shape sourcing.shape, many boolean) RETURNS sourcing.statements
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    result sourcing.statements;
    uuid constant text := CASE WHEN many THEN 'g.uuid' ELSE '$1' END;
    data constant text := CASE WHEN many THEN 'g.data' ELSE '$2' END;
    moment constant text := CASE WHEN many THEN 'g.moment' ELSE '$3' END;
    -- One by one: in FROM, all are put away first.
    events constant text := '(SELECT unnest($1) AS uuid, unnest($2) AS data, unnest($3) AS moment) AS g';
    times constant jsonb := jsonb_strip_nulls(jsonb_build_object('created_on', shape.created_on, 'updated_on', shape.updated_on));
    stamps jsonb;
    -- Within a statement, % would be a gap.
    the_table constant text := replace(shape.quoted, '%', '%%');
    key constant text := replace(quote_ident(shape.key), '%', '%%');
BEGIN
    SELECT coalesce(jsonb_object_agg(name, moment || CASE type WHEN 'timestamp without time zone' THEN ' AT TIME ZONE ''UTC''' ELSE '' END), '{}')
      INTO stamps FROM jsonb_each_text(times) AS t(name, type);
    -- Of many, one that is there already fails.
    result.creating := format(CASE WHEN many THEN 'INSERT INTO %s AS t (%s%%s) SELECT %s%%s%s'
                                   ELSE 'INSERT INTO %s AS t (%s%%s) VALUES (%s%%s%s) ON CONFLICT (%s) DO NOTHING' END, the_table,
        concat_ws(', ', key, (SELECT string_agg(name, ', ' ORDER BY name) FROM jsonb_object_keys(stamps) AS name)),
        concat_ws(', ', uuid, (SELECT string_agg(value, ', ' ORDER BY name) FROM jsonb_each_text(stamps) AS s(name, value))),
        CASE WHEN many THEN ' FROM ' || events ELSE '' END, key);
    -- Where there is no time to set, what changes nothing.
    result.updating := format('UPDATE %s AS t SET %s%%s%s WHERE t.%s = %s', the_table,
        coalesce('updated_on = ' || (stamps ->> 'updated_on'), format('%1$s = t.%1$s', key)),
        CASE WHEN many THEN ' FROM ' || events ELSE '' END, key, uuid);
    result.deleting := format('DELETE FROM %s AS t%s WHERE t.%s = %s', the_table,
        CASE WHEN many THEN ' USING ' || events ELSE '' END, key, uuid);
    SELECT coalesce(jsonb_object_agg(c.name, ', ' || CASE WHEN many
                   THEN format('CASE WHEN g.data ? %L THEN %s ELSE %s END', c.name, c.value, coalesce(c.default_value, 'NULL')) ELSE c.value END), '{}'),
           coalesce(jsonb_object_agg(c.name, format(', %I = ', c.name) || CASE WHEN many
                   THEN format('CASE WHEN g.data ? %1$L THEN %2$s ELSE t.%1$I END', c.name, c.merged) ELSE c.merged END), '{}')
      INTO result."values", result.assignments
      FROM (SELECT v.name, v.value, v.default_value,
                   -- An object given for a column of JSON that holds one is merged into it, one level deep.
                   CASE WHEN v.any_json
                       THEN format('CASE WHEN jsonb_typeof(%1$s) = ''object'' AND jsonb_typeof(t.%2$I) = ''object'' THEN t.%2$I || (%1$s) ELSE %3$s END',
                           v.given, v.name, v.value)
                       ELSE v.value END AS merged
              FROM (SELECT a.attname::text AS name, a.atttypid = 'jsonb'::regtype AS any_json, format('%s -> %L', data, a.attname) AS given,
                           CASE a.atttypid
                               WHEN 'jsonb'::regtype THEN format('nullif(%s -> %L, ''null'')', data, a.attname)
                               ELSE format('(%s ->> %L)::%s', data, a.attname, format_type(a.atttypid, a.atttypmod)) END AS value,
                           pg_get_expr(d.adbin, d.adrelid) AS default_value
                      FROM pg_attribute a
                      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                     WHERE a.attrelid = shape.relation AND a.attnum > 0 AND NOT a.attisdropped
                       AND a.attname <> shape.key AND NOT times ? a.attname::text) AS v) AS c;
    RETURN result;
END
$$;

-- Whether an event is one of them. Large data is not looked through as text. In SQL and without settings of its own, so that it becomes
-- a part of what asks.
CREATE FUNCTION sourcing.is_foreseen(foreseen sourcing.foreseen, kind text, data jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT kind = ANY ((foreseen).kinds) AND pg_column_size(data) < 4096
           -- Where there are only strings, a regular expression would take ten times as long to say so.
           AND ((data - (foreseen).any_string) = '{}'
                    AND NOT (data - (foreseen).any_json) @? 'strict $.* ? (@.type() != "string" && @.type() != "null")'
                OR (data - (foreseen).any_json)::text ~ (foreseen).data)
$$;

-- The statement for events of one kind that give these columns, or some of them.
CREATE FUNCTION sourcing.statement(statements sourcing.statements, kind text, columns text[]) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    name text;
    names text := '';
    given text := '';
BEGIN
    IF kind = 'delete' THEN
        RETURN format(statements.deleting);
    ELSIF kind = 'create' THEN
        FOREACH name IN ARRAY columns LOOP
            names := names || ', ' || quote_ident(name);
            given := given || (statements."values" ->> name);
        END LOOP;
        RETURN format(statements.creating, names, given);
    END IF;
    FOREACH name IN ARRAY columns LOOP
        given := given || (statements.assignments ->> name);
    END LOOP;
    RETURN format(statements.updating, given);
END
$$;

-- The shapes that were seen. Reading the catalogue costs more than writing a row.
CREATE UNLOGGED TABLE sourcing.seen (
    type text PRIMARY KEY,
    -- It holds in this transaction, as long as that changes nothing more in the catalogue,
    transaction xid8 NOT NULL,
    catalogue_writes bigint NOT NULL,
    -- and in any other that finds this.
    fingerprint text,
    shape sourcing.shape NOT NULL,
    -- What `accept` has to know of it for each event: the kinds of events that may wait, the constant
    -- defaults, and the key's column.
    may_wait text[] NOT NULL,
    constants jsonb NOT NULL,
    key text NOT NULL,
    relation oid NOT NULL,
    quoted text NOT NULL,
    foreseen sourcing.foreseen,
    one sourcing.statements,
    many sourcing.statements
);

-- Whether a transaction has been committed that this one, in its snapshot, does not see.
CREATE FUNCTION sourcing.committed_since() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    snapshot constant pg_snapshot := pg_current_snapshot();
    next bigint := pg_snapshot_xmax(snapshot)::text::bigint;
BEGIN
    IF EXISTS (SELECT FROM pg_snapshot_xip(snapshot) AS under_way WHERE pg_xact_status(under_way) = 'committed') THEN
        RETURN true;
    END IF;
    LOOP
        IF pg_xact_status(next::text::xid8) = 'committed' THEN
            RETURN true;
        END IF;
        next := next + 1;
    END LOOP;
EXCEPTION WHEN invalid_parameter_value THEN
    -- That one has not begun.
    RETURN false;
END
$$;

-- Under REPEATABLE READ and SERIALIZABLE the catalogue is read as it was when the transaction began to look, but what is done is done to the
-- tables as they are, with the triggers that they have. Asked when a table is locked, for from then on nobody changes it.
CREATE FUNCTION sourcing.refuse_stale_snapshot(type text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') AND sourcing.committed_since() THEN
        RAISE EXCEPTION USING ERRCODE = '40001',
            MESSAGE = format('another transaction was committed after this one began to look, and may have changed the table %s', type),
            HINT = 'try the transaction again';
    END IF;
END
$$;

-- The shape of a table that is about to be written, from now on locked against changes of its definition.
CREATE FUNCTION sourcing.locked_shape(type text) RETURNS sourcing.shape
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen sourcing.seen;
    known sourcing.shape;
    wanted oid;
    parent regclass;
    fingerprint text;
    -- Counting can be switched off by a superuser; then nothing is kept.
    writes constant bigint := CASE WHEN current_setting('track_counts')::boolean THEN sourcing.catalogue_writes() END;
BEGIN
    SELECT * INTO seen FROM sourcing.seen s WHERE s.type = locked_shape.type;
    IF seen.transaction = pg_current_xact_id() AND seen.catalogue_writes = writes THEN
        RETURN seen.shape;
    END IF;
    -- Locked first, read then: in between it could change.
    wanted := sourcing.find(type);
    IF (SELECT relkind IN ('r', 'p') AND has_table_privilege(oid, 'INSERT') FROM pg_class WHERE oid = wanted) THEN
        EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', wanted::regclass);
    END IF;
    -- That would not keep a partition from being attached, with triggers of its own.
    FOR parent IN
        SELECT p.relid FROM pg_partition_tree(wanted) AS p JOIN pg_class c ON c.oid = p.relid AND c.relkind = 'p'
         WHERE has_table_privilege(p.relid, 'UPDATE') ORDER BY p.level, p.relid
    LOOP
        EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', parent);
    END LOOP;
    PERFORM sourcing.refuse_stale_snapshot(type);
    fingerprint := sourcing.fingerprint(wanted);
    IF fingerprint = seen.fingerprint AND writes IS NOT NULL THEN
        UPDATE sourcing.seen s SET transaction = pg_current_xact_id(), catalogue_writes = writes WHERE s.type = locked_shape.type;
        RETURN seen.shape;
    END IF;
    known := sourcing.shape(type);
    IF writes IS NOT NULL AND known.key IS NOT NULL THEN
        IF known.has_code OR sourcing.uses_code(known.relation) THEN
            fingerprint := NULL;
        END IF;
        INSERT INTO sourcing.seen
        SELECT type, pg_current_xact_id(), writes, fingerprint, known,
               ARRAY(SELECT kind FROM unnest(ARRAY['create', 'update', 'delete']) AS kind
                      WHERE NOT (known.has_code OR kind = 'delete' AND known.delete_carries
                                 OR kind = 'update' AND known.update_carries <> '{}')),
               known.constants, known.key, known.relation, known.quoted,
               CASE WHEN fingerprint IS NOT NULL THEN sourcing.foreseen(known) END,
               CASE WHEN fingerprint IS NOT NULL THEN sourcing.statements(known, false) END,
               CASE WHEN fingerprint IS NOT NULL THEN sourcing.statements(known, true) END
            ON CONFLICT ON CONSTRAINT seen_pkey
            DO UPDATE SET transaction = excluded.transaction, catalogue_writes = excluded.catalogue_writes, fingerprint = excluded.fingerprint,
                          shape = excluded.shape, may_wait = excluded.may_wait, constants = excluded.constants, key = excluded.key,
                          relation = excluded.relation, quoted = excluded.quoted, foreseen = excluded.foreseen, one = excluded.one, many = excluded.many;
    END IF;
    RETURN known;
END
$$;
