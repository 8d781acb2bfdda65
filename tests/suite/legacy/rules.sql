-- What mdb and Molar do with an event, as far as it can be seen from outside, faults included.

-- The columns of a table that this data names. Other keys are dropped without a word.
CREATE FUNCTION sourcing.named(type text, data jsonb) RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
      FROM pg_attribute a
     WHERE a.attrelid = format('public.%I', type)::regclass AND a.attnum > 0 AND data ? a.attname
$$;

CREATE FUNCTION sourcing.apply() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    given jsonb;
    names text[];
    list text;
    changed bigint := 1;
    written sourcing.eventstore := NEW;
    one record;
BEGIN
    IF NEW.event IN ('update', 'delete') AND NEW.uuid IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'No uuid has been provided';
    END IF;
    CASE NEW.event
    WHEN 'create' THEN
        NEW.uuid := coalesce(NEW.uuid, gen_random_uuid());
        given := jsonb_build_object('created_on', NEW."timestamp", 'updated_on', NEW."timestamp") || NEW.data;
        names := sourcing.named(NEW.type, given);
        SELECT string_agg(quote_ident(name), ', ') INTO list FROM unnest(names) AS name;
        EXECUTE format('INSERT INTO public.%1$I (%2$I, %3$s) SELECT $1, %3$s FROM jsonb_populate_record(NULL::public.%1$I, $2)',
            NEW.type, NEW.type || '_id', list) USING NEW.uuid, given;
    WHEN 'update' THEN
        given := jsonb_build_object('updated_on', NEW."timestamp") || NEW.data;
        names := sourcing.named(NEW.type, given);
        -- NULL || x is NULL: what is given for a jsonb column that is NULL is lost.
        SELECT string_agg(format(CASE a.atttypid WHEN 'jsonb'::regtype THEN '%1$I = t.%1$I || r.%1$I' ELSE '%1$I = r.%1$I' END, name), ', ')
          INTO list
          FROM unnest(names) AS name
          JOIN pg_attribute a ON a.attrelid = format('public.%I', NEW.type)::regclass AND a.attname = name;
        EXECUTE format('UPDATE public.%1$I t SET %3$s FROM jsonb_populate_record(NULL::public.%1$I, $2) r WHERE t.%2$I = $1',
            NEW.type, NEW.type || '_id', list) USING NEW.uuid, given;
        GET DIAGNOSTICS changed = ROW_COUNT;
    WHEN 'delete' THEN
        EXECUTE format('DELETE FROM public.%I WHERE %I = $1', NEW.type, NEW.type || '_id') USING NEW.uuid;
        GET DIAGNOSTICS changed = ROW_COUNT;
    WHEN 'rollback' THEN
        -- Every row that no event has ever deleted goes, newest first; what is older than the moment is repeated. All of
        -- it is written before this event, which has its id already.
        FOR one IN
            SELECT type, uuid FROM sourcing.eventstore
             GROUP BY type, uuid HAVING uuid IS NOT NULL AND bool_and(event <> 'delete')
             ORDER BY min(id) DESC
        LOOP
            written.id := nextval('sourcing.eventstore_id_seq');
            written.event := 'delete';
            written.type := one.type;
            written.uuid := one.uuid;
            written.data := '{}';
            INSERT INTO sourcing.eventstore SELECT written.*;
        END LOOP;
        FOR one IN
            SELECT event, type, uuid, data FROM sourcing.eventstore
             WHERE "timestamp" < coalesce((NEW.data ->> 'before')::timestamp, 'infinity')
               AND "timestamp" > coalesce((NEW.data ->> 'after')::timestamp, '-infinity')
             ORDER BY "timestamp", id
        LOOP
            written.id := nextval('sourcing.eventstore_id_seq');
            written.event := one.event;
            written.type := one.type;
            written.uuid := one.uuid;
            written.data := one.data;
            INSERT INTO sourcing.eventstore SELECT written.*;
        END LOOP;
        written := NEW;
        written.id := nextval('sourcing.eventstore_id_seq');
        written.event := 'rollback-end';
        INSERT INTO sourcing.eventstore SELECT written.*;
        NEW.event := 'rollback-begin';
    WHEN 'rollback-begin', 'rollback-start', 'rollback-end' THEN
        NULL;
    END CASE;
    IF changed = 0 THEN
        RAISE no_data_found USING MESSAGE = format('No item matches the uuid %s', NEW.uuid);
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER b_apply BEFORE INSERT ON sourcing.eventstore
    FOR EACH ROW EXECUTE FUNCTION sourcing.apply();
