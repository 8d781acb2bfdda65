-- Which events are effective: what rollbacks undid, and what undoing them brought back. The same definitions as
-- `eventsourcing::history` in the program.

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

-- The ids of the first that are not among the second.
CREATE FUNCTION sourcing.minus(spans sourcing.span[], others sourcing.span[]) RETURNS sourcing.span[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH cut(at) AS (
        SELECT s.first FROM unnest(spans || others) AS s UNION SELECT s.last + 1 FROM unnest(spans || others) AS s
    ), piece AS (
        SELECT at AS first, lead(at) OVER (ORDER BY at) - 1 AS last FROM cut
    )
    SELECT coalesce(array_agg(ROW(first, last)::sourcing.span), '{}')
      FROM piece
     WHERE last IS NOT NULL AND sourcing.contains(spans, first) AND NOT sourcing.contains(others, first)
$$;

-- The ids that are in one of the two and not in the other.
CREATE FUNCTION sourcing.differing(a sourcing.span[], b sourcing.span[]) RETURNS sourcing.span[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sourcing.minus(a, b) || sourcing.minus(b, a)
$$;

-- Columns of later updates that do not count: those that the row's own events of a transaction set, as far as they counted until then, in what
-- came after its `last` one and before the rollback `before`.
CREATE TYPE sourcing.overruled AS (own sourcing.span[], last bigint, before bigint);

-- The rows that have an E of their own: those of a table, a single one, or with neither all the others.
CREATE TYPE sourcing.effective_rows AS (type text, uuid uuid, spans sourcing.span[], overruled sourcing.overruled[]);

-- The first and the last event of the transaction that a rollback is about which keeps what came after, or that undoes or redoes
-- such a one.
CREATE FUNCTION sourcing.reverted(of_marker jsonb) RETURNS sourcing.span
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    marker jsonb := of_marker;
BEGIN
    WHILE NOT marker ? 'reverts' LOOP
        marker := (SELECT e.data FROM sourcing.eventstore e
                    WHERE e.id = coalesce(marker -> 'undoes', marker -> 'redoes')::bigint AND e.event = 'rollback');
    END LOOP;
    RETURN ROW((marker -> 'reverts' ->> 0)::bigint, (marker -> 'reverts' ->> 1)::bigint)::sourcing.span;
END
$$;

-- Whether a rollback that goes back to a position concerns this row; without a type and a uuid, whether it concerns the rows that no
-- rollback names.
CREATE FUNCTION sourcing.covers(data jsonb, of_type text, of_uuid uuid) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(NOT data ? 'only' OR data ->> 'only' = of_type OR data ->> 'only' = of_type || '/' || of_uuid, false)
$$;

-- The events effective for a row after this rollback, or where none is given, at a position, E(n): what came after the latest rollback
-- that has ended there, its marker, and what was effective where it went back to, or what it did not take out.
CREATE FUNCTION sourcing.effective(n bigint, marker sourcing.eventstore, of_type text, of_uuid uuid,
    OUT spans sourcing.span[], OUT overruled sourcing.overruled[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    finish bigint;
    start sourcing.eventstore := marker;
    -- Transactions that are taken out, by which rollbacks, and whether their values are to stand.
    reverted sourcing.span;
    taken_out sourcing.span[] := '{}';
    taken_out_by bigint[] := '{}';
    theirs boolean[] := '{}';
    cancelled bigint[] := '{}';
    everything sourcing.span[] := '{}';
BEGIN
    LOOP
        IF start.id IS NULL THEN
            SELECT max(id) INTO finish FROM sourcing.eventstore
             WHERE event = 'rollback-end' AND id <= n AND id > coalesce((SELECT through FROM sourcing.taken_over), 0);
            IF coalesce(finish, 0) < n THEN
                everything := everything || ROW(coalesce(finish, 0) + 1, n)::sourcing.span;
            END IF;
            EXIT WHEN finish IS NULL;
            SELECT * INTO STRICT start FROM sourcing.eventstore
             WHERE event = 'rollback' AND id < finish ORDER BY id DESC LIMIT 1;
            everything := everything || ROW(start.id, start.id)::sourcing.span;
        END IF;
        n := start.id - 1;
        IF start.id = ANY (cancelled) THEN
            NULL;
        ELSIF start.data ? 'reverts' THEN
            reverted := sourcing.reverted(start.data);
            taken_out := taken_out || reverted;
            taken_out_by := taken_out_by || start.id;
            theirs := theirs || coalesce(start.data ->> 'conflicts' = 'theirs', false);
        ELSIF start.data ? 'keeps_later' THEN
            cancelled := cancelled || coalesce(start.data -> 'undoes', start.data -> 'redoes')::bigint;
        ELSIF sourcing.covers(start.data, of_type, of_uuid) THEN
            n := sourcing.position_before(sourcing.moment_before(start.data), start.id);
        END IF;
        start := NULL;
    END LOOP;
    spans := CASE WHEN taken_out = '{}' THEN everything ELSE sourcing.minus(everything, taken_out) END;
    overruled := '{}';
    FOR place IN 1 .. cardinality(taken_out) LOOP
        CONTINUE WHEN NOT theirs[place];
        reverted := taken_out[place];
        -- What counted until then: what others have not taken out.
        overruled := overruled || ROW(sourcing.minus(ARRAY[reverted], sourcing.minus(ARRAY[reverted],
                sourcing.minus(everything, taken_out[:place - 1] || taken_out[place + 1:]))), reverted.last, taken_out_by[place])::sourcing.overruled;
    END LOOP;
    overruled := ARRAY(SELECT o FROM unnest(overruled) AS o WHERE o.own <> '{}');
END
$$;

-- E(n) for all rows: first for those that no rollback names, then for each table and row that one does.
CREATE FUNCTION sourcing.effective_for_all(n bigint, marker sourcing.eventstore) RETURNS sourcing.effective_rows[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH named(name) AS (
        SELECT e.data ->> 'only' FROM sourcing.eventstore e
         WHERE e.event = 'rollback' AND e.data ? 'only' AND e.id > coalesce((SELECT through FROM sourcing.taken_over), 0)
        UNION SELECT marker.data ->> 'only' WHERE marker.data ? 'only'
    ), class AS (
        SELECT NULL::text AS type, NULL::uuid AS uuid
        UNION ALL
        SELECT CASE WHEN is_row THEN regexp_replace(name, '/[^/]*$', '') ELSE name END,
               CASE WHEN is_row THEN substring(name FROM '[^/]*$')::uuid END
          FROM named CROSS JOIN LATERAL (SELECT name ~ '/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AS is_row) AS what
    )
    SELECT array_agg(ROW(class.type, class.uuid, e.spans, e.overruled)::sourcing.effective_rows ORDER BY class.type NULLS FIRST, class.uuid NULLS FIRST)
      FROM class CROSS JOIN LATERAL sourcing.effective(n, marker, class.type, class.uuid) AS e
$$;

-- Which of them is that of a row: its place.
CREATE FUNCTION sourcing.effective_place(rows sourcing.effective_rows[], of_type text, of_uuid uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT place FROM unnest(rows) WITH ORDINALITY AS r(type, uuid, spans, overruled, place)
     WHERE (r.type IS NULL OR r.type = of_type) AND (r.uuid IS NULL OR r.uuid = of_uuid)
     ORDER BY r.uuid IS NULL, r.type IS NULL LIMIT 1
$$;

-- The columns of a row's event, one of those effective for it, that do not count: up to the row's next create or delete.
CREATE FUNCTION sourcing.overruled_columns(
    overruled sourcing.overruled[], spans sourcing.span[], of_type text, of_uuid uuid, of_id bigint) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT key), '{}')
      FROM unnest(overruled) AS o
      JOIN sourcing.eventstore e ON e.type = of_type AND e.uuid = of_uuid AND sourcing.contains(o.own, e.id)
     CROSS JOIN LATERAL jsonb_object_keys(e.data || coalesce(e.filled, '{}')) AS key
     WHERE of_id > o.last AND of_id < o.before AND key NOT IN ('created_on', 'updated_on')
       AND NOT EXISTS (SELECT FROM sourcing.eventstore c
                        WHERE c.type = of_type AND c.uuid = of_uuid AND c.id > o.last AND c.id <= of_id
                          AND c.event IN ('create', 'delete') AND sourcing.contains(spans, c.id))
$$;
