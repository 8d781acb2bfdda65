//! `ebb log`: the timeline.

use super::args::Log;
use super::output::Output;
use super::{End, parse};
use crate::eventsourcing::history::{History, Rollback, Standing};
use crate::eventsourcing::timeline::{Detail, Direction, Entry, Filter, PageRequest};
use crate::eventsourcing::{Event, EventId, EventKind, EventStore, Result, inspect, timestamp};
use crate::text;

/// Events that are read at once when they are printed whole: each can hold megabytes.
const WHOLE_AT_ONCE: usize = 50;
/// Events that are read at once when they are printed in a line each.
const SUMMARIES_AT_ONCE: usize = 500;

pub(super) async fn run(store: &dyn EventStore, log: Log, output: &Output) -> Result<End> {
    let filter = filter(store, &log).await?;
    let head = store.head().await?;
    let history = store.history(head).await?;
    let mut request = PageRequest {
        filter,
        from: None,
        until: None,
        direction: match log.oldest_first {
            true => Direction::Newer,
            false => Direction::Older,
        },
        limit: 0,
        detail: match output.is_json() {
            true => Detail::Whole,
            false => Detail::Summary,
        },
    };
    let at_once = match request.detail {
        Detail::Whole => WHOLE_AT_ONCE,
        Detail::Summary => SUMMARIES_AT_ONCE,
    };
    let mut left = log.limit.unwrap_or(usize::MAX);
    while left > 0 {
        request.limit = at_once.min(left);
        let page = store.page(&request).await?;
        left -= page.entries.len();
        for entry in &page.entries {
            print(entry, head, &history, output)?;
        }
        match page.entries.last() {
            Some(last) if page.more => request.from = Some(last.event.id),
            _ => break,
        }
    }
    Ok(End::Done)
}

async fn filter(store: &dyn EventStore, log: &Log) -> Result<Filter> {
    if let Some(name) = &log.table
        && !store.types().await?.contains(name)
    {
        // No event speaks of it: either it has none yet, or there is no such table.
        inspect::table(store, name).await?;
    }
    let moment = |text: &Option<String>| text.as_deref().map(parse::timestamp).transpose();
    Ok(Filter {
        table: log.table.clone(),
        kind: log.kind,
        uuid_prefix: log.uuid.as_deref().map(parse::uuid_prefix).transpose()?,
        actor: log.actor.clone(),
        since: moment(&log.since)?,
        until: log.until.as_deref().map(parse::until).transpose()?,
        search: log.search.clone(),
    })
}

fn print(entry: &Entry, head: EventId, history: &History, output: &Output) -> Result<()> {
    // What came after the head that was read has no standing yet: it is effective.
    let standing = history.standing(
        head.max(entry.event.id),
        entry.event.id,
        entry.event.row.as_ref(),
    );
    match output.is_json() {
        true => output.object(&entry.event.to_json(standing.undone_by())),
        false => {
            let made = history.rollback(entry.event.id);
            let line = match made.filter(|_| entry.event.kind == EventKind::Rollback) {
                Some(made) => line_with(&entry.event, standing, &what(made)),
                None => line(&entry.event, entry.left_out, standing),
            };
            output.line(&text::clipped(&line, output.width().max(100)))
        }
    }
}

/// What a rollback did, and why.
fn what(made: &Rollback) -> String {
    let why = made.reason.as_ref();
    let why = why.map_or_else(String::new, |why| format!(" · {why}"));
    text::visible(&format!("{}{why}", made.in_words()))
}

/// One event in one line.
pub(super) fn line(event: &Event, left_out: Option<u64>, standing: Standing) -> String {
    let data = match left_out {
        Some(bytes) => format!("({bytes} bytes)"),
        None => text::summary(&event.data, 40),
    };
    line_with(event, standing, &data)
}

/// An event's line with these words for what it holds.
fn line_with(event: &Event, standing: Standing, words: &str) -> String {
    let row = match &event.row {
        Some(key) => format!(
            "{} {}",
            text::visible(&key.table),
            &key.uuid.to_string()[..8]
        ),
        None => String::new(),
    };
    let note = match standing {
        Standing::Effective => String::new(),
        Standing::UndoneBy(rollback) => format!("[undone by #{rollback}] "),
        Standing::BookkeepingOf(rollback) => format!("[of #{rollback}] "),
    };
    format!(
        "{:>6}  {}  {:<12}  {row}  {}  {note}{words}",
        format!("#{}", event.id),
        timestamp::format(event.timestamp),
        event.kind,
        text::visible(&event.actor),
    )
    .trim_end()
    .to_owned()
}
