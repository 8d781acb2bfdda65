//! What can go wrong, in words for the person and in codes for the program.

use std::fmt;

/// The kind of a failure. Its code is part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// No table of this name.
    UnknownTable,
    /// The table takes no part.
    UntrackedTable,
    /// No column of this name.
    UnknownColumn,
    /// A value that the column cannot take.
    BadValue,
    /// `data` is not an object, or an event's fields make no sense.
    BadData,
    /// A create of a row that exists.
    RowExists,
    /// An update or a delete of a row that does not exist.
    RowMissing,
    /// An update or a delete that does not say which row.
    NoUuid,
    /// A constraint of the database is violated.
    ConstraintViolated,
    /// A word that names no kind of event.
    UnknownEventKind,
    /// A field that only the store may fill.
    ReservedField,
    /// A `restore` or a `rollback-end` from a client.
    RestoreOutsideRollback,
    /// A timestamp that is none, is too early, or may not be given.
    BadTimestamp,
    /// A uuid that is none.
    BadUuid,
    /// Text that is no JSON.
    BadJson,
    /// An event id that is not in the log.
    UnknownEvent,
    /// The role has no right to do this.
    NotAllowed,
    /// The log is append-only.
    AppendOnly,
    /// The log has moved on since the plan was made.
    Stale,
    /// The plan has blockers.
    Blocked,
    /// Nobody confirmed.
    NotConfirmed,
    /// The database is open for reading only.
    ReadOnly,
    /// There is nothing to undo or redo.
    NothingToUndo,
    /// Later work would be undone too, which needs its own yes.
    LaterWork,
    /// Asked to stop, and stopped: everything is as it was.
    Stopped,
    /// The rollback's result is not what the plan said; nothing was written.
    PlanMismatch,
    /// No such file.
    FileNotFound,
    /// The file is not a database.
    NotADatabase,
    /// The database has no event store.
    NoEventStore,
    /// The event store was made by another program, and has to be taken over first.
    OtherProgram,
    /// The database already holds events.
    NotEmpty,
    /// The event store was made by a newer program.
    StoreTooNew,
    /// Another program holds the database.
    Locked,
    /// The server does not answer.
    Unreachable,
    /// The server refuses the name or the password.
    LoginRefused,
    /// The address names no database.
    BadAddress,
    /// A wrong command line.
    Usage,
    /// Anything else that the database says.
    Database,
    /// Reading or writing a file or the terminal.
    Io,
}

impl ErrorCode {
    /// The code in `--json` output: `unknown-column`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownTable => "unknown-table",
            Self::UntrackedTable => "untracked-table",
            Self::UnknownColumn => "unknown-column",
            Self::BadValue => "bad-value",
            Self::BadData => "bad-data",
            Self::RowExists => "row-exists",
            Self::RowMissing => "row-missing",
            Self::NoUuid => "no-uuid",
            Self::ConstraintViolated => "constraint-violated",
            Self::UnknownEventKind => "unknown-event-kind",
            Self::ReservedField => "reserved-field",
            Self::RestoreOutsideRollback => "restore-outside-rollback",
            Self::BadTimestamp => "bad-timestamp",
            Self::BadUuid => "bad-uuid",
            Self::BadJson => "bad-json",
            Self::UnknownEvent => "unknown-event",
            Self::NotAllowed => "not-allowed",
            Self::AppendOnly => "append-only",
            Self::Stale => "stale",
            Self::Blocked => "blocked",
            Self::NotConfirmed => "not-confirmed",
            Self::ReadOnly => "read-only",
            Self::NothingToUndo => "nothing-to-undo",
            Self::LaterWork => "later-work",
            Self::Stopped => "stopped",
            Self::PlanMismatch => "plan-mismatch",
            Self::FileNotFound => "file-not-found",
            Self::NotADatabase => "not-a-database",
            Self::NoEventStore => "no-event-store",
            Self::OtherProgram => "other-program",
            Self::NotEmpty => "not-empty",
            Self::StoreTooNew => "store-too-new",
            Self::Locked => "locked",
            Self::Unreachable => "unreachable",
            Self::LoginRefused => "login-refused",
            Self::BadAddress => "bad-address",
            Self::Usage => "usage",
            Self::Database => "database",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure: a sentence that says what and why, a hint that says what to do, and the database's own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind.
    pub code: ErrorCode,
    /// What happened, and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What the database itself said, to unfold. Never holds a password.
    pub details: Option<String>,
}

impl Error {
    /// A failure of this kind.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            details: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The same with the database's own words.
    #[must_use]
    pub fn details(self, details: impl Into<String>) -> Self {
        Self {
            details: Some(details.into()),
            ..self
        }
    }
}

/// What the event-sourcing module's functions return.
pub type Result<T> = std::result::Result<T, Error>;
