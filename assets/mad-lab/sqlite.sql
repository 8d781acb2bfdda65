-- The Mad Lab: eleven tables of a chemistry laboratory, as the project's founding document has them.
-- Each takes part in event sourcing: its primary key is one uuid column, <table>_id.

CREATE TABLE lab (
    lab_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    name TEXT NOT NULL UNIQUE,
    short_name TEXT NOT NULL UNIQUE
);

CREATE TABLE synthesis_machine (
    synthesis_machine_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    name TEXT NOT NULL UNIQUE,
    lab_id UUID NOT NULL REFERENCES lab
);

CREATE TABLE fragment (
    fragment_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    smiles TEXT NOT NULL UNIQUE
);

CREATE TABLE molecule (
    molecule_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    smiles TEXT NOT NULL UNIQUE
);

CREATE TABLE molecule_fragment (
    molecule_fragment_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    molecule_id UUID NOT NULL REFERENCES molecule,
    fragment_id UUID NOT NULL REFERENCES fragment,
    "order" INTEGER NOT NULL,
    UNIQUE (molecule_id, "order")
);

CREATE TABLE synthesis (
    synthesis_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    hid TEXT UNIQUE,
    synthesis_machine_id UUID NOT NULL REFERENCES synthesis_machine,
    targeted_molecule_id UUID NOT NULL REFERENCES molecule,
    xdl TEXT,
    notes TEXT
);

CREATE TABLE experiment_type (
    experiment_type_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE experiment_machine (
    experiment_machine_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    name TEXT NOT NULL UNIQUE,
    experiment_type_id UUID NOT NULL REFERENCES experiment_type,
    lab_id UUID NOT NULL REFERENCES lab
);

CREATE TABLE experiment (
    experiment_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    synthesis_id UUID NOT NULL REFERENCES synthesis,
    experiment_machine_id UUID NOT NULL REFERENCES experiment_machine,
    notes TEXT
);

CREATE TABLE data_unit (
    data_unit_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE xy_data (
    xy_data_id UUID PRIMARY KEY NOT NULL,
    created_on TIMESTAMP NOT NULL,
    updated_on TIMESTAMP NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    experiment_id UUID NOT NULL REFERENCES experiment,
    name TEXT NOT NULL,
    x JSON NOT NULL,
    y JSON NOT NULL,
    x_units_id UUID NOT NULL REFERENCES data_unit,
    y_units_id UUID NOT NULL REFERENCES data_unit
);

-- A synthesis without a hid gets LAB_YYYY-MM-DD_N: the short name of its machine's lab, the day, and one more
-- than the highest number so far of that lab and day, from 0. Not a count: a deleted synthesis must not make
-- the next one collide.
CREATE TRIGGER synthesis_hid AFTER INSERT ON synthesis
WHEN NEW.hid IS NULL
BEGIN
    UPDATE synthesis
       SET hid = (
           SELECT place.prefix || (
               SELECT coalesce(max(CAST(substr(hid, length(place.prefix) + 1) AS INTEGER)) + 1, 0)
                 FROM synthesis
                WHERE substr(hid, 1, length(place.prefix)) = place.prefix
                  AND substr(hid, length(place.prefix) + 1) GLOB '[0-9]*'
                  AND substr(hid, length(place.prefix) + 1) NOT GLOB '*[^0-9]*'
           )
             FROM (
               SELECT lab.short_name || '_' || substr(NEW.created_on, 1, 10) || '_' AS prefix
                 FROM synthesis_machine AS machine
                 JOIN lab USING (lab_id)
                WHERE machine.synthesis_machine_id = NEW.synthesis_machine_id
             ) AS place
       )
     WHERE synthesis_id = NEW.synthesis_id;
END;
