//! `ebb table`: the tables, and their rows now or at a position.

use serde_json::json;

use super::args::Table as Args;
use super::output::Output;
use super::{End, parse};
use crate::eventsourcing::rows::{self, ROWS_AT_ONCE, RowsRequest, RowsStart};
use crate::eventsourcing::schema::{Table, Tracking};
use crate::eventsourcing::selection::Selection;
use crate::eventsourcing::timeline::Detail;
use crate::eventsourcing::{ErrorCode, EventId, EventStore, Result, Row, inspect};
use crate::text;

pub(super) async fn run(store: &dyn EventStore, args: Args, output: &Output) -> Result<End> {
    let Some(name) = &args.table else {
        return list(store, output).await;
    };
    let position = position(store, &args).await?;
    let table = match inspect::table(store, name).await {
        // One that is gone is in the log all the same.
        Err(error)
            if error.code == ErrorCode::UnknownTable
                && position.is_some()
                && store.types().await?.contains(name) =>
        {
            Table::gone(name)
        }
        table => table?,
    };
    let selection = Selection::parse(&table, &args.conditions, args.sort.as_deref())?;
    let mut left = args.limit.unwrap_or(usize::MAX);
    let request = RowsRequest {
        table,
        at: position,
        selection,
        first: left,
        detail: Detail::Whole,
    };
    let mut is_empty = true;
    let mut next = Some(RowsStart::default());
    while let Some(start) = next.filter(|_| left > 0) {
        let page = rows::page(store, &request, &start, left.min(ROWS_AT_ONCE)).await?;
        left -= page.rows.len();
        for row in page.rows {
            is_empty = false;
            print(&request.table, row, output)?;
        }
        next = page.next;
    }
    if is_empty && !output.is_json() {
        output.note("No rows.")?;
    }
    Ok(End::Done)
}

async fn list(store: &dyn EventStore, output: &Output) -> Result<End> {
    let tables = store.tables().await?;
    let longest = tables
        .iter()
        .map(|table| text::width(&table.name))
        .max()
        .unwrap_or_default();
    for table in &tables {
        let (rows, unreadable) = match store.row_count(table).await {
            Ok(rows) => (Some(rows), None),
            // The others can be listed all the same; in JSON its count is null.
            Err(error) if error.code == ErrorCode::NotAllowed => (None, Some(error.message)),
            Err(error) => return Err(error),
        };
        let reason = match &table.tracking {
            Tracking::Tracked { .. } => None,
            Tracking::Untracked { reason } => Some(reason),
        };
        if output.is_json() {
            output.object(&json!({
                "type": table.name,
                "rows": rows,
                "tracked": reason.is_none(),
                "reason": reason,
            }))?;
        } else {
            let mut note =
                reason.map_or_else(String::new, |reason| format!("  takes no part: {reason}"));
            note.extend(unreadable.map(|why| format!("  {why}")));
            let rows = rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
            let name = text::fitted(&text::visible(&table.name), longest);
            output.line(&text::visible(&format!("{name}  {rows:>8}{note}")))?;
        }
    }
    Ok(End::Done)
}

/// The position in the log that was asked for; `None` when none was, which means the tables as they are.
async fn position(store: &dyn EventStore, args: &Args) -> Result<Option<EventId>> {
    if let Some(text) = &args.at {
        let moment = parse::timestamp(text)?;
        return store.position_through(moment).await.map(Some);
    }
    match args.at_event {
        Some(id) => parse::existing(store.head().await?, id).map(Some),
        None => Ok(None),
    }
}

/// A row: an object, or its columns one a line under its key, whatever the width of the terminal.
fn print(table: &Table, row: Row, output: &Output) -> Result<()> {
    if output.is_json() {
        return output.object(&row);
    }
    let longest = row
        .keys()
        .map(|name| text::width(name))
        .max()
        .unwrap_or_default()
        .min(30);
    let room = output.width().saturating_sub(longest + 3).max(20);
    for (at, (name, value)) in row.iter().enumerate() {
        let is_first = at == 0 || table.key() == Some(name);
        let indent = if is_first { "" } else { "  " };
        let name = text::fitted(&text::visible(name), longest + if is_first { 2 } else { 0 });
        output.line(&format!(
            "{indent}{name} {}",
            text::clipped(&text::value(value), room)
        ))?;
    }
    Ok(())
}
