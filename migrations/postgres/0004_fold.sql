-- What an event does to a row: the same rules as `eventsourcing::row` in the program.
-- States are jsonb objects, column by column; an absent column is null; no row is null.
--
-- What runs for every event is in PL/pgSQL, whose plans are kept: a function in SQL is planned at each call.

-- The value that a time column takes.
CREATE FUNCTION sourcing.stamp(type text, moment timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE type WHEN 'timestamp without time zone' THEN to_jsonb(moment AT TIME ZONE 'UTC') ELSE to_jsonb(moment) END;
END
$$;

-- What the rules make of an event's data, before the database has had its say.
CREATE FUNCTION sourcing.expected(shape sourcing.shape, before jsonb, event text, uuid uuid, data jsonb, moment timestamptz)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state jsonb;
BEGIN
    IF event = 'restore' THEN
        RETURN data;
    ELSIF event = 'delete' OR (event = 'update' AND before IS NULL) THEN
        RETURN NULL;
    ELSIF event = 'create' THEN
        state := '{}';
        IF shape.key IS NOT NULL THEN
            state := jsonb_build_object(shape.key, uuid);
        END IF;
        IF shape.created_on IS NOT NULL THEN
            state := state || jsonb_build_object('created_on', sourcing.stamp(shape.created_on, moment));
        END IF;
    ELSE
        state := before;
        -- An object given for a JSON column that holds one is merged into it, one level deep.
        IF shape.json && ARRAY(SELECT jsonb_object_keys(data)) THEN
            SELECT jsonb_object_agg(given.key, CASE
                       WHEN given.key = ANY (shape.json)
                        AND jsonb_typeof(given.value) = 'object' AND jsonb_typeof(before -> given.key) = 'object'
                       THEN (before -> given.key) || given.value
                       ELSE given.value END)
              INTO data
              FROM jsonb_each(data) AS given;
        END IF;
    END IF;
    IF shape.updated_on IS NOT NULL THEN
        state := state || jsonb_build_object('updated_on', sourcing.stamp(shape.updated_on, moment));
    END IF;
    RETURN state || data;
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

CREATE FUNCTION sourcing.fold_step(
    state jsonb, shape sourcing.shape, event text, uuid uuid, data jsonb, filled jsonb, moment timestamptz)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Data that is no object, which other programs wrote, says nothing.
    RETURN sourcing.expected(shape, state, event, uuid, CASE jsonb_typeof(data) WHEN 'object' THEN data ELSE '{}' END, moment)
           || coalesce(filled, '{}');
END
$$;

-- The state of a row: the fold of its events, which the caller gives in id order.
CREATE AGGREGATE sourcing.fold(
    shape sourcing.shape, event text, uuid uuid, data jsonb, filled jsonb, moment timestamptz)
(SFUNC = sourcing.fold_step, STYPE = jsonb);

-- A state's values of these columns.
CREATE FUNCTION sourcing.of_columns(state jsonb, columns text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN state IS NOT NULL
           THEN (SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}') FROM jsonb_each(state) AS s WHERE s.key = ANY (columns))
           END
$$;
