//! `ebb verify`: whether the tables are what the log says.

use super::End;
use super::args::Verify;
use super::output::Output;
use crate::eventsourcing::verify::{self, FindingKind};
use crate::eventsourcing::{EventStore, Result};
use crate::text;

pub(super) async fn run(store: &dyn EventStore, verify: Verify, output: &Output) -> Result<End> {
    // Drift is what this version verifies, whether it is named or not.
    let Verify { drift: _ } = verify;
    let report = verify::drift(store).await?;
    if output.is_json() {
        output.object(&report.to_json())?;
    } else {
        for finding in &report.findings {
            let what = match finding.kind {
                FindingKind::ChangedRow => format!(
                    "{}: {} is {} where the log says {}",
                    finding.row,
                    finding.column.as_deref().unwrap_or_default(),
                    finding.found,
                    finding.expected
                ),
                FindingKind::ExtraRow => format!("{}: the log knows of no such row", finding.row),
                FindingKind::MissingRow => format!("{}: the row is missing", finding.row),
            };
            let event = finding
                .event
                .map_or_else(String::new, |id| format!(" (last event #{id})"));
            output.line(&format!("{}{event}", text::visible(&what)))?;
        }
        output.line(&format!(
            "{}, {}: {}",
            text::count(report.events, "event", "events"),
            text::count(report.rows, "row", "rows"),
            match report.findings.len() {
                0 => "the tables are what the log says".to_owned(),
                n => text::count(n as u64, "finding", "findings"),
            }
        ))?;
    }
    Ok(match report.findings.is_empty() {
        true => End::Done,
        false => End::Found,
    })
}
