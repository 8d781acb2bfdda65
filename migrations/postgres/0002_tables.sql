-- Which tables take part, and what they look like: read from the catalogue, nothing has to be registered.

CREATE VIEW sourcing.tables AS
SELECT c.oid AS relation,
       CASE n.nspname WHEN 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END AS name,
       format('%I.%I', n.nspname, c.relname) AS quoted,
       -- The primary key's column, of a table that takes part.
       CASE WHEN why.reason IS NULL THEN k.attname::text END AS key,
       why.reason
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_roles owner ON owner.oid = c.relowner
  JOIN pg_class log ON log.oid = to_regclass('sourcing.eventstore')
  JOIN pg_roles store ON store.oid = log.relowner
  LEFT JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
  LEFT JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = p.conkey[1]
 -- A trigger of the table's, or of a partition's, with a function in it of somebody who is not trusted.
  LEFT JOIN LATERAL (
       SELECT g.tgname AS trigger, writer.rolname AS name
         FROM (SELECT c.oid UNION ALL
               SELECT i.inhrelid FROM pg_inherits i WHERE c.relkind = 'p' AND pg_partition_root(i.inhrelid) = c.oid) AS part
         JOIN pg_trigger g ON g.tgrelid = part.oid
         JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = g.oid
         LEFT JOIN pg_operator op ON d.refclassid = 'pg_operator'::regclass AND op.oid = d.refobjid
         JOIN pg_proc f ON f.oid = CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid ELSE op.oprcode END
         JOIN pg_roles writer ON writer.oid = f.proowner
        WHERE NOT g.tgisinternal
          AND NOT writer.rolsuper AND NOT pg_has_role(writer.oid, log.relowner, 'MEMBER')
        ORDER BY g.tgname
        LIMIT 1) AS stranger ON true
 CROSS JOIN LATERAL (SELECT CASE
       WHEN p.oid IS NULL THEN 'it has no primary key'
       WHEN cardinality(p.conkey) > 1 THEN 'its primary key has more than one column'
       WHEN k.atttypid <> 'uuid'::regtype THEN
            format('its primary key, %s, is of type %s, not uuid', k.attname, format_type(k.atttypid, k.atttypmod))
       WHEN c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
            THEN 'other tables inherit from it'
       WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
            THEN 'it inherits from another table'
       WHEN n.nspname <> 'public' AND EXISTS (
            SELECT FROM pg_class o JOIN pg_namespace p ON p.oid = o.relnamespace AND p.nspname = 'public'
             WHERE o.relname = n.nspname || '.' || c.relname)
            THEN 'a table of the schema public has the same name, dot included'
       -- A table's defaults, triggers and constraints are code that would run with the event store's rights.
       WHEN NOT owner.rolsuper AND NOT pg_has_role(c.relowner, log.relowner, 'MEMBER')
            THEN format('its owner, %s, is neither a superuser nor a member of the event store''s owner role, %s',
                        owner.rolname, pg_get_userbyid(log.relowner))
       -- So are triggers, which whoever has that right on the table may make, without owning it.
       WHEN stranger.name IS NOT NULL
            THEN format('its trigger %s runs code of %s, who is neither a superuser nor a member of the event store''s owner role, %s',
                        stranger.trigger, stranger.name, store.rolname)
       -- A cascade would not stop at rows that are not seen, nor would a rollback see that they are still there.
       WHEN c.relrowsecurity AND NOT store.rolsuper AND NOT store.rolbypassrls
            AND (c.relforcerowsecurity OR NOT pg_has_role(store.oid, c.relowner, 'USAGE'))
            THEN format('its row security hides rows from the event store''s owner role, %s, which has no BYPASSRLS', store.rolname)
       WHEN NOT (has_schema_privilege(log.relowner, n.oid, 'USAGE')
                 AND has_table_privilege(log.relowner, c.oid, 'SELECT') AND has_table_privilege(log.relowner, c.oid, 'INSERT')
                 AND has_table_privilege(log.relowner, c.oid, 'UPDATE') AND has_table_privilege(log.relowner, c.oid, 'DELETE'))
            THEN format('the event store''s owner role, %s, may not write it', pg_get_userbyid(log.relowner))
       END) AS why(reason)
 WHERE c.relkind IN ('r', 'p')
   AND NOT c.relispartition
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('sourcing', 'pg_catalog', 'information_schema', 'pg_toast');

-- The table that an event's type names; null when there is none.
CREATE FUNCTION sourcing.find(type text) RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT c.oid
      FROM pg_namespace n
      JOIN pg_class c ON c.relnamespace = n.oid
       AND c.relname = CASE n.nspname WHEN 'public' THEN type ELSE substr(type, length(n.nspname) + 2) END
     WHERE n.nspname = 'public' OR starts_with(type, n.nspname || '.')
     ORDER BY n.nspname = 'public' DESC, length(n.nspname)
     LIMIT 1);
END
$$;

-- What of a type JSON cannot carry, one letter each: `f` the negative zero of floats; `a` an array's lower bounds;
-- `j` elements that are themselves JSON arrays or nulls, in an array of JSON; `n` a JSON null inside a composite value; `!` anything, so
-- that its values always travel as the type's own text. Empty for a type that JSON carries whole.
CREATE FUNCTION sourcing.beyond_json(type oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t pg_type;
    inner_letters text;
BEGIN
    SELECT * INTO t FROM pg_type WHERE oid = type;
    IF t.typtype = 'd' THEN
        RETURN sourcing.beyond_json(t.typbasetype);
    ELSIF t.typtype = 'c' THEN
        SELECT string_agg(CASE WHEN coalesce(nullif(ty.typbasetype, 0), ty.oid) IN ('json'::regtype, 'jsonb'::regtype) THEN 'n'
                               ELSE sourcing.beyond_json(ty.oid) END, '') INTO inner_letters
          FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid
         WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped;
        RETURN CASE WHEN inner_letters ~ '[aj!]' THEN '!'
                    ELSE concat(substring(inner_letters FROM 'f'), substring(inner_letters FROM 'n')) END;
    ELSIF t.typcategory = 'A' THEN
        inner_letters := sourcing.beyond_json(t.typelem);
        RETURN CASE
            WHEN (SELECT coalesce(nullif(typbasetype, 0), oid) FROM pg_type WHERE oid = t.typelem)
                 IN ('json'::regtype, 'jsonb'::regtype) THEN 'j'
            WHEN inner_letters ~ '[aj!]' THEN '!'
            ELSE inner_letters || 'a' END;
    ELSIF type IN ('float4'::regtype, 'float8'::regtype) THEN
        RETURN 'f';
    ELSIF type NOT IN ('json'::regtype, 'jsonb'::regtype)
          AND EXISTS (SELECT FROM pg_cast WHERE castsource = type AND casttarget IN ('json'::regtype, 'jsonb'::regtype)) THEN
        -- hstore and its like: what the cast gives cannot be read back.
        RETURN '!';
    END IF;
    RETURN '';
END
$$;

-- The SQL expression that gives a row of this table, called t, as jsonb: every column, exactly.
CREATE FUNCTION sourcing.state(relation oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN '(pg_catalog.to_jsonb(t.*)' || coalesce((
        SELECT string_agg(format(
                   ' OPERATOR(pg_catalog.||) CASE WHEN %s THEN pg_catalog.jsonb_build_object(%L, t.%I::pg_catalog.text) ELSE ''{}'' END',
                   concat_ws(' OR ',
                       -- Not IS NOT NULL, which a composite value with a null in it is not.
                       CASE WHEN letters ~ '!' THEN format('t.%I IS DISTINCT FROM NULL', name) END,
                       CASE WHEN letters ~ 'n' THEN format('pg_catalog.strpos(t.%I::pg_catalog.text, ''null'') OPERATOR(pg_catalog.>) 0', name) END,
                       CASE WHEN letters ~ 'f' THEN format('t.%I::pg_catalog.text OPERATOR(pg_catalog.~) ''(^|[^0-9e.])-0([^0-9e.]|$)''', name) END,
                       CASE WHEN letters ~ '[aj]' THEN format('pg_catalog.strpos(pg_catalog.replace(pg_catalog.array_dims(t.%I), ''[1:'', ''''), ''['') OPERATOR(pg_catalog.>) 0', name) END,
                       CASE WHEN letters ~ 'j' THEN format('EXISTS (SELECT FROM pg_catalog.unnest(t.%I) AS e
                           WHERE pg_catalog.jsonb_typeof(e::pg_catalog.jsonb) OPERATOR(pg_catalog.=) ANY (ARRAY[''array'', ''null'']))', name) END),
                   name, name), '' ORDER BY attnum)
          FROM (SELECT a.attname AS name, a.attnum, sourcing.beyond_json(a.atttypid) AS letters
                  FROM pg_attribute a
                 WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped) AS columns
         WHERE letters <> ''), '') || ')';
END
$$;

-- One table as the rules of events need it.
CREATE TYPE sourcing.shape AS (
    relation oid,
    name text,
    quoted text,
    -- The primary key's column; null for a table that is gone or takes no part.
    key text,
    reason text,
    columns text[],
    -- The columns that can be written: all but the generated ones.
    written text[],
    -- Name and type of each of those, as a column definition.
    definitions text[],
    -- The columns that hold json or jsonb.
    json text[],
    -- What the JSON of a value looks like that a column surely takes, as a regular expression, by column. Other values may
    -- do as well: they are tried first, so that a refusal can name them.
    takes jsonb,
    -- The types of created_on and updated_on, where there are such columns.
    created_on text,
    updated_on text,
    -- The SQL expression of a row's state: see the function of that name.
    state text,
    -- Whether ON CONFLICT can tell that a key is there already.
    conflict_tells boolean,
    -- Whether code of the table's own may run when it is written: triggers, rules, functions that are not immutable in its
    -- defaults and constraints. What such code does has to be looked at.
    has_code boolean,
    -- Its triggers that would wait for the end of the transaction: for SET CONSTRAINTS.
    deferred text,
    -- Whether only roles that the event store trusts may create functions in `public`, so that such code may find it in the
    -- search path: an unqualified name in it could otherwise be made to mean something else.
    public_trusted boolean,
    -- Whether a delete, an update of these columns, is carried on to other rows by foreign keys.
    delete_carries boolean,
    update_carries text[],
    -- The columns by which a row points at rows of the same table.
    self_pointing text[],
    -- The columns of text whose values must differ between rows, by an index on themselves alone: for updates of them the
    -- order counts only where a value goes from one row to another.
    distinct_text text[],
    -- The other columns for whose updates the order counts: they point within the table, or have to do with unique or
    -- exclusion constraints in other ways.
    ordered text[],
    -- What a create that does not give these columns will probably find in them: their constant defaults.
    constants jsonb
);

-- The constant defaults of a table's columns. A guess may be wrong, and is then put right by what the database does.
CREATE FUNCTION sourcing.constants(relation oid) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    value jsonb;
    result jsonb := '{}';
BEGIN
    FOR one IN
        SELECT a.attname::text AS name, pg_get_expr(d.adbin, d.adrelid) AS expression, format_type(a.atttypid, a.atttypmod) AS type
          FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
         WHERE d.adrelid = relation AND a.attgenerated = ''
    LOOP
        -- Whatever calls a function is not tried: a sequence would move on.
        CONTINUE WHEN one.expression ~ '[(]';
        BEGIN
            EXECUTE format('SELECT to_jsonb((%s)::%s)', one.expression, one.type) INTO value;
            result := result || jsonb_build_object(one.name, value);
        EXCEPTION WHEN OTHERS THEN
            -- No row can take it either.
            NULL;
        END;
    END LOOP;
    RETURN result;
END
$$;

CREATE FUNCTION sourcing.shape(type text) RETURNS sourcing.shape
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- Not a function in SQL, which would be planned anew at each call: that takes a millisecond.
DECLARE
    found sourcing.shape;
    wanted constant oid := sourcing.find(type);
BEGIN
    SELECT t.relation, t.name, t.quoted, t.key, t.reason, c.columns, c.written, c.definitions,
           coalesce(c.json, '{}'), coalesce(c.takes, '{}'), c.created_on, c.updated_on
      INTO found
      FROM sourcing.tables t
     CROSS JOIN LATERAL (
           SELECT array_agg(a.attname::text ORDER BY a.attnum),
                  array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
                  array_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
                      FILTER (WHERE a.attgenerated = ''),
                  array_agg(a.attname::text) FILTER (WHERE coalesce(nullif(ty.typbasetype, 0), ty.oid)
                      IN ('json'::regtype, 'jsonb'::regtype)),
                  jsonb_object_agg(a.attname, CASE a.atttypid
                      WHEN 'text'::regtype THEN '^"'
                      WHEN 'varchar'::regtype THEN '^"'
                      WHEN 'json'::regtype THEN ''
                      WHEN 'jsonb'::regtype THEN ''
                      WHEN 'uuid'::regtype THEN '^"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"$'
                      WHEN 'bool'::regtype THEN '^(true|false)$'
                      WHEN 'int2'::regtype THEN '^-?[0-9]{1,4}$'
                      WHEN 'int4'::regtype THEN '^-?[0-9]{1,9}$'
                      WHEN 'int8'::regtype THEN '^-?[0-9]{1,18}$'
                      WHEN 'float4'::regtype THEN '^-?[0-9]{1,30}([.][0-9]{1,20})?$'
                      WHEN 'float8'::regtype THEN '^-?[0-9]{1,200}([.][0-9]{1,50})?$'
                      ELSE '^-?[0-9.]+$' END)
                      FILTER (WHERE a.attgenerated = '' AND a.atttypmod = -1 AND a.atttypid IN ('text'::regtype, 'varchar'::regtype,
                          'json'::regtype, 'jsonb'::regtype, 'uuid'::regtype, 'bool'::regtype, 'int2'::regtype, 'int4'::regtype,
                          'int8'::regtype, 'float4'::regtype, 'float8'::regtype, 'numeric'::regtype)),
                  min(format_type(a.atttypid, NULL)) FILTER (WHERE a.attname = 'created_on'),
                  min(format_type(a.atttypid, NULL)) FILTER (WHERE a.attname = 'updated_on')
             FROM pg_attribute a
             JOIN pg_type ty ON ty.oid = a.atttypid
            WHERE a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
           ) AS c(columns, written, definitions, json, takes, created_on, updated_on)
     WHERE t.relation = wanted;
    IF found.key IS NULL THEN
        RETURN found;
    END IF;
    found.state := sourcing.state(wanted);
    found.conflict_tells := (
        SELECT NOT condeferrable FROM pg_constraint WHERE conrelid = wanted AND contype = 'p');
    found.has_code :=
        EXISTS (SELECT FROM pg_trigger g
                 WHERE (g.tgrelid = wanted OR g.tgrelid IN (SELECT relid FROM pg_partition_tree(wanted)))
                   AND NOT g.tgisinternal AND g.tgenabled <> 'D')
        OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = wanted)
        OR EXISTS (WITH RECURSIVE types(oid) AS (
                       -- Those that are not built in: domains have defaults and constraints of their own.
                       SELECT a.atttypid FROM pg_attribute a
                        WHERE a.attrelid = wanted AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
                        UNION
                       SELECT part.oid FROM types JOIN pg_type ty ON ty.oid = types.oid
                        CROSS JOIN LATERAL (SELECT ty.typbasetype UNION ALL SELECT ty.typelem UNION ALL
                              SELECT a.atttypid FROM pg_attribute a
                               WHERE ty.typtype = 'c' AND a.attrelid = ty.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS part(oid)
                        WHERE part.oid >= 16384
                   )
                   SELECT FROM pg_depend d
                     LEFT JOIN pg_operator op ON d.refclassid = 'pg_operator'::regclass AND op.oid = d.refobjid
                     JOIN pg_proc f ON f.oid = CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid ELSE op.oprcode END
                      AND f.provolatile <> 'i'
                    WHERE (d.classid = 'pg_attrdef'::regclass
                               AND d.objid IN (SELECT oid FROM pg_attrdef WHERE adrelid = wanted)
                           OR d.classid = 'pg_constraint'::regclass
                               AND d.objid IN (SELECT oid FROM pg_constraint WHERE contype = 'c'
                                                AND (conrelid = wanted OR contypid IN (SELECT oid FROM types)))
                           OR d.classid = 'pg_type'::regclass
                               AND d.objid IN (SELECT t.oid FROM types t JOIN pg_type ty ON ty.oid = t.oid AND ty.typtype = 'd'))
                      -- An extension's functions do not know this table.
                      AND NOT EXISTS (SELECT FROM pg_depend e
                                       WHERE e.classid = 'pg_proc'::regclass AND e.objid = f.oid AND e.deptype = 'e'));
    found.deferred := (
        SELECT string_agg(DISTINCT format('%I.%I', n.nspname, con.conname), ', ')
          FROM pg_trigger g
          JOIN pg_constraint con ON con.oid = g.tgconstraint AND con.contype = 't'
          JOIN pg_namespace n ON n.oid = con.connamespace
         WHERE g.tgrelid = wanted AND NOT g.tgisinternal AND g.tgdeferrable AND g.tgenabled <> 'D');
    found.public_trusted := NOT EXISTS (
        SELECT FROM pg_namespace n
         CROSS JOIN LATERAL aclexplode(n.nspacl) AS granted
          LEFT JOIN pg_roles r ON r.oid = granted.grantee
          JOIN pg_class log ON log.oid = 'sourcing.eventstore'::regclass
         WHERE n.nspname = 'public' AND granted.privilege_type = 'CREATE'
           -- The role that stands for the database's owner is whoever that is.
           AND NOT coalesce(r.rolsuper OR pg_has_role(
                   CASE r.rolname WHEN 'pg_database_owner' THEN (SELECT datdba FROM pg_database WHERE datname = current_database())
                                  ELSE r.oid END, log.relowner, 'MEMBER'), false));
    SELECT coalesce(bool_or(con.confdeltype IN ('c', 'n', 'd')), false),
           array_agg(DISTINCT a.attname::text) FILTER (WHERE con.confupdtype IN ('c', 'n', 'd'))
      INTO found.delete_carries, found.update_carries
      FROM pg_constraint con
      JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = ANY (con.confkey)
     WHERE con.contype = 'f' AND con.conparentid = 0 AND (con.confrelid = wanted OR con.confrelid IN (SELECT relid FROM pg_partition_tree(wanted)));
    found.update_carries := coalesce(found.update_carries, '{}');
    found.self_pointing := ARRAY(
        SELECT a.attname::text
          FROM pg_constraint con
          JOIN pg_attribute a ON a.attrelid = wanted AND a.attnum = ANY (con.conkey)
         WHERE con.conrelid = wanted AND con.confrelid = wanted AND con.contype = 'f');
    -- With another collation or type, values can be the same that look different.
    found.distinct_text := ARRAY(
        SELECT a.attname::text
          FROM pg_index i
          JOIN pg_attribute a ON a.attrelid = wanted AND a.attnum = i.indkey[0]
          JOIN pg_collation c ON c.oid = i.indcollation[0] AND c.collisdeterministic
         WHERE i.indrelid = wanted AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL
           AND a.atttypid IN ('text'::regtype, 'varchar'::regtype) AND a.atttypmod = -1);
    found.ordered := found.self_pointing || ARRAY(
        SELECT a.attname::text
          FROM pg_index i
          -- The 0 of an expression stands for any column, and a condition may be on any.
          JOIN pg_attribute a ON a.attrelid = wanted AND a.attnum > 0
           AND (a.attnum = ANY (i.indkey) OR 0 = ANY (i.indkey) OR i.indpred IS NOT NULL)
         WHERE i.indrelid = wanted AND (i.indisunique OR i.indisexclusion)
           AND NOT (a.attname = ANY (found.distinct_text) AND i.indnkeyatts = 1 AND i.indpred IS NULL));
    found.constants := sourcing.constants(wanted);
    IF NOT (found.ordered || found.distinct_text) <@ found.written THEN
        -- A generated column changes with those that it is made of.
        found.ordered := found.written;
    END IF;
    RETURN found;
END
$$;

-- The condition that joins a foreign key's pointing row, f, and the pointed row, t: with the key's own operators, for what is the same
-- to those need not look the same.
CREATE FUNCTION sourcing.matching(foreign_key oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT string_agg(format('t.%I OPERATOR(%I.%s) f.%I', theirs.attname, ns.nspname, op.oprname, mine.attname)
                          -- Between two collations, the pointed column's counts.
                          || CASE WHEN theirs.attcollation <> mine.attcollation THEN format(' COLLATE %I.%I', cns.nspname, c.collname) ELSE '' END,
                   ' AND ' ORDER BY pair.at)
          FROM pg_constraint con
         CROSS JOIN LATERAL unnest(con.conkey, con.confkey, con.conpfeqop) WITH ORDINALITY AS pair(mine, theirs, operator, at)
          JOIN pg_attribute mine ON mine.attrelid = con.conrelid AND mine.attnum = pair.mine
          JOIN pg_attribute theirs ON theirs.attrelid = con.confrelid AND theirs.attnum = pair.theirs
          JOIN pg_operator op ON op.oid = pair.operator
          JOIN pg_namespace ns ON ns.oid = op.oprnamespace
          LEFT JOIN pg_collation c ON c.oid = theirs.attcollation
          LEFT JOIN pg_namespace cns ON cns.oid = c.collnamespace
         WHERE con.oid = foreign_key);
END
$$;

-- The row now, as jsonb; null when there is none.
CREATE FUNCTION sourcing.stored(shape sourcing.shape, uuid uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE format('SELECT %s FROM %s t WHERE t.%I = $1', shape.state, shape.quoted, shape.key) INTO found USING uuid;
    RETURN found;
END
$$;

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

-- The shapes that the transaction which holds the writer's lock has seen. Reading the catalogue costs more
-- than writing a row.
CREATE UNLOGGED TABLE sourcing.seen (
    type text PRIMARY KEY,
    transaction xid8 NOT NULL,
    catalogue_writes bigint NOT NULL,
    shape sourcing.shape NOT NULL,
    -- What `accept` has to know of it for each event: the kinds of events that may wait, the constant
    -- defaults, and the key's column.
    may_wait text[] NOT NULL,
    constants jsonb NOT NULL,
    key text NOT NULL
);

-- The shape of a table that is about to be written, from now on locked against changes of its definition.
CREATE FUNCTION sourcing.locked_shape(type text) RETURNS sourcing.shape
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known sourcing.shape;
    wanted oid;
    -- Counting can be switched off by a superuser; then nothing is kept.
    writes constant bigint := CASE WHEN current_setting('track_counts')::boolean THEN sourcing.catalogue_writes() END;
BEGIN
    SELECT (s.shape).* INTO known FROM sourcing.seen s
     WHERE s.type = locked_shape.type AND s.transaction = pg_current_xact_id() AND s.catalogue_writes = writes;
    IF FOUND THEN
        RETURN known;
    END IF;
    -- Locked first, read then: in between it could change.
    wanted := sourcing.find(type);
    IF (SELECT relkind IN ('r', 'p') AND has_table_privilege(oid, 'INSERT') FROM pg_class WHERE oid = wanted) THEN
        EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', wanted::regclass);
    END IF;
    known := sourcing.shape(type);
    IF writes IS NOT NULL AND known.key IS NOT NULL THEN
        INSERT INTO sourcing.seen
        SELECT type, pg_current_xact_id(), writes, known,
               ARRAY(SELECT kind FROM unnest(ARRAY['create', 'update', 'delete']) AS kind
                      WHERE NOT (known.has_code OR kind = 'delete' AND known.delete_carries
                                 OR kind = 'update' AND known.update_carries <> '{}')),
               known.constants, known.key
            ON CONFLICT ON CONSTRAINT seen_pkey
            DO UPDATE SET transaction = excluded.transaction, catalogue_writes = excluded.catalogue_writes, shape = excluded.shape,
                          may_wait = excluded.may_wait, constants = excluded.constants, key = excluded.key;
    END IF;
    RETURN known;
END
$$;
