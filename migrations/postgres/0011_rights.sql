-- Who may do what. Four roles, each with the rights of those after it:
--
--   <database>_owner      owns the event store, imports, takes part with tables of its own
--   <database>_operator   rolls back
--   <database>_writer     inserts events
--   <database>_reader     reads the log and the tables
--
-- Nobody can log in as one of them: they are granted, as in GRANT lab_writer TO instrument7.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sourcing FROM PUBLIC;

-- Makes the roles where they are missing, and gives them their rights on what is there now and on what the calling role makes
-- later. Run again, it takes in the tables that others have made meanwhile. Returns what it has done, or why it has not.
CREATE FUNCTION sourcing.make_roles() RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    database constant text := current_database();
    comment constant text := format('ebb: a role of the event store of the database %s', database);
    reader constant text := database || '_reader';
    writer constant text := database || '_writer';
    operator constant text := database || '_operator';
    owner constant text := database || '_owner';
    me pg_roles;
    taken text;
    owns_by_role boolean;
    one record;
BEGIN
    SELECT * INTO me FROM pg_roles WHERE rolname = current_user;
    SELECT r.rolname INTO taken FROM pg_roles r
     WHERE r.rolname IN (reader, writer, operator, owner) AND shobj_description(r.oid, 'pg_authid') IS DISTINCT FROM comment LIMIT 1;
    IF NOT (me.rolsuper OR me.rolcreaterole) THEN
        RETURN format('no roles were made: %s may not create roles', me.rolname);
    ELSIF octet_length(operator) > 63 THEN
        RETURN 'no roles were made: the database''s name is too long to name roles after it';
    ELSIF taken IS NOT NULL THEN
        RETURN format('no roles were made: the role %s exists already, and is not of this event store', taken);
    END IF;
    FOR one IN SELECT name FROM unnest(ARRAY[reader, writer, operator, owner]) AS name WHERE to_regrole(quote_ident(name)) IS NULL LOOP
        EXECUTE format('CREATE ROLE %I NOLOGIN', one.name);
        EXECUTE format('COMMENT ON ROLE %I IS %L', one.name, comment);
    END LOOP;
    EXECUTE format('GRANT %I TO %I', reader, writer);
    EXECUTE format('GRANT %I TO %I', writer, operator);
    EXECUTE format('GRANT %I TO %I', operator, owner);

    -- A rollback has to set session_replication_role. Before that right could be granted, only a superuser's
    -- functions could, so there the event store stays with the one who made it.
    owns_by_role := me.rolsuper AND current_setting('server_version_num')::integer >= 150000;
    IF owns_by_role THEN
        -- Grants on parameters are the whole server's: two at once would fail.
        EXECUTE 'LOCK TABLE pg_parameter_acl IN SHARE ROW EXCLUSIVE MODE';
        EXECUTE format('GRANT SET ON PARAMETER session_replication_role TO %I', owner);
        EXECUTE format('ALTER SCHEMA sourcing OWNER TO %I', owner);
        FOR one IN
            SELECT CASE c.relkind WHEN 'c' THEN 'TYPE' WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name
              FROM pg_class c WHERE c.relnamespace = 'sourcing'::regnamespace AND c.relkind IN ('r', 'v', 'c', 'S')
             UNION ALL
            SELECT 'ROUTINE', p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'sourcing'::regnamespace
        LOOP
            EXECUTE format('ALTER %s %s OWNER TO %I', one.kind, one.name, owner);
        END LOOP;
    END IF;

    EXECUTE format('GRANT USAGE ON SCHEMA sourcing TO %I', reader);
    EXECUTE format('GRANT SELECT ON sourcing.eventstore, sourcing.tables, sourcing.taken_over, sourcing.ebb_migrations TO %I', reader);
    EXECUTE format('GRANT EXECUTE ON FUNCTION sourcing.find(text), sourcing.state(oid), sourcing.state_of(oid, text), sourcing.beyond_json(oid),
        sourcing.position_before(timestamptz, bigint), sourcing.moment_before(jsonb) TO %I', reader);
    EXECUTE format('GRANT INSERT ON sourcing.eventstore TO %I', writer);
    EXECUTE format('GRANT EXECUTE ON FUNCTION sourcing.append(text[], text[], uuid[], jsonb[], timestamptz[]),
        sourcing.given_after(bigint, boolean), sourcing.follows_another(bigint, timestamptz), sourcing.take_writer() TO %I', writer);
    EXECUTE format('GRANT EXECUTE ON FUNCTION sourcing.may_roll_back() TO %I', operator);
    EXECUTE format('GRANT SELECT ON SEQUENCE sourcing.progress TO %I', operator);
    EXECUTE format('GRANT EXECUTE ON FUNCTION sourcing.may_import() TO %I', owner);

    -- The tables: those of others are theirs to give.
    FOR one IN
        SELECT quote_ident(n.nspname) AS name FROM pg_namespace n
         WHERE n.nspname NOT IN ('sourcing', 'pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
           AND (me.rolsuper OR pg_has_role(n.nspowner, 'USAGE'))
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', one.name, reader);
    END LOOP;
    FOR one IN
        SELECT c.oid::regclass::text AS name, c.relkind = 'S' AS is_sequence FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('sourcing', 'pg_catalog', 'information_schema', 'pg_toast')
           AND (me.rolsuper OR pg_has_role(c.relowner, 'USAGE'))
    LOOP
        IF one.is_sequence THEN
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', one.name, owner);
        ELSE
            EXECUTE format('GRANT SELECT ON %s TO %I', one.name, reader);
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %s TO %I', one.name, owner);
        END IF;
    END LOOP;
    EXECUTE format('ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO %I', reader);
    EXECUTE format('ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO %I', reader);
    EXECUTE format('ALTER DEFAULT PRIVILEGES GRANT INSERT, UPDATE, DELETE ON TABLES TO %I', owner);
    EXECUTE format('ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO %I', owner);
    RETURN format('the roles %s, %s, %s and %s are there to be granted', owner, operator, writer, reader);
END
$$;

REVOKE ALL ON FUNCTION sourcing.make_roles() FROM PUBLIC;
