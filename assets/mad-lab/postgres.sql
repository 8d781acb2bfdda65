-- The Mad Lab: eleven tables of a chemistry laboratory, as the project's founding document has them.
-- Each takes part in event sourcing: its primary key is one uuid column, <table>_id.

CREATE TABLE public.lab (
    lab_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    name text NOT NULL UNIQUE,
    short_name text NOT NULL UNIQUE
);

CREATE TABLE public.synthesis_machine (
    synthesis_machine_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    name text NOT NULL UNIQUE,
    lab_id uuid NOT NULL REFERENCES public.lab
);

CREATE TABLE public.fragment (
    fragment_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    smiles text NOT NULL UNIQUE
);

CREATE TABLE public.molecule (
    molecule_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    smiles text NOT NULL UNIQUE
);

CREATE TABLE public.molecule_fragment (
    molecule_fragment_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    molecule_id uuid NOT NULL REFERENCES public.molecule,
    fragment_id uuid NOT NULL REFERENCES public.fragment,
    "order" integer NOT NULL,
    UNIQUE (molecule_id, "order")
);

CREATE TABLE public.synthesis (
    synthesis_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    hid text NOT NULL UNIQUE,
    synthesis_machine_id uuid NOT NULL REFERENCES public.synthesis_machine,
    targeted_molecule_id uuid NOT NULL REFERENCES public.molecule,
    xdl xml,
    notes text
);

CREATE TABLE public.experiment_type (
    experiment_type_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    name text NOT NULL UNIQUE
);

CREATE TABLE public.experiment_machine (
    experiment_machine_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    name text NOT NULL UNIQUE,
    experiment_type_id uuid NOT NULL REFERENCES public.experiment_type,
    lab_id uuid NOT NULL REFERENCES public.lab
);

CREATE TABLE public.experiment (
    experiment_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    synthesis_id uuid NOT NULL REFERENCES public.synthesis,
    experiment_machine_id uuid NOT NULL REFERENCES public.experiment_machine,
    notes text
);

CREATE TABLE public.data_unit (
    data_unit_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    name text NOT NULL UNIQUE
);

CREATE TABLE public.xy_data (
    xy_data_id uuid PRIMARY KEY,
    created_on timestamp NOT NULL,
    updated_on timestamp NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    experiment_id uuid NOT NULL REFERENCES public.experiment,
    name text NOT NULL,
    x float8[] NOT NULL,
    y float8[] NOT NULL,
    x_units_id uuid NOT NULL REFERENCES public.data_unit,
    y_units_id uuid NOT NULL REFERENCES public.data_unit
);
