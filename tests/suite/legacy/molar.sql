-- The log as Molar has it: who wrote an event, and the version of the tables at that time.

CREATE SCHEMA "user";
CREATE TABLE "user"."user" (user_id bigint PRIMARY KEY, email varchar(255));
INSERT INTO "user"."user" VALUES (7, 'tga@mad.lab');

CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO public.alembic_version VALUES ('1bff7d8');

CREATE SCHEMA sourcing;
CREATE SEQUENCE sourcing.eventstore_id_seq;

CREATE TABLE sourcing.eventstore (
    id bigint PRIMARY KEY DEFAULT nextval('sourcing.eventstore_id_seq'),
    event varchar(2044) NOT NULL,
    type varchar(2044),
    data jsonb NOT NULL DEFAULT '{}',
    "timestamp" timestamp NOT NULL DEFAULT now(),
    uuid uuid,
    user_id bigint NOT NULL REFERENCES "user"."user",
    alembic_version text[] NOT NULL
);

CREATE FUNCTION sourcing.note_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.alembic_version := ARRAY(SELECT version_num FROM public.alembic_version);
    RETURN NEW;
END
$$;
CREATE TRIGGER a_version BEFORE INSERT ON sourcing.eventstore
    FOR EACH ROW EXECUTE FUNCTION sourcing.note_version();
