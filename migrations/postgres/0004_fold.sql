-- What an event does to a row: the same rules as `eventsourcing::row` in the program.
-- States are jsonb objects, column by column; an absent column is null; no row is null.
--
-- What runs for every event is in PL/pgSQL, whose plans are kept: a function in SQL is planned at each call.

-- The value that a time column takes. In SQL without settings of its own, so that it becomes part of the statement that asks for it.
CREATE FUNCTION sourcing.stamp(type text, moment timestamptz) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN type OPERATOR(pg_catalog.=) 'timestamp without time zone' THEN pg_catalog.to_jsonb(pg_catalog.timezone('UTC', moment))
                ELSE pg_catalog.to_jsonb(moment) END
$$;

-- What an event says of its row by itself: its data, and what the rules add to it. In SQL without settings of its own, so that it becomes
-- part of the statement that asks for it.
CREATE FUNCTION sourcing.said(shape sourcing.shape, event text, uuid uuid, data jsonb, moment timestamptz) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN event OPERATOR(pg_catalog.=) 'create' AND shape.key IS NOT NULL
                THEN pg_catalog.jsonb_build_object(shape.key, uuid) ELSE '{}' END
           OPERATOR(pg_catalog.||)
           CASE WHEN event OPERATOR(pg_catalog.=) 'create' AND shape.created_on IS NOT NULL
                THEN pg_catalog.jsonb_build_object('created_on', sourcing.stamp(shape.created_on, moment)) ELSE '{}' END
           OPERATOR(pg_catalog.||)
           CASE WHEN shape.updated_on IS NOT NULL
                THEN pg_catalog.jsonb_build_object('updated_on', sourcing.stamp(shape.updated_on, moment)) ELSE '{}' END
           OPERATOR(pg_catalog.||) data
$$;

-- The state of a row after a create, an update or a delete that says this, in a table with these columns, of which some hold JSON. What the
-- database made of it besides is laid over it. Without settings of its own, which would take longer than all the rest: it runs for every event of a fold.
CREATE FUNCTION sourcing.fold_step(state jsonb, event text, said jsonb, filled jsonb, json text[], columns text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text;
BEGIN
    IF event = 'create' THEN
        RETURN said || coalesce(filled, '{}');
    ELSIF event = 'delete' OR state IS NULL THEN
        RETURN NULL;
    END IF;
    -- An object given for a JSON column that holds one is merged into it, one level deep. An object in a column that is gone was one of a
    -- JSON column.
    IF said - coalesce(columns, '{}') <> '{}' THEN
        json := json || ARRAY(SELECT jsonb_object_keys(said - coalesce(columns, '{}')));
    END IF;
    FOREACH name IN ARRAY json LOOP
        IF jsonb_typeof(said -> name) = 'object' AND jsonb_typeof(state -> name) = 'object' THEN
            said := said || jsonb_build_object(name, (state -> name) || (said -> name));
        END IF;
    END LOOP;
    RETURN state || said || coalesce(filled, '{}');
END
$$;

-- The state of a row: the fold of its creates, updates and deletes, which the caller gives in id order.
CREATE AGGREGATE sourcing.fold(event text, said jsonb, filled jsonb, json text[], columns text[])
(SFUNC = sourcing.fold_step, STYPE = jsonb);

-- What the rules make of an event's data, before the database has had its say.
CREATE FUNCTION sourcing.expected(shape sourcing.shape, before jsonb, event text, uuid uuid, data jsonb, moment timestamptz)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE event WHEN 'restore' THEN data
           ELSE sourcing.fold_step(before, event, sourcing.said(shape, event, uuid, data, moment), NULL, shape.json, shape.columns) END;
END
$$;

-- The columns whose stored value differs from the expected one; null when none does.
CREATE FUNCTION sourcing.filled(expected jsonb, stored jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT jsonb_object_agg(s.key, s.value)
              FROM jsonb_each(stored) AS s
             WHERE s.value <> coalesce(expected -> s.key, 'null'));
END
$$;

-- A state without its null columns, so that an absent column and a null one compare equal.
-- Only the columns' own nulls: those inside a JSON value are data.
CREATE FUNCTION sourcing.without_nulls(state jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN state IS NOT NULL
           THEN (SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}') FROM jsonb_each(state) AS s WHERE s.value <> 'null')
           END
$$;

-- A state's values of these columns.
CREATE FUNCTION sourcing.of_columns(state jsonb, columns text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN state IS NOT NULL
           THEN (SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}') FROM jsonb_each(state) AS s WHERE s.key = ANY (columns))
           END
$$;
