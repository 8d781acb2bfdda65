-- Makes of the event store of mdb or Molar a table that the migrations then find as if they had made it. Nothing of its
-- rows is lost: columns that these programs had besides stay, and may be left out from now on.

LOCK TABLE sourcing.eventstore IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    one record;
BEGIN
    -- The triggers become ours. One whose function lies elsewhere is somebody else's, and nobody knows what for.
    FOR one IN
        SELECT g.tgname, p.oid::regprocedure AS function, p.pronamespace = 'sourcing'::regnamespace AS theirs
          FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
         WHERE g.tgrelid = 'sourcing.eventstore'::regclass AND NOT g.tgisinternal
    LOOP
        IF NOT one.theirs THEN
            RAISE EXCEPTION USING ERRCODE = '55000',
                MESSAGE = format('the event store has a trigger %I that calls %s, which is not of the program that made it', one.tgname, one.function),
                HINT = 'drop the trigger first, if it is not needed';
        END IF;
        EXECUTE format('DROP TRIGGER %I ON sourcing.eventstore', one.tgname);
    END LOOP;
    FOR one IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'sourcing'::regnamespace LOOP
        EXECUTE format('DROP ROUTINE %s', one.name);
    END LOOP;
    FOR one IN
        SELECT attname FROM pg_attribute
         WHERE attrelid = 'sourcing.eventstore'::regclass AND attnum > 0 AND NOT attisdropped AND attnotnull
           AND attname NOT IN ('id', 'event', 'data', 'timestamp')
    LOOP
        EXECUTE format('ALTER TABLE sourcing.eventstore ALTER %I DROP NOT NULL', one.attname);
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'sourcing.eventstore'::regclass AND contype = 'p') THEN
        ALTER TABLE sourcing.eventstore ADD PRIMARY KEY (id);
    END IF;
END
$$;

ALTER TABLE sourcing.eventstore
    ALTER id SET DEFAULT 0,
    ALTER event TYPE text,
    ALTER type TYPE text,
    ALTER uuid SET DEFAULT '00000000-0000-0000-0000-000000000000',
    ALTER data SET DEFAULT '{}',
    ALTER data SET NOT NULL,
    ALTER "timestamp" DROP DEFAULT,
    ALTER "timestamp" TYPE timestamptz USING "timestamp" AT TIME ZONE 'UTC',
    ALTER "timestamp" SET NOT NULL,
    ADD filled jsonb,
    ADD actor text NOT NULL DEFAULT '',
    ADD origin bigint,
    ADD hash bytea;
ALTER TABLE sourcing.eventstore ALTER "timestamp" SET DEFAULT '-infinity';
DROP SEQUENCE IF EXISTS sourcing.eventstore_id_seq;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'sourcing.eventstore'::regclass AND attname = 'user_id' AND NOT attisdropped) THEN
        UPDATE sourcing.eventstore SET actor = coalesce('user ' || user_id, '');
    END IF;
END
$$;
