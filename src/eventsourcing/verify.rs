//! Whether the tables are what the log says: the drift.

use serde_json::{Value, json};

use super::diff;
use super::error::Result;
use super::event::{EventId, Row, RowKey};
use super::history::EffectiveRows;
use super::schema::Table;
use super::states;
use super::store::EventStore;
use super::unfit::without_unfit;

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 500;

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A column differs from what the log says.
    ChangedRow,
    /// A row that the log does not know, or knows as deleted.
    ExtraRow,
    /// A row that the log says is there.
    MissingRow,
}

impl FindingKind {
    /// Its name in `--json` output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChangedRow => "changed-row",
            Self::ExtraRow => "extra-row",
            Self::MissingRow => "missing-row",
        }
    }
}

/// One difference between the log and the tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which kind.
    pub kind: FindingKind,
    /// The row.
    pub row: RowKey,
    /// The latest event of the row, if it has any.
    pub event: Option<EventId>,
    /// The column, of a row that has changed.
    pub column: Option<String>,
    /// What the log says.
    pub expected: Value,
    /// What the table has.
    pub found: Value,
}

impl Finding {
    /// The finding as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "kind": self.kind.as_str(),
            "event": self.event,
            "type": self.row.table,
            "uuid": self.row.uuid.to_string(),
            "column": self.column,
            "expected": self.expected,
            "found": self.found,
        })
    }
}

/// What a verification saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Events of the log, all of them folded.
    pub events: u64,
    /// Rows compared that are in their tables.
    pub rows: u64,
    /// The differences.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The report as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "events": self.events,
            "rows": self.rows,
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        })
    }
}

/// Compares the fold of the effective events with each table, row by row. A page of rows is read with its events at one
/// moment, so that a writer at work is no finding.
///
/// # Errors
/// The store's.
pub async fn drift(store: &dyn EventStore) -> Result<Report> {
    drift_with(store, |_| {}).await
}

/// The same, and tells after each page of rows how many have been compared.
///
/// # Errors
/// The store's.
pub async fn drift_with(store: &dyn EventStore, mut progress: impl FnMut(u64)) -> Result<Report> {
    let mut head = store.head().await?;
    let mut history = store.history(head).await?;
    let mut report = Report {
        events: store.event_count(head).await?,
        ..Report::default()
    };
    let mut tables = store.tables().await?;
    tables.retain(|table| table.key().is_some());
    for name in store.types().await? {
        if !tables.iter().any(|table| table.name == name) {
            tables.push(Table::gone(&name));
        }
    }
    for table in &tables {
        let mut after = None;
        loop {
            let page = store.audit_page(table, after, ROWS_AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            let latest = page.iter().flat_map(|audit| audit.events.last());
            if latest.map(|event| event.id).max() > Some(head) {
                // It may be a rollback's: which events count has to be known as of the same moment.
                head = store.head().await?;
                history = store.history(head).await?;
                continue;
            }
            after = Some(last.uuid);
            let mut effective = EffectiveRows::at(&history, head);
            for audit in page {
                report.rows += u64::from(audit.stored.is_some());
                let key = RowKey {
                    table: table.name.clone(),
                    uuid: audit.uuid,
                };
                let event = audit.events.last().map(|event| event.id);
                let expected = states::fold(table, &audit.events, effective.of(&key));
                let stored = audit.stored.as_ref();
                let expected = without_unfit(store, table, expected, stored).await?;
                compare(
                    table,
                    &key,
                    event,
                    expected,
                    audit.stored,
                    &mut report.findings,
                );
            }
            progress(report.rows);
        }
    }
    Ok(report)
}

fn compare(
    table: &Table,
    key: &RowKey,
    event: Option<EventId>,
    expected: Option<Row>,
    found: Option<Row>,
    findings: &mut Vec<Finding>,
) {
    let finding = |kind, column, expected, found| Finding {
        kind,
        row: key.clone(),
        event,
        column,
        expected,
        found,
    };
    match (expected, found) {
        (None, None) => {}
        (Some(expected), None) => {
            findings.push(finding(
                FindingKind::MissingRow,
                None,
                expected.into(),
                Value::Null,
            ));
        }
        (None, Some(found)) => {
            findings.push(finding(
                FindingKind::ExtraRow,
                None,
                Value::Null,
                found.into(),
            ));
        }
        (Some(expected), Some(found)) => {
            for change in diff::drift(table, &expected, &found) {
                findings.push(finding(
                    FindingKind::ChangedRow,
                    Some(change.column),
                    change.from,
                    change.to,
                ));
            }
        }
    }
}
