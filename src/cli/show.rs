//! `ebb show`: one event.

use super::End;
use super::output::Output;
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::inspect::{self, Inspection};
use crate::eventsourcing::{Error, ErrorCode, EventId, EventStore, Result, RowKey, timestamp};
use crate::text;

pub(super) async fn run(store: &dyn EventStore, id: EventId, output: &Output) -> Result<End> {
    let Some(found) = inspect::event(store, id).await? else {
        let error = Error::new(
            ErrorCode::UnknownEvent,
            format!("there is no event #{id} in the log"),
        );
        return Err(match store.head().await? {
            0 => error.hint("the log is empty"),
            head => error.hint(format!("its events are #1 to #{head}")),
        });
    };
    if output.is_json() {
        let mut object = found.event.to_json(found.standing.undone_by());
        object["before"] = found.before.into();
        object["after"] = found.after.into();
        output.object(&object)?;
    } else {
        print(&found, output)?;
    }
    Ok(End::Done)
}

fn print(found: &Inspection, output: &Output) -> Result<()> {
    let event = &found.event;
    let row = event
        .row
        .as_ref()
        .map_or_else(String::new, |key| format!(" {key}"));
    output.line(&text::visible(&format!(
        "#{} {}{row}",
        event.id, event.kind
    )))?;
    let field = |name: &str, value: &str| output.line(&format!("  {name:<12} {value}"));
    field("time", &timestamp::format(event.timestamp))?;
    if !event.actor.is_empty() {
        field("actor", &text::visible(&event.actor))?;
    }
    let (first, last) = found.transaction;
    if first < last {
        field("transaction", &format!("#{first} to #{last}"))?;
    }
    field("standing", &standing(found.standing))?;
    if let Some(origin) = event.origin {
        field("origin", &format!("#{origin}"))?;
    }
    if event.row.is_none() {
        for (name, value) in &event.data {
            field(&text::visible(name), &text::value(value))?;
        }
    }
    print_columns(&found.columns, "  ", output)
}

/// An event's standing in words.
pub(super) fn standing(standing: Standing) -> String {
    match standing {
        Standing::Effective => "effective".to_owned(),
        Standing::UndoneBy(rollback) => format!("undone by #{rollback}"),
        Standing::BookkeepingOf(rollback) => format!("bookkeeping of #{rollback}"),
    }
}

/// A row under what happens to it.
pub(super) fn print_row(
    what: &str,
    key: &RowKey,
    columns: &[ColumnChange],
    output: &Output,
) -> Result<()> {
    output.line(&text::visible(&format!("{what} {key}")))?;
    print_columns(columns, "    ", output)
}

/// Columns that change, one a line: `smiles  ABC → DEF`.
pub(super) fn print_columns(columns: &[ColumnChange], indent: &str, output: &Output) -> Result<()> {
    let longest = columns
        .iter()
        .map(|change| text::width(&change.column))
        .max();
    let longest = longest.unwrap_or_default().clamp(12, 30);
    let room = output.width().saturating_sub(indent.len() + longest + 1);
    let each = (room.saturating_sub(3) / 2).max(10);
    for change in columns {
        let becomes = match (change.from.is_object(), change.to.is_object()) {
            // Two long objects would be cut where they are still the same.
            (true, true) => text::change_text(change, room.max(20)),
            _ => format!(
                "{} → {}",
                text::clipped(&text::value(&change.from), each),
                text::clipped(&text::value(&change.to), each)
            ),
        };
        let name = text::fitted(&text::visible(&change.column), longest);
        output.line(&format!("{indent}{name} {becomes}"))?;
    }
    Ok(())
}
