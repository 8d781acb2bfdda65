-- The floor: a bare log, and the changes of the tables with nothing left to compute.

CREATE TABLE public.bare_log (
    id bigint PRIMARY KEY,
    event text NOT NULL,
    type text,
    uuid uuid,
    data jsonb NOT NULL,
    "timestamp" timestamptz NOT NULL
);
