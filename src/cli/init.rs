//! `ebb init`: an event store in a database, made or taken over from an older program.

use serde_json::json;

use super::args::{Global, Init};
use super::output::Output;
use super::{End, confirm};
use crate::eventsourcing::schema::{Table, Tracking};
use crate::eventsourcing::verify::{self, FindingKind, Report};
use crate::eventsourcing::{Error, ErrorCode, EventStore, Result, RowKey};
use crate::store::{Address, Made, OpenOptions, TakeOver};
use crate::{config, store, text};

pub(super) async fn run(global: &Global, init: Init, output: &Output) -> Result<End> {
    if global.read_only {
        return Err(Error::new(
            ErrorCode::ReadOnly,
            "an event store cannot be made with --read-only",
        ));
    }
    let address = config::address(global.database.as_deref())?;
    let schema = init
        .schema
        .as_ref()
        .map(|file| {
            std::fs::read_to_string(file).map_err(|error| {
                Error::new(
                    ErrorCode::Io,
                    format!("{} could not be read: {error}", file.display()),
                )
            })
        })
        .transpose()?;
    let options = config::open_options(false)?;
    let mut taken_over = false;
    let made = match store::init(&address, &options, schema.as_deref()).await {
        Err(error) if error.code == ErrorCode::OtherProgram => {
            taken_over = true;
            let consent = consent(&address, &options, &init, output).await?;
            store::take_over(&address, &options, schema.as_deref(), &consent).await?
        }
        made => made?,
    };
    let Made {
        store,
        roles,
        mut differences_recorded,
    } = made;
    let tables = store.tables().await?;
    let tracked = tables.iter().filter(|table| table.key().is_some()).count();
    if !taken_over && wants_rows_recorded(&*store, &tables, &init, output).await? {
        differences_recorded = store.record_differences().await?;
    }
    let events = store.event_count(store.head().await?).await?;
    let location = store.info().location.clone();
    let missing_right = store.missing_right().await?;
    store.close().await;
    if output.is_json() {
        output.object(&json!({
            "database": location,
            "events": events,
            "tables": tables.len(),
            "tracked": tracked,
            "roles": roles,
            "differences_recorded": differences_recorded,
        }))?;
    } else {
        output.note(&format!(
            "{location} has an event store: {}, {tracked} of {} tables take part",
            text::count(events, "event", "events"),
            tables.len()
        ))?;
        if differences_recorded > 0 {
            output.note(&format!(
                "what was not what the log said is recorded in {}",
                text::count(differences_recorded, "event", "events")
            ))?;
        }
        if let Some(roles) = roles {
            output.note(&roles)?;
        }
        if let Some(missing) = missing_right {
            output.note(&format!("no rollback can be done yet: {missing}"))?;
        }
    }
    Ok(End::Done)
}

/// Whether the rows that are not what the log says are to be recorded: those that were there before the log, too.
async fn wants_rows_recorded(
    store: &dyn EventStore,
    tables: &[Table],
    init: &Init,
    output: &Output,
) -> Result<bool> {
    if init.record_differences {
        return Ok(true);
    }
    if store.head().await? > 0 {
        return Ok(false);
    }
    let mut rows = 0;
    for table in tables.iter().filter(|table| table.key().is_some()) {
        rows += store.row_count(table).await?;
    }
    if rows == 0 {
        return Ok(false);
    }
    output.note(&format!(
        "{} there already, of which the log knows nothing: a rollback could not bring back what becomes of such rows",
        text::count(rows, "row is", "rows are")
    ))?;
    let question = "Record what is there as created now, so that it can?";
    if !init.yes && confirm::can_ask() && confirm::ask(question)? {
        return Ok(true);
    }
    output.note("`ebb init --record-differences` records what is there as created, at any time")?;
    Ok(false)
}

/// How many differences are listed.
const LISTED: usize = 10;

/// Shows what taking over the event store of an older program would do, and asks.
async fn consent(
    address: &Address,
    options: &OpenOptions,
    init: &Init,
    output: &Output,
) -> Result<TakeOver> {
    let store = store::open(address, options).await?;
    let head = store.head().await?;
    let events = store.event_count(head).await?;
    let tables = store.tables().await?;
    let report = verify::drift(&*store).await?;
    let name = store.info().name.clone();
    store.close().await;

    output.note(&format!(
        "{name} has an event store that mdb or Molar made, with {}. To take it over, in one transaction:",
        text::count(events, "event", "events")
    ))?;
    output
        .note("- the log stays row for row; its timestamps, which have no zone, are read as UTC")?;
    output.note(
        "- creates are completed by the constant defaults of the columns that they do not name",
    )?;
    output.note("- its triggers, and the functions in the schema sourcing, are dropped, and ebb's take their place")?;
    if tables
        .iter()
        .any(|table| table.name == "synthesis" && table.column("hid").is_some())
    {
        output.note("- its trigger that gives a synthesis a hid, if there is one, is replaced by one on the table synthesis")?;
    }
    for table in &tables {
        if let Tracking::Untracked { reason } = &table.tracking {
            output.note(&format!(
                "- the table {} takes no part: {reason}",
                table.name
            ))?;
        }
    }
    let differing = differing_rows(&report);
    if differing.is_empty() {
        output.note("The tables are what the log says.")?;
    } else {
        output.note(&format!(
            "{} not what the log says, as the older program lost or did not record changes:",
            text::count(differing.len() as u64, "row is", "rows are")
        ))?;
        for (row, columns) in differing.iter().take(LISTED) {
            output.note(&format!("  {} {}: {columns}", row.table, row.uuid))?;
        }
        if differing.len() > LISTED {
            output.note("  … `ebb verify` lists them all")?;
        }
    }
    let mut record_differences = init.record_differences;
    if !init.yes {
        confirm::confirm(&format!("Take over {name}?"))?;
        if !differing.is_empty() && !record_differences {
            record_differences = confirm::ask(
                "Record the differences as events, so that log and tables agree from there on?",
            )?;
        }
    }
    if !differing.is_empty() && !record_differences {
        output.note("The differences stay as they are, and `ebb verify` goes on listing them.")?;
    }
    Ok(TakeOver {
        head,
        record_differences,
    })
}

/// The rows of the findings, each once, with what is different of it.
fn differing_rows(report: &Report) -> Vec<(&RowKey, String)> {
    let mut rows: Vec<(&RowKey, String)> = Vec::new();
    for finding in &report.findings {
        let what = match (&finding.column, finding.kind) {
            (Some(column), _) => column.clone(),
            (None, FindingKind::ExtraRow) => "in the table, not in the log".to_owned(),
            (None, FindingKind::MissingRow) => "in the log, not in the table".to_owned(),
            (None, kind) => kind.as_str().to_owned(),
        };
        match rows.last_mut() {
            Some((row, columns)) if **row == finding.row => {
                columns.push_str(", ");
                columns.push_str(&what);
            }
            _ => rows.push((&finding.row, what)),
        }
    }
    rows
}
