//! Verification, activity, rollbacks.

use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::verify::Report;
use crate::eventsourcing::{EventId, RowKey};
use crate::tui::effect::RequestId;

/// Whether the tables are what the log says.
#[derive(Clone, Debug, Default)]
pub enum Verification {
    /// Not looked at.
    #[default]
    Unknown,
    /// Being looked at: rows compared so far, and about how many there are.
    Running {
        /// The request.
        request: RequestId,
        /// Rows compared.
        done: u64,
        /// Rows in all, about.
        total: u64,
    },
    /// Looked at, when the log's head was this.
    Done {
        /// The head.
        head: EventId,
        /// What was found.
        report: Report,
    },
}

/// Where a line of the audit leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// To an event.
    Event(EventId),
    /// To a row.
    Row(RowKey),
    /// To the events that a filter shows.
    Filter(String),
    /// To the comparison of the tables with the log.
    Verify,
}

/// Verification, activity, rollbacks.
#[derive(Debug, Default)]
pub struct Audit {
    /// Whether the tables are what the log says.
    pub verification: Verification,
    /// Events by actor, by table and by day, once they have been counted.
    pub activity: Vec<(ActivityBy, Vec<(String, u64)>)>,
    /// The log's head when counting them began.
    pub counted_to: Option<EventId>,
    /// The request for those that are being counted.
    pub activity_wanted: Option<RequestId>,
    /// The request for the log to be written to a file.
    pub export_wanted: Option<RequestId>,
    /// The line under the cursor.
    pub cursor: usize,
    /// Where that leads, and how many lines above it lead there too: the cursor stays with it when lines come and go.
    pub chosen: Option<(Lead, usize)>,
    /// The first line shown.
    pub top: usize,
}
