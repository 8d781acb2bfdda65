//! What every store must do, the same on both.

mod appending;
mod bursts;
mod counting;
mod opening;
mod parts;
mod reading;
mod refusing;
mod returned;
mod rolling_back;
mod summaries;
mod unknown_rows;
mod values;
mod verifying;
mod watching;

use ebbtide::eventsourcing::store::Backend;

/// A small schema that has everything the rules speak of.
pub(crate) fn schema(backend: Backend) -> String {
    let text = "
        CREATE TABLE sample (
            sample_id {uuid} PRIMARY KEY NOT NULL,
            created_on {timestamp} NOT NULL,
            updated_on {timestamp} NOT NULL,
            name TEXT NOT NULL UNIQUE,
            info {json},
            mass INTEGER DEFAULT 7 CHECK (mass < 1000),
            parent_id {uuid} REFERENCES sample (sample_id),
            double_mass INTEGER GENERATED ALWAYS AS (mass * 2) STORED
        );
        CREATE TABLE spectrum (
            spectrum_id {uuid} PRIMARY KEY NOT NULL,
            sample_id {uuid} NOT NULL REFERENCES sample (sample_id) ON DELETE CASCADE,
            reference_id {uuid} REFERENCES sample (sample_id) ON DELETE SET NULL,
            title TEXT
        );
        CREATE INDEX spectra_of_a_sample ON spectrum (sample_id);
        CREATE TABLE setting (
            name TEXT NOT NULL,
            place INTEGER NOT NULL,
            value TEXT,
            PRIMARY KEY (name, place)
        );
        CREATE TABLE booking (
            number INTEGER PRIMARY KEY,
            spectrum_id {uuid} REFERENCES spectrum (spectrum_id) ON DELETE CASCADE
        );
    ";
    with_types(text, backend)
}

/// With the names that types have there.
pub(crate) fn with_types(text: &str, backend: Backend) -> String {
    match backend {
        Backend::Sqlite => text
            .replace("{uuid}", "UUID")
            .replace("{timestamp}", "TIMESTAMP")
            .replace("{json}", "JSON")
            .replace("{number}", "NUMERIC"),
        Backend::Postgres => text
            .replace("{uuid}", "uuid")
            .replace("{timestamp}", "timestamp")
            .replace("{json}", "jsonb")
            .replace("{number}", "numeric"),
    }
}
