-- Telling those who look that the log has grown, so that they need not ask again and again.

-- At the end of each statement; PostgreSQL sends it when the transaction commits, and equal ones of a transaction once. It has no payload:
-- anybody who may connect can listen, and learns no more than that somebody has written. A transaction that has notified cannot be
-- prepared for a two-phase commit.
CREATE FUNCTION sourcing.notify() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('ebb_log', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER notify AFTER INSERT ON sourcing.eventstore FOR EACH STATEMENT EXECUTE FUNCTION sourcing.notify();
-- Always: a rollback writes with the other triggers off.
ALTER TABLE sourcing.eventstore ENABLE ALWAYS TRIGGER notify;

REVOKE ALL ON FUNCTION sourcing.notify() FROM PUBLIC;
