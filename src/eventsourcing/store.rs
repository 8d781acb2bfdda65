//! The trait that a database has to satisfy to hold an event store.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::activity::ActivityBy;
use super::error::Result;
use super::event::{Event, EventId, NewEvent, Row, RowKey};
use super::history::History;
use super::ranges::Ranges;
use super::rollback::{Changes, ConfirmedRollback, Control, RollbackOutcome};
use super::schema::Table;
use super::scope::Scope;
use super::states::Mention;
use super::timeline::{Detail, Filter, Page, PageRequest};
use super::timestamp::Timestamp;

/// What kind of database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A SQLite file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

impl Backend {
    /// Its name on screens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What the reader should know of an open store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// The kind of database.
    pub backend: Backend,
    /// Its short name: the file's name, or the database's.
    pub name: String,
    /// Where it is, without a password: the file's path, or `host:port/database`.
    pub location: String,
    /// Who is recorded as having made what is written by way of this store.
    pub actor: String,
    /// Why nothing can be written, when nothing can be.
    pub read_only: Option<String>,
}

/// Where a page of a table's rows continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowCursor {
    /// After a row that was read: only the store that made it knows what is inside.
    Row(String),
    /// After where the row with this key is, or would be.
    Key(Uuid),
}

/// In a summary of a row, values of more bytes than this are left out, as stored: compressed, where the database compresses.
pub const VALUE_LIMIT: usize = 2 * 1024;

/// Characters of a text that a summary has instead: more than a line of a screen shows.
pub const VALUE_BEGINNING: usize = 300;

/// The columns whose values were left out, with their sizes in bytes. Instead there is the beginning of a text, and otherwise NULL.
pub type LeftOut = BTreeMap<String, u64>;

/// A page of a table's rows.
#[derive(Clone, Copy, Debug)]
pub struct RowsQuery<'a> {
    /// The table.
    pub table: &'a Table,
    /// The row before the page; `None` begins with the first.
    pub after: Option<&'a RowCursor>,
    /// Rows in the page at most.
    pub limit: usize,
    /// Whether long values are brought.
    pub detail: Detail,
    /// Only the rows that name this one by this column, which is a foreign key.
    pub naming: Option<(&'a str, Uuid)>,
}

/// A row as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    /// Every column in the table's order.
    pub row: Row,
    /// What was left out of it.
    pub left_out: LeftOut,
    /// Where the rows after it begin.
    pub cursor: RowCursor,
}

/// One page of a table's rows as they are now, ordered by the primary key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowPage {
    /// The rows.
    pub rows: Vec<StoredRow>,
    /// Whether there are more after them.
    pub has_more: bool,
}

/// How many events of each kind that changes rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Creates.
    pub creates: u64,
    /// Updates.
    pub updates: u64,
    /// Deletes.
    pub deletes: u64,
}

impl ChangeCounts {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.creates + self.updates + self.deletes
    }
}

/// Who holds the lock that writers take in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The role that is logged in.
    pub role: String,
    /// The program's name, as it gives it itself.
    pub program: Option<String>,
    /// The server's process for it.
    pub process: Option<i32>,
    /// When its transaction began, where this may be known.
    pub since: Option<Timestamp>,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.role)?;
        let process = self.process.map(|process| format!("process {process}"));
        let known: Vec<&str> = self
            .program
            .as_deref()
            .into_iter()
            .chain(process.as_deref())
            .collect();
        if !known.is_empty() {
            write!(f, " ({})", known.join(", "))?;
        }
        match self.since {
            Some(since) => write!(
                f,
                ", who has been writing since {}",
                since.format("%H:%M:%S UTC")
            ),
            None => f.write_str(", who is writing"),
        }
    }
}

/// A row of a table that takes no part, whose foreign key points at a row that events can remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideReference {
    /// The table that takes no part.
    pub table: String,
    /// Its foreign key's column.
    pub column: String,
    /// The row that it points at.
    pub to: RowKey,
    /// Why the table was not looked into, in words: then the row is only one that it may point at.
    pub unseen: Option<String>,
}

/// What kind of constraint rows would violate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violated {
    /// A CHECK.
    Check,
    /// A value that must differ from row to row.
    Unique,
    /// Values that exclude each other.
    Exclusion,
    /// A row would point at one that is not there.
    ForeignKey,
}

/// A constraint that rows would violate as a rollback would leave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which kind.
    pub kind: Violated,
    /// The constraint's name, or what tells it from others; of a value, the column.
    pub constraint: String,
    /// One of the rows.
    pub row: RowKey,
    /// How many rows there are.
    pub rows: u64,
    /// What is wrong with that one, as the end of a sentence that begins with it.
    pub words: String,
}

/// One row, in its table and in the log, read at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RowAudit {
    /// The row's key.
    pub uuid: Uuid,
    /// The row in its table, when it is there.
    pub stored: Option<Row>,
    /// Its events, in id order: all, or the latest as far as that was asked for.
    pub events: Vec<Event>,
}

/// An event store: the log, and the tables that it is applied to.
///
/// Positions and ids are those of [`EventId`]. Every method fails with the database's own failures
/// ([`Unreachable`](super::error::ErrorCode::Unreachable), [`Locked`](super::error::ErrorCode::Locked),
/// [`Database`](super::error::ErrorCode::Database)); only the further ones are named below.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// What the reader should know of it.
    fn info(&self) -> &StoreInfo;

    /// The latest event's id; 0 for an empty log.
    async fn head(&self) -> Result<EventId>;

    /// Waits until the log's head is another than this one, and returns it; at once if it already is. Dropping it
    /// leaves nothing behind. Fails with `Unreachable` when the connection is lost.
    ///
    /// On PostgreSQL the event store tells when it has grown, on a connection of its own. Where it cannot, in one of mdb's or
    /// Molar's or on a standby, it is asked once a second. A SQLite file is looked at four times a second.
    async fn next_head(&self, known: EventId) -> Result<EventId>;

    /// How many events the log has up to this position. Ids count them, but for a log that another program wrote,
    /// whose ids may have gaps.
    async fn event_count(&self, through: EventId) -> Result<u64> {
        Ok(through.unsigned_abs())
    }

    /// One event, whole.
    async fn event(&self, id: EventId) -> Result<Option<Event>>;

    /// One page of the log.
    async fn page(&self, request: &PageRequest) -> Result<Page>;

    /// How many events with ids from `first` through `last`, both included, a page with this filter would show.
    async fn count_events(&self, filter: &Filter, first: EventId, last: EventId) -> Result<u64>;

    /// How many events with ids from `first` through `last`, both included, each actor, table or day has; sorted by
    /// name, and without those that have none.
    async fn activity(
        &self,
        by: ActivityBy,
        first: EventId,
        last: EventId,
    ) -> Result<Vec<(String, u64)>>;

    /// The ids and the moments of the events that such a page has, without anything else of them.
    async fn moments(&self, request: &PageRequest) -> Result<Vec<(EventId, Timestamp)>>;

    /// Every rollback that has ended at or before this position.
    async fn history(&self, through: EventId) -> Result<History>;

    /// The last event of the longest run of events, from the first one on, that are all earlier than this moment; 0
    /// when the first is not.
    async fn position_before(&self, moment: Timestamp) -> Result<EventId>;

    /// The last event of the longest run of events, from the first one on, that are all at this moment or earlier; 0
    /// when the first is not.
    async fn position_through(&self, moment: Timestamp) -> Result<EventId>;

    /// The first and the last event of this one's transaction: the run of events around it that share its timestamp.
    async fn transaction(&self, event: &Event) -> Result<(EventId, EventId)> {
        Ok((
            self.position_before(event.timestamp).await? + 1,
            self.position_through(event.timestamp).await?,
        ))
    }

    /// The tables' names that the log speaks of, sorted; some may be gone.
    async fn types(&self) -> Result<Vec<String>>;

    /// Every table but the event store's own, sorted by name.
    async fn tables(&self) -> Result<Vec<Table>>;

    /// How many rows a table has now. Counts them one by one.
    async fn row_count(&self, table: &Table) -> Result<u64>;

    /// How many rows a table has as far as the database knows without counting, from when it last analysed the table;
    /// `None` when it does not know. Fails with `UnknownTable` when the table is gone.
    async fn row_estimate(&self, table: &Table) -> Result<Option<u64>>;

    /// A page of a table as it is now.
    async fn rows(&self, query: &RowsQuery<'_>) -> Result<RowPage>;

    /// The keys, ascending and after `after`, of the rows of this table that the log has spoken of up to
    /// this position, whether they live or not.
    async fn row_keys(
        &self,
        table: &str,
        through: EventId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Uuid>>;

    /// Every event of these rows up to this position, in id order.
    async fn events_of(&self, rows: &[RowKey], through: EventId) -> Result<Vec<Event>>;

    /// Events of a row before this id, at most so many, the latest first.
    async fn earlier_events(
        &self,
        row: &RowKey,
        before: EventId,
        mention: Mention<'_>,
        limit: usize,
    ) -> Result<Vec<Event>>;

    /// At most so many of the latest events of each of these rows of a table up to this position, in id order.
    async fn latest_events(
        &self,
        table: &str,
        rows: &[Uuid],
        through: EventId,
        latest: usize,
    ) -> Result<Vec<Event>>;

    /// These rows of one table, each in it and in the log, with at most so many of its latest events; all read at one moment.
    async fn rows_with_latest(
        &self,
        table: &Table,
        rows: &[Uuid],
        latest: usize,
    ) -> Result<Vec<RowAudit>>;

    /// How many creates, updates and deletes of rows in this scope these ids are.
    async fn count_changes(&self, ids: &Ranges, scope: &Scope) -> Result<ChangeCounts>;

    /// The same of each actor who made any, in any order.
    async fn changes_by_actor(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<(String, u64)>>;

    /// How many rows of this scope live after the creates, updates and deletes among these ids.
    async fn count_living(&self, ids: &Ranges, scope: &Scope) -> Result<u64>;

    /// The rows of this scope, each once, that the creates, updates and deletes among these ids concern.
    async fn rows_touched(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<RowKey>>;

    /// The rows of tables that take no part and that point at one of those that go; the tables are all that there are.
    async fn outside_references(
        &self,
        tables: &[Table],
        changes: &Changes,
    ) -> Result<Vec<OutsideReference>>;

    /// Which of these columns of a table cannot hold the value that is given for them, or would not give it back as it is: their places, ascending.
    /// A number and its text are the same.
    async fn unfit(&self, table: &Table, values: &[(String, Value)]) -> Result<Vec<usize>>;

    /// The constraints that the tables, which are all that there are, would violate with these rows as they would become, each once; rows of
    /// tables that take no part, and that point at others, aside.
    async fn violations(&self, tables: &[Table], changes: &Changes) -> Result<Vec<Violation>>;

    /// The right that a rollback would need and that is lacking, in words; `None` when nothing is.
    async fn missing_right(&self) -> Result<Option<String>>;

    /// Who holds the lock that writers take in turn, unless it is this program; `None` when nobody does, or it cannot be known.
    async fn writer(&self) -> Result<Option<Writer>> {
        Ok(None)
    }

    /// A page of rows with their events, ascending by key after `after`, from the table and the log together,
    /// read at one moment: for a table that is gone, from the log alone.
    async fn audit_page(
        &self,
        table: &Table,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<RowAudit>>;

    /// Appends these events and applies them, all or none, in one transaction, and returns them as stored.
    /// Fails with each refusal of the rules, having written nothing.
    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Event>>;

    /// Appends, for each row that is not what the log says, events after which it is, in one transaction and without touching the
    /// tables: rows that were there before the log, or were changed behind its back. Returns how many events.
    ///
    /// # Errors
    /// `ReadOnly`, `NotAllowed`.
    async fn record_differences(&self) -> Result<u64>;

    /// Carries out a confirmed rollback in one transaction. Fails with `Stale` when the log's head is not
    /// the plan's, with `Stopped` when asked to stop, with `PlanMismatch` when a row did not become
    /// what the plan says; after any failure nothing is written.
    async fn execute(
        &self,
        rollback: &ConfirmedRollback,
        control: &Control,
    ) -> Result<RollbackOutcome>;

    /// Closes its connections; what runs is finished first.
    async fn close(&self);
}
