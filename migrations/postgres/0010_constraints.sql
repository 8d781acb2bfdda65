-- What is checked after a rollback has written its rows, before anything of it counts.

-- The touched rows must now be what they were to become.
CREATE FUNCTION sourcing.check_written() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one sourcing.shape;
    wrong record;
BEGIN
    FOR one IN SELECT sh.* FROM (SELECT DISTINCT type FROM sourcing.touched ORDER BY type) AS types
               CROSS JOIN LATERAL sourcing.locked_shape(types.type) AS sh WHERE sh.key IS NOT NULL
    LOOP
        EXECUTE format('SELECT w.uuid, w.after, %3$s AS found
                          FROM sourcing.touched w LEFT JOIN %1$s t ON t.%2$I = w.uuid
                         WHERE w.type = $1
                           AND w.after - $2 IS DISTINCT FROM %3$s - $2
                           AND (w.after IS NULL OR %3$s IS NULL OR EXISTS (
                                SELECT FROM jsonb_each(w.after - $2) AS a
                                 WHERE a.value IS DISTINCT FROM %3$s -> a.key
                                   AND NOT sourcing.same_text(a.value, %3$s -> a.key, a.key = ANY ($3))))
                         LIMIT 1', one.quoted, one.key, one.state)
           INTO wrong
          USING one.name, ARRAY(SELECT name FROM (
                    -- Generated columns are the database's.
                    SELECT unnest(one.columns) EXCEPT SELECT unnest(one.written)) AS skipped(name)), one.json;
        IF wrong.uuid IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'EB014',
                MESSAGE = format('%s %s is not what the log says after the rollback', one.name, wrong.uuid),
                DETAIL = format('the log says %s, the table has %s', wrong.after, wrong.found);
        END IF;
    END LOOP;
END
$$;

-- The constraints that were not enforced while the rows were written: foreign keys on both sides of the
-- touched rows, and unique constraints that are deferrable (the others hold by their index).
CREATE TYPE sourcing.written_table AS (relation oid, type text, key text);

CREATE FUNCTION sourcing.check_constraints() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- What is hidden must not be taken for not there: reading it fails.
SET row_security = off
AS $$
DECLARE
    -- The tables that were written, partitions included.
    written constant sourcing.written_table[] := ARRAY(
        SELECT ROW(part.oid, sh.name, sh.key)::sourcing.written_table
          FROM (SELECT DISTINCT type FROM sourcing.touched) AS types
         CROSS JOIN LATERAL sourcing.locked_shape(types.type) AS sh
         CROSS JOIN LATERAL (SELECT sh.relation UNION SELECT relid FROM pg_partition_tree(sh.relation)) AS part(oid)
         WHERE sh.key IS NOT NULL);
    one record;
    violated boolean;
BEGIN
    FOR one IN
        SELECT con.conname, con.conrelid::regclass AS pointing, con.confrelid::regclass AS pointed,
               mine.key AS pointing_key, mine.type AS pointing_name, theirs.type AS pointed_name,
               mine.relation IS NOT NULL AS pointing_touched,
               theirs.relation IS NOT NULL AS pointed_touched,
               columns.given, sourcing.matching(con.oid) AS matching,
               owner.rolname AS owner,
               owner.rolsuper OR pg_has_role(owner.oid, log.relowner, 'MEMBER') AS trusted,
               -- When the key that is pointed at is the one uuid, the rows that have gone say which rows to look at.
               CASE WHEN cardinality(con.conkey) = 1 AND columns.first_pointed = theirs.key THEN columns.first_pointing END AS column
          FROM pg_constraint con
          JOIN pg_class pointing ON pointing.oid = con.conrelid
          JOIN pg_roles owner ON owner.oid = pointing.relowner
          JOIN pg_class log ON log.oid = 'sourcing.eventstore'::regclass
          LEFT JOIN unnest(written) AS mine ON mine.relation = con.conrelid
          LEFT JOIN unnest(written) AS theirs ON theirs.relation = con.confrelid
         CROSS JOIN LATERAL (
               SELECT string_agg(format('f.%I IS NOT NULL', m.attname), ' AND '),
                      min(m.attname::text), min(t.attname::text)
                 FROM unnest(con.conkey, con.confkey) AS pair(mine, theirs)
                 JOIN pg_attribute m ON m.attrelid = con.conrelid AND m.attnum = pair.mine
                 JOIN pg_attribute t ON t.attrelid = con.confrelid AND t.attnum = pair.theirs
               ) AS columns(given, first_pointing, first_pointed)
         WHERE con.contype = 'f' AND con.conparentid = 0
           AND (mine.relation IS NOT NULL OR theirs.relation IS NOT NULL)
           AND to_jsonb(con) ->> 'conenforced' IS DISTINCT FROM 'false'
         ORDER BY con.conname
    LOOP
        violated := false;
        IF NOT one.trusted THEN
            -- Reading the table would run its owner's policies and casts with the event store's rights.
            IF EXISTS (SELECT FROM sourcing.touched w
                        WHERE w.type = one.pointed_name AND w.stored IS NOT NULL
                          AND (w.after IS NULL OR one.column IS NULL AND w.stored <> w.after)) THEN
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
                     ELSE format('f.%I IN (SELECT uuid FROM sourcing.touched WHERE type = $1 AND after IS NULL)', one.column) END,
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

    -- Deferrable unique and exclusion constraints, which were not looked at while the rows were written: whether another row is taken
    -- for the same as one of those.
    FOR one IN
        SELECT con.conname, con.conrelid::regclass AS relation, con.contype = 'x' AS excludes, t.type, quote_ident(t.key) AS key,
               coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') AS condition,
               string_agg(format('%s AS c%s', pg_get_indexdef(i.indexrelid, place.n, false), place.n), ', ' ORDER BY place.n) AS columns,
               string_agg(format(CASE WHEN to_jsonb(i) -> 'indnullsnotdistinct' = 'true' THEN '(a.c%1$s OPERATOR(%2$I.%3$s) b.c%1$s OR a.c%1$s IS NULL AND b.c%1$s IS NULL)'
                                      ELSE 'a.c%1$s OPERATOR(%2$I.%3$s) b.c%1$s' END, place.n, ns.nspname, op.oprname),
                          ' AND ' ORDER BY place.n) AS matching
          FROM pg_constraint con
          JOIN pg_index i ON i.indexrelid = con.conindid
          JOIN unnest(written) AS t ON t.relation = con.conrelid
         CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) AS place(n)
          JOIN pg_opclass class ON class.oid = i.indclass[place.n - 1]
          LEFT JOIN pg_amop equal ON equal.amopfamily = class.opcfamily AND equal.amopstrategy = 3
           AND equal.amoplefttype = class.opcintype AND equal.amoprighttype = class.opcintype
          JOIN pg_operator op ON op.oid = CASE con.contype WHEN 'x' THEN con.conexclop[place.n] ELSE equal.amopopr END
          JOIN pg_namespace ns ON ns.oid = op.oprnamespace
         WHERE con.contype IN ('u', 'x') AND con.condeferrable
         GROUP BY con.oid, con.conname, con.conrelid, con.contype, t.type, t.key, i.*, i.indpred, i.indrelid
         ORDER BY con.conname
    LOOP
        EXECUTE format('WITH b AS (SELECT %1$s AS row_key, %2$s FROM %3$s WHERE %4$s)
            SELECT EXISTS (SELECT FROM (SELECT r.%1$s AS row_key, %2$s FROM sourcing.touched w JOIN %3$s r ON r.%1$s = w.uuid
                                         WHERE w.type = $1 AND w.after IS NOT NULL AND (%4$s)) AS a
                            JOIN b ON a.row_key <> b.row_key AND %5$s)',
            one.key, one.columns, one.relation, one.condition, one.matching) INTO violated USING one.type;
        IF violated THEN
            RAISE EXCEPTION USING
                ERRCODE = CASE WHEN one.excludes THEN '23P01' ELSE '23505' END,
                CONSTRAINT = one.conname,
                TABLE = one.relation::text,
                MESSAGE = format('the rollback would violate the %s constraint %s of %s', CASE WHEN one.excludes THEN 'exclusion' ELSE 'unique' END,
                    one.conname, one.relation);
        END IF;
    END LOOP;
END
$$;
