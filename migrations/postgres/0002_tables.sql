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
  LEFT JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
  LEFT JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = p.conkey[1]
 CROSS JOIN LATERAL (SELECT CASE
       WHEN p.oid IS NULL THEN 'it has no primary key'
       WHEN cardinality(p.conkey) > 1 THEN 'its primary key has more than one column'
       WHEN k.atttypid <> 'uuid'::regtype THEN
            format('its primary key, %s, is of type %s, not uuid', k.attname, format_type(k.atttypid, k.atttypmod))
       WHEN c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
            THEN 'other tables inherit from it'
       WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
            THEN 'it inherits from another table'
       -- A table's defaults, triggers and constraints are code that would run with the event store's rights.
       WHEN NOT owner.rolsuper
            AND NOT pg_has_role(c.relowner, (SELECT relowner FROM pg_class WHERE oid = 'sourcing.eventstore'::regclass), 'MEMBER')
            THEN format('its owner, %s, is neither a superuser nor a member of the event store''s owner role', owner.rolname)
       END) AS why(reason)
 WHERE c.relkind IN ('r', 'p')
   AND NOT c.relispartition
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('sourcing', 'pg_catalog', 'information_schema', 'pg_toast');

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
    -- The types of created_on and updated_on, where there are such columns.
    created_on text,
    updated_on text
);

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

CREATE FUNCTION sourcing.shape(type text) RETURNS sourcing.shape
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
-- Not a function in SQL, which would be planned anew at each call: that takes a millisecond.
DECLARE
    found sourcing.shape;
    wanted constant oid := sourcing.find(type);
BEGIN
    SELECT t.relation, t.name, t.quoted, t.key, t.reason, c.columns, c.written, c.definitions,
               coalesce(c.json, '{}'), c.created_on, c.updated_on
      INTO found
      FROM sourcing.tables t
     CROSS JOIN LATERAL (
           SELECT array_agg(a.attname::text ORDER BY a.attnum),
                  array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
                  array_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
                      FILTER (WHERE a.attgenerated = ''),
                  array_agg(a.attname::text) FILTER (WHERE coalesce(nullif(ty.typbasetype, 0), ty.oid)
                      IN ('json'::regtype, 'jsonb'::regtype)),
                  min(format_type(a.atttypid, NULL)) FILTER (WHERE a.attname = 'created_on'),
                  min(format_type(a.atttypid, NULL)) FILTER (WHERE a.attname = 'updated_on')
             FROM pg_attribute a
             JOIN pg_type ty ON ty.oid = a.atttypid
            WHERE a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
           ) AS c(columns, written, definitions, json, created_on, updated_on)
     WHERE t.relation = wanted;
    RETURN found;
END
$$;

-- The row now, as jsonb; null when there is none.
CREATE FUNCTION sourcing.stored(shape sourcing.shape, uuid uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(t.*) FROM %s t WHERE t.%I = $1', shape.quoted, shape.key) INTO found USING uuid;
    RETURN found;
END
$$;
