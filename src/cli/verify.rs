//! `ebb verify`: whether the tables are what the log says.

use super::args::Verify;
use super::output::Output;
use super::{End, check_writable, confirm};
use crate::eventsourcing::verify::{self, FindingKind, Report};
use crate::eventsourcing::{EventStore, Result};
use crate::text;

pub(super) async fn run(store: &dyn EventStore, verify: Verify, output: &Output) -> Result<End> {
    // Drift is what this version verifies, whether it is named or not.
    let Verify {
        drift: _,
        record,
        yes,
    } = verify;
    if record {
        check_writable(store)?;
    }
    let mut report = verify::drift(store).await?;
    if record && !report.findings.is_empty() {
        if !yes {
            print(&report, &|line| output.note(line))?;
            confirm::confirm("Append events after which the log says what these rows are?")?;
        }
        let recorded = store.record_differences().await?;
        output.note(&format!(
            "{} appended.",
            text::count(recorded, "event", "events")
        ))?;
        report = verify::drift(store).await?;
    }
    match output.is_json() {
        true => output.object(&report.to_json())?,
        false => print(&report, &|line| output.line(line))?,
    }
    Ok(match report.findings.is_empty() {
        true => End::Done,
        false => End::Found,
    })
}

fn print(report: &Report, line: &dyn Fn(&str) -> Result<()>) -> Result<()> {
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
        line(&format!("{}{event}", text::visible(&what)))?;
    }
    line(&format!(
        "{}, {}: {}",
        text::count(report.events, "event", "events"),
        text::count(report.rows, "row", "rows"),
        match report.findings.len() {
            0 => "the tables are what the log says".to_owned(),
            n => text::count(n as u64, "finding", "findings"),
        }
    ))
}
