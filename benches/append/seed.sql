-- The yardstick: a row trigger that looks the columns up for each event, builds one statement as text, and executes it.

CREATE SCHEMA seed;

CREATE TABLE seed.eventstore (
    id bigserial PRIMARY KEY,
    event varchar(2044) NOT NULL,
    type varchar(2044),
    data jsonb NOT NULL DEFAULT '{}',
    "timestamp" timestamp NOT NULL DEFAULT now(),
    uuid uuid
);

CREATE FUNCTION seed.apply() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
    names text := '';
    given text := '';
    assigned text := '';
    value text;
    changed bigint := 1;
BEGIN
    IF NEW.event IN ('create', 'update') THEN
        FOR found IN
            SELECT column_name AS name, data_type AS type, udt_schema, udt_name
              FROM information_schema.columns WHERE table_schema = 'public' AND table_name = NEW.type
        LOOP
            IF NEW.data ? found.name THEN
                value := CASE found.type
                    WHEN 'USER-DEFINED' THEN format('CAST(%L AS %I.%I)', NEW.data ->> found.name, found.udt_schema, found.udt_name)
                    ELSE format('CAST(%L AS %s)', NEW.data ->> found.name, found.type) END;
                IF found.type = 'jsonb' AND NEW.event = 'update' THEN
                    value := format('(SELECT %I FROM public.%I WHERE %I = %L) || %s', found.name, NEW.type, NEW.type || '_id', NEW.uuid, value);
                END IF;
            ELSIF found.name = 'updated_on' OR found.name = 'created_on' AND NEW.event = 'create' THEN
                value := format('CAST(%L AS timestamp)', NEW."timestamp");
            ELSE
                CONTINUE;
            END IF;
            names := names || format(', %I', found.name);
            given := given || ', ' || value;
            assigned := assigned || format(', %I = %s', found.name, value);
        END LOOP;
    END IF;
    CASE NEW.event
    WHEN 'create' THEN
        NEW.uuid := coalesce(NEW.uuid, gen_random_uuid());
        EXECUTE format('INSERT INTO public.%I (%I%s) VALUES (%L%s)', NEW.type, NEW.type || '_id', names, NEW.uuid, given);
    WHEN 'update' THEN
        EXECUTE format('UPDATE public.%I SET %s WHERE %I = %L', NEW.type, substr(assigned, 3), NEW.type || '_id', NEW.uuid);
        GET DIAGNOSTICS changed = ROW_COUNT;
    WHEN 'delete' THEN
        EXECUTE format('DELETE FROM public.%I WHERE %I = %L', NEW.type, NEW.type || '_id', NEW.uuid);
        GET DIAGNOSTICS changed = ROW_COUNT;
    END CASE;
    IF changed = 0 THEN
        RAISE no_data_found;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER apply BEFORE INSERT ON seed.eventstore FOR EACH ROW EXECUTE FUNCTION seed.apply();

-- Its rollback: every row that lives deleted, newest first, and every event before the moment inserted again.
CREATE FUNCTION seed.rollback(before timestamp) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
    last bigint := (SELECT max(id) FROM seed.eventstore);
BEGIN
    FOR one IN
        SELECT c.type, c.uuid FROM seed.eventstore c
         WHERE c.event = 'create'
           AND NOT EXISTS (SELECT FROM seed.eventstore d WHERE d.event = 'delete' AND d.type = c.type AND d.uuid = c.uuid)
         ORDER BY c.id DESC
    LOOP
        INSERT INTO seed.eventstore (event, type, uuid) VALUES ('delete', one.type, one.uuid);
    END LOOP;
    FOR one IN SELECT * FROM seed.eventstore WHERE "timestamp" < before AND id <= last ORDER BY id LOOP
        INSERT INTO seed.eventstore (event, type, uuid, data) VALUES (one.event, one.type, one.uuid, one.data);
    END LOOP;
END
$$;
