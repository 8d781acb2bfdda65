//! What PostgreSQL says, as the domain's failures.

use sqlx::postgres::PgDatabaseError;

use crate::eventsourcing::{Error, ErrorCode};

/// A failure of a statement.
pub(super) fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(said) => match said.try_downcast_ref::<PgDatabaseError>() {
            Some(said) => refused(said),
            None => Error::new(ErrorCode::Database, said.to_string()),
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::new(
            ErrorCode::Unreachable,
            format!("the connection to the database is lost: {error}"),
        )
        .hint("check that the server runs, look whether what was being written is there, all of it or nothing, and try again"),
        _ => Error::new(
            ErrorCode::Database,
            format!("the database's answer could not be used: {error}"),
        ),
    }
}

/// What of the server refuses to read where a policy would apply. Its words may be in any language.
const HIDES_ROWS: &str = "check_enable_rls";

/// A table, a function or a type that is not there. In a function, that is in code of a table's own.
const NOT_FOUND: [&str; 3] = ["42P01", "42883", "42704"];

/// Where such code does not look.
const NOT_IN_PUBLIC: &str = "a table's own code finds what is in the schema public by its bare name only while nobody but trusted roles may create \
     there: REVOKE CREATE ON SCHEMA public FROM PUBLIC, or write public. before the name";

/// A refusal of the server, with its own words.
fn refused(said: &PgDatabaseError) -> Error {
    let code = code_of(said.code());
    let message = match (code, given(said.detail())) {
        // Which value it was, stands in the detail only.
        (ErrorCode::ConstraintViolated, Some(detail)) => format!("{}: {detail}", said.message()),
        _ => said.message().to_owned(),
    };
    let hint = match (given(said.hint()), code) {
        // The server's own hint is where its administrator may look.
        _ if said.code() == DEADLOCK => Some(
            "somebody else holds rows or tables and waits for the event store in the same transaction; nothing was written, try again".to_owned(),
        ),
        (Some(hint), _) => Some(hint.to_owned()),
        (None, ErrorCode::NotAllowed) if said.message().contains("session_replication_role") => {
            Some(
                "a rollback switches the tables' triggers off while it writes: let a superuser own the event store, or \
                 (PostgreSQL 15 and later) GRANT SET ON PARAMETER session_replication_role to its owner"
                    .to_owned(),
            )
        }
        (None, ErrorCode::NotAllowed) if said.routine() == Some(HIDES_ROWS) => Some(
            "ebb does not read a table whose row security would hide rows from it: do it as the table's owner, or as a role with BYPASSRLS"
                .to_owned(),
        ),
        (None, _) => None,
    };
    // The server's own words on it, if any, do not know where the name was looked for.
    let hint = match NOT_FOUND.contains(&said.code()) && said.r#where().is_some() {
        true => Some(NOT_IN_PUBLIC.to_owned()),
        false => hint,
    };
    Error {
        code,
        message,
        hint,
        details: Some(details(said)),
    }
}

/// A field that a refusal passed on may be there and empty.
fn given(field: Option<&str>) -> Option<&str> {
    field.filter(|text| !text.is_empty())
}

/// Everything the server said, for those who want to know.
fn details(said: &PgDatabaseError) -> String {
    let mut lines = vec![format!("SQLSTATE {}: {}", said.code(), said.message())];
    lines.extend(given(said.detail()).map(str::to_owned));
    lines.extend(given(said.constraint()).map(|name| format!("constraint {name}")));
    lines.extend(said.r#where().map(str::to_owned));
    lines.join("\n")
}

/// The server's word for two transactions that wait for each other, of which it has ended this one.
const DEADLOCK: &str = "40P01";

/// Whether the server has ended the transaction because it and another one waited for each other.
pub(super) fn is_deadlock(error: &Error) -> bool {
    let details = error.details.as_deref();
    details.is_some_and(|details| details.starts_with(&format!("SQLSTATE {DEADLOCK}:")))
}

/// Whether it is an event that the server refuses, and not that it could not get to one: it was at work on it, and nobody has told it
/// to stop.
pub(super) fn is_of_event(error: &sqlx::Error) -> bool {
    let said = error
        .as_database_error()
        .and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
    said.is_some_and(|said| {
        !said.code().starts_with("57")
            && said
                .r#where()
                .is_some_and(|at| at.contains("sourcing.accept()"))
    })
}

/// The class EB is ebb's own: see `migrations/postgres`.
fn code_of(sqlstate: &str) -> ErrorCode {
    match sqlstate {
        "EB001" => ErrorCode::UnknownTable,
        "EB002" => ErrorCode::UntrackedTable,
        "EB003" => ErrorCode::UnknownColumn,
        "EB004" => ErrorCode::BadValue,
        "EB005" => ErrorCode::BadData,
        "EB006" => ErrorCode::RowExists,
        "EB007" => ErrorCode::UnknownEventKind,
        "EB008" => ErrorCode::ReservedField,
        "EB009" => ErrorCode::RestoreOutsideRollback,
        "EB010" => ErrorCode::BadTimestamp,
        "EB012" => ErrorCode::AppendOnly,
        "EB013" => ErrorCode::Blocked,
        "EB014" => ErrorCode::PlanMismatch,
        "P0002" => ErrorCode::RowMissing,
        "22004" => ErrorCode::NoUuid,
        "25006" => ErrorCode::ReadOnly,
        "42501" => ErrorCode::NotAllowed,
        "55P03" | DEADLOCK => ErrorCode::Locked,
        "57014" => ErrorCode::Stopped,
        "57P01" | "57P02" | "57P03" | "53300" => ErrorCode::Unreachable,
        _ if sqlstate.starts_with("22") => ErrorCode::BadValue,
        _ if sqlstate.starts_with("23") || sqlstate.starts_with("27") => {
            ErrorCode::ConstraintViolated
        }
        _ if sqlstate.starts_with("28") => ErrorCode::LoginRefused,
        _ if sqlstate.starts_with("08") => ErrorCode::Unreachable,
        _ => ErrorCode::Database,
    }
}
