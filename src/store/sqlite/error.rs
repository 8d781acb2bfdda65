//! What SQLite says, as the domain's failures.

use crate::eventsourcing::{Error, ErrorCode};

/// SQLite's primary result codes that mean something to ebb; an extended code has its primary one in the
/// lowest byte.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NOTADB: i32 = 26;
    /// Extended: a column of a STRICT table got a value of another type.
    pub(super) const CONSTRAINT_DATATYPE: i32 = 3091;
    /// Extended: the kinds of constraints.
    pub(super) const CONSTRAINT_CHECK: i32 = 275;
    pub(super) const CONSTRAINT_NOTNULL: i32 = 1299;
    pub(super) const CONSTRAINT_PRIMARYKEY: i32 = 1555;
    pub(super) const CONSTRAINT_UNIQUE: i32 = 2067;
    /// Extended: a foreign key, which SQLite does not name.
    pub(super) const CONSTRAINT_FOREIGNKEY: i32 = 787;
}

/// SQLite's extended result code of a failure, if it has one.
fn result_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether a foreign key was violated: SQLite does not say which.
pub(super) fn is_foreign_key(error: &sqlx::Error) -> bool {
    result_code(error) == Some(code::CONSTRAINT_FOREIGNKEY)
}

/// Which kind of constraint a row violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConstraintKind {
    Check,
    Unique,
    NotNull,
    Type,
}

/// Which constraint a statement failed by; `None` for other failures.
pub(super) fn constraint_kind(error: &sqlx::Error) -> Option<ConstraintKind> {
    match result_code(error)? {
        code::CONSTRAINT_CHECK => Some(ConstraintKind::Check),
        code::CONSTRAINT_UNIQUE | code::CONSTRAINT_PRIMARYKEY => Some(ConstraintKind::Unique),
        code::CONSTRAINT_NOTNULL => Some(ConstraintKind::NotNull),
        code::CONSTRAINT_DATATYPE | code::MISMATCH => Some(ConstraintKind::Type),
        _ => None,
    }
}

/// A failure of a statement.
pub(super) fn failed(error: sqlx::Error) -> Error {
    let Some(code) = result_code(&error) else {
        return Error::new(
            ErrorCode::Database,
            format!("the database's answer could not be used: {error}"),
        );
    };
    let said = error
        .as_database_error()
        .map_or_else(String::new, |said| said.message().to_owned());
    let details = format!("SQLite {code}: {said}");
    let error = match code & 0xff {
        _ if code == code::CONSTRAINT_DATATYPE => Error::new(ErrorCode::BadValue, said),
        code::BUSY | code::LOCKED => Error::new(
            ErrorCode::Locked,
            "the database is locked: another program is writing to it, and did not finish in time",
        )
        .hint("nothing was written; try again when that program has finished"),
        code::READONLY => Error::new(ErrorCode::ReadOnly, "the database can only be read")
            .hint("check the rights of the file and of its directory"),
        // RAISE in the event store's own triggers, which SQLite counts among the constraints.
        code::CONSTRAINT if said.starts_with("the event store is append-only") => {
            Error::new(ErrorCode::AppendOnly, said)
        }
        code::CONSTRAINT => Error::new(ErrorCode::ConstraintViolated, said),
        code::MISMATCH => Error::new(ErrorCode::BadValue, said),
        code::NOTADB => Error::new(ErrorCode::NotADatabase, "the file is not a SQLite database"),
        code::CORRUPT => Error::new(ErrorCode::Database, "the database file is damaged")
            .hint("make a copy of it before anything else, and restore the last backup"),
        code::CANTOPEN => Error::new(ErrorCode::Io, "the database file cannot be opened")
            .hint("check the rights of the file and of its directory"),
        code::FULL => Error::new(ErrorCode::Io, "the disk is full; nothing was written"),
        code::IOERR => Error::new(
            ErrorCode::Io,
            "the database file could not be read or written",
        ),
        _ => Error::new(ErrorCode::Database, said),
    };
    error.details(details)
}
