//! Recognising the event store that a database has, or has not: the same words for both kinds of database.

use sqlx::migrate::Migrator;

use crate::eventsourcing::{Error, ErrorCode, Result};

/// What a database has in the place of an event store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A table of that name which another program made.
    Foreign,
    /// An event store that mdb or Molar made.
    Legacy,
    /// An event store of ebb's, of this version.
    Version(i64),
}

/// The version that this program makes.
fn newest(migrator: &Migrator) -> i64 {
    migrator
        .iter()
        .map(|known| known.version)
        .max()
        .unwrap_or_default()
}

/// Whether an event store can be made there, or brought up to date.
pub(super) fn check_can_init(found: Found, migrator: &Migrator, place: &str) -> Result<()> {
    let newest = newest(migrator);
    match found {
        Found::Foreign => Err(Error::new(
            ErrorCode::NoEventStore,
            format!("{place} has a table eventstore that ebb did not make"),
        )
        .hint("nothing was changed; ebb keeps its own event store under that name")),
        Found::Legacy => Err(Error::new(
            ErrorCode::OtherProgram,
            format!("{place} has an event store that mdb or Molar made"),
        )
        .hint("nothing was changed; ebb opens it as it is, for reading only, and `ebb init` takes it over")),
        Found::Version(version) if version > newest => Err(Error::new(
            ErrorCode::StoreTooNew,
            format!(
                "the event store of {place} was made by a newer ebb: its version is {version}, this program knows {newest}"
            ),
        )
        .hint("install the newer ebb")),
        Found::Nothing | Found::Version(_) => Ok(()),
    }
}

/// Whether it can be opened.
pub(super) fn check_can_open(found: Found, migrator: &Migrator, place: &str) -> Result<()> {
    if found == Found::Legacy {
        return Ok(());
    }
    check_can_init(found, migrator, place)?;
    match found {
        Found::Nothing => Err(Error::new(
            ErrorCode::NoEventStore,
            format!("{place} has no event store"),
        )
        .hint("`ebb init` makes one in it, and leaves its tables as they are")),
        Found::Version(version) if version < newest(migrator) => Err(Error::new(
            ErrorCode::NoEventStore,
            format!("the event store of {place} was made by an older ebb"),
        )
        .hint("`ebb init` brings it up to date; its log stays")),
        Found::Foreign | Found::Legacy | Found::Version(_) => Ok(()),
    }
}
