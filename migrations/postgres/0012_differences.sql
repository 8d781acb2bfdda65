-- A log may not fold to its tables: rows were there before it was, or were changed behind its back; and the program that a log was taken
-- over from lost updates and did not record what the database made of an event.

-- The rows of a table that are not what the log says: both states, of which one may be null.
CREATE FUNCTION sourcing.differences(shape sourcing.shape) RETURNS TABLE (uuid uuid, told jsonb, there jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_for constant sourcing.effective_rows[] := sourcing.effective_for_all((SELECT coalesce(max(id), 0) FROM sourcing.eventstore), NULL);
    unspoken constant jsonb := sourcing.unspoken(shape);
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH log AS (
             SELECT e.uuid, sourcing.fold(e.event, sourcing.said($1, e.event, e.uuid,
                        -- Data that is no object, which other programs wrote, says nothing.
                        CASE WHEN jsonb_typeof(e.data) <> ''object'' THEN ''{}'' WHEN columns IS NULL THEN e.data ELSE e.data - columns END,
                        e."timestamp"),
                        CASE WHEN columns IS NULL THEN e.filled ELSE e.filled - columns END, $1.json, $1.columns ORDER BY e.id)
                        FILTER (WHERE sourcing.contains(r.spans, e.id)) AS state
               FROM sourcing.eventstore e
               JOIN unnest($2) WITH ORDINALITY AS r(type, uuid, spans, overruled, place)
                 ON r.place = CASE cardinality($2) WHEN 1 THEN 1 ELSE sourcing.effective_place($2, e.type, e.uuid) END
               LEFT JOIN LATERAL (SELECT sourcing.overruled_columns(r.overruled, r.spans, e.type, e.uuid, e.id) AS columns
                                   WHERE r.overruled <> ''{}'') AS c ON true
              WHERE e.type = ($1).name AND e.event IN (''create'', ''update'', ''delete'')
              GROUP BY e.uuid
         )
         SELECT coalesce(log.uuid, t.%1$I), log.state, CASE WHEN t.%1$I IS NOT NULL THEN %2$s END
           FROM log FULL JOIN %3$s t ON t.%1$I = log.uuid
          WHERE (log.state IS NULL) <> (t.%1$I IS NULL)
             OR t.%1$I IS NOT NULL AND sourcing.drifted(log.state, %2$s, $1, $3) <> ''{}''',
        shape.key, shape.state, shape.quoted) USING shape, now_for, unspoken;
END
$$;

-- When differences were recorded, and in how many events. Inserting a row is what records them: only from inside a trigger are
-- events taken as they are.
CREATE TABLE sourcing.recorded (
    "timestamp" timestamptz NOT NULL DEFAULT now(),
    events bigint NOT NULL DEFAULT 0
);

-- Appends, for each row that is not what the log says, events after which it is, without touching the tables. Fails when they
-- differ all the same.
CREATE FUNCTION sourcing.record_differences() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
SET lc_monetary = 'C'
SET xmloption = 'content'
SET jit = off
AS $$
DECLARE
    before constant bigint := sourcing.take_writer();
    head bigint := before;
    one record;
    sh sourcing.shape;
    wrong record;
BEGIN
    UPDATE sourcing.writer SET expanding = pg_trigger_depth();
    SELECT stamp INTO NEW."timestamp" FROM sourcing.writer;
    FOR one IN SELECT name FROM sourcing.tables WHERE key IS NOT NULL ORDER BY name COLLATE "C" LOOP
        sh := sourcing.shape(one.name);
        INSERT INTO sourcing.eventstore (id, event, type, uuid, data, "timestamp", filled, actor)
        SELECT head + row_number() OVER (ORDER BY d.uuid, k.place), k.event, sh.name, d.uuid,
               CASE k.event
                   WHEN 'create' THEN sourcing.of_columns(d.there, sh.written)
                   WHEN 'update' THEN (
                       SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}') FROM jsonb_each(d.there) AS s
                        WHERE s.key = ANY (sh.written) AND (s.key = 'updated_on' OR s.value <> coalesce(d.told -> s.key, 'null')))
                       -- Columns that are gone have no values any more.
                       || (SELECT coalesce(jsonb_object_agg(s.key, NULL), '{}') FROM jsonb_each(d.told) AS s
                            WHERE s.key <> ALL (sh.columns) AND s.value <> 'null')
                   ELSE '{}' END,
               NEW."timestamp",
               CASE WHEN k.event <> 'delete' THEN nullif(d.there - sh.written, '{}') END,
               sourcing.actor()
          FROM sourcing.differences(sh) AS d
         CROSS JOIN LATERAL unnest(CASE
               WHEN d.there IS NULL THEN ARRAY['delete']
               WHEN d.told IS NULL THEN ARRAY['create']
               -- What an update cannot do: change created_on, or take keys out of a JSON object.
               WHEN d.told -> 'created_on' <> d.there -> 'created_on'
                    OR EXISTS (SELECT FROM unnest(sh.json) AS name
                                WHERE jsonb_typeof(d.told -> name) = 'object' AND jsonb_typeof(d.there -> name) = 'object'
                                  AND (d.told -> name) || (d.there -> name) <> d.there -> name)
                    THEN ARRAY['delete', 'create']
               ELSE ARRAY['update'] END) WITH ORDINALITY AS k(event, place);
        SELECT max(id) INTO head FROM sourcing.eventstore;
        SELECT * INTO wrong FROM sourcing.differences(sh) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'EB014',
                MESSAGE = format('%s %s is not what the log says, although the difference was recorded', sh.name, wrong.uuid),
                DETAIL = format('the log says %s, the table has %s', wrong.told, wrong.there);
        END IF;
    END LOOP;
    UPDATE sourcing.writer SET expanding = NULL;
    NEW.events := coalesce(head, before) - before;
    RETURN NEW;
END
$$;

CREATE TRIGGER record_differences BEFORE INSERT ON sourcing.recorded
    FOR EACH ROW EXECUTE FUNCTION sourcing.record_differences();

REVOKE ALL ON FUNCTION sourcing.differences(sourcing.shape), sourcing.record_differences() FROM PUBLIC;
