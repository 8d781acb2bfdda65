-- The log as mdb has it.

CREATE SCHEMA sourcing;
CREATE SEQUENCE sourcing.eventstore_id_seq;

CREATE TABLE sourcing.eventstore (
    id bigint PRIMARY KEY DEFAULT nextval('sourcing.eventstore_id_seq'),
    event varchar(2044) NOT NULL,
    type varchar(2044),
    data jsonb NOT NULL DEFAULT '{}',
    "timestamp" timestamp NOT NULL DEFAULT now(),
    uuid uuid
);
