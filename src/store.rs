//! Opening and making event stores: from an address to the trait.

mod address;
mod page;
pub mod postgres;
pub mod sqlite;
mod version;

use std::sync::Arc;

use crate::eventsourcing::{Error, ErrorCode, EventId, EventStore, Result};

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
    /// How many events a take-over appended for rows that were not what the log said.
    pub differences_recorded: u64,
}

/// The consent to take over an event store that another program made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// The latest event of the log that was looked at. When there are later ones, nothing is changed.
    pub head: EventId,
    /// Append events for the rows that are not what the log says, so that they agree from there on.
    pub record_differences: bool,
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
            differences_recorded: 0,
        }),
        Address::Postgres(url) => postgres::init(url, options, schema).await,
    }
}

/// Takes over the event store that mdb or Molar made in a PostgreSQL database, and then runs `schema`, all or nothing.
/// Its log stays row for row.
///
/// # Errors
/// Those of [`init`], and `Stale` when the log has grown since the consent was given.
pub async fn take_over(
    address: &Address,
    options: &OpenOptions,
    schema: Option<&str>,
    consent: &TakeOver,
) -> Result<Made> {
    match address {
        Address::Sqlite(_) => Err(Error::new(
            ErrorCode::NoEventStore,
            "only a PostgreSQL database can have an event store of mdb's or Molar's",
        )),
        Address::Postgres(url) => postgres::take_over(url, options, schema, consent).await,
    }
}
