//! Opening and making event stores: from an address to the trait.

mod address;
pub mod postgres;
pub mod sqlite;
mod version;

use std::sync::Arc;

use crate::eventsourcing::{EventStore, Result};

pub use address::Address;

/// How to open a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Let the database itself refuse every write.
    pub read_only: bool,
    /// Who writes, in a SQLite file: the operating system's name of the person. PostgreSQL knows its role itself.
    pub user: String,
    /// The person's own name, which events carry after the role: `instrument7/tga`.
    pub person: Option<String>,
}

/// Opens the event store of an existing database. Never creates anything.
///
/// # Errors
/// `FileNotFound`, `NotADatabase`, `NoEventStore`, `StoreTooNew`, `Locked`, `Unreachable`, `LoginRefused`.
pub async fn open(address: &Address, options: &OpenOptions) -> Result<Arc<dyn EventStore>> {
    match address {
        Address::Sqlite(path) => sqlite::open(path, options).await,
        Address::Postgres(url) => postgres::open(url, options).await,
    }
}

/// What [`init`] has made.
pub struct Made {
    /// The event store, open.
    pub store: Arc<dyn EventStore>,
    /// What became of the roles, in words, where the database has roles.
    pub roles: Option<String>,
}

/// Makes an event store in a database, or brings an older one up to date, and then runs `schema`
/// (SQL that makes tables), all or nothing. A SQLite file that is not there is created. A log that is there stays.
///
/// # Errors
/// Those of [`open`], and the database's about the schema.
pub async fn init(address: &Address, options: &OpenOptions, schema: Option<&str>) -> Result<Made> {
    match address {
        Address::Sqlite(path) => Ok(Made {
            store: sqlite::init(path, options, schema).await?,
            roles: None,
        }),
        Address::Postgres(url) => postgres::init(url, options, schema).await,
    }
}
