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
-- the table's shape. Null when its shape depends on more: on code, types and privileges that are noted elsewhere.
--
-- A tenth of what the shape itself costs: each part is one look into an index, which a small catalogue's statistics would not suggest.
CREATE FUNCTION sourcing.fingerprint(relation oid) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    entries text;
BEGIN
    SELECT CASE WHEN count(*) = count(part.entry) THEN string_agg(part.entry, ' ') END
      INTO entries
      FROM (SELECT CASE WHEN a.attinhcount > 0 THEN NULL
                        WHEN a.attisdropped OR a.atttypid < 16384 THEN a.xmin::text || a.ctid::text
                        -- Of the types that are not built in, only an enum has no code.
                        ELSE (SELECT concat(a.xmin, a.ctid, ty.xmin, ty.ctid) FROM pg_type ty WHERE ty.oid = a.atttypid AND ty.typtype = 'e') END
              FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0
             UNION ALL
            -- Those of foreign keys, from here and to here.
            SELECT CASE WHEN g.tgisinternal THEN g.xmin::text || g.ctid::text END FROM pg_trigger g WHERE g.tgrelid = relation
             UNION ALL
            SELECT d.xmin::text || d.ctid::text FROM pg_attrdef d WHERE d.adrelid = relation
             UNION ALL
            SELECT p.xmin::text || p.ctid::text FROM pg_constraint p WHERE p.conrelid = relation
             UNION ALL
            SELECT i.xmin::text || i.ctid::text FROM pg_index i WHERE i.indrelid = relation) AS part(entry);
    RETURN (
        SELECT concat_ws(' ', c.oid, c.xmin, c.ctid, n.xmin, n.ctid, log.xmin, log.ctid, entries)
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_class log ON log.oid = 'sourcing.eventstore'::regclass
         WHERE c.oid = relation AND entries IS NOT NULL
           AND c.relkind = 'r' AND NOT (c.relhassubclass OR c.relhasrules OR c.relrowsecurity)
           -- No other table can come to have its name, dot included.
           AND strpos(c.relname, '.') = 0 AND strpos(n.nspname, '.') = 0
           AND (n.nspname = 'public' OR NOT EXISTS (
                    SELECT FROM pg_class o JOIN pg_namespace p ON p.oid = o.relnamespace AND p.nspname = 'public'
                     WHERE o.relname = n.nspname || '.' || c.relname))
           AND pg_has_role(c.relowner, log.relowner, 'MEMBER')
           AND has_schema_privilege(log.relowner, n.oid, 'USAGE')
           AND has_table_privilege(log.relowner, c.oid, 'SELECT') AND has_table_privilege(log.relowner, c.oid, 'INSERT')
           AND has_table_privilege(log.relowner, c.oid, 'UPDATE') AND has_table_privilege(log.relowner, c.oid, 'DELETE'));
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
    key text NOT NULL
);

-- The shape of a table that is about to be written, from now on locked against changes of its definition.
CREATE FUNCTION sourcing.locked_shape(type text) RETURNS sourcing.shape
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen sourcing.seen;
    known sourcing.shape;
    wanted oid;
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
               known.constants, known.key
            ON CONFLICT ON CONSTRAINT seen_pkey
            DO UPDATE SET transaction = excluded.transaction, catalogue_writes = excluded.catalogue_writes, fingerprint = excluded.fingerprint,
                          shape = excluded.shape, may_wait = excluded.may_wait, constants = excluded.constants, key = excluded.key;
    END IF;
    RETURN known;
END
$$;
