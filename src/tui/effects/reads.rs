//! What effects read, and write to a file, by the store's trait and the domain.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use uuid::Uuid;

use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::rollback::Changes;
use crate::eventsourcing::rows::{self, RowsRequest, RowsStart};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::store::{LeftOut, RowsQuery};
use crate::eventsourcing::timeline::Detail;
use crate::eventsourcing::{
    Error, ErrorCode, EventId, EventStore, Result, Row, RowKey, export, inspect,
};
use crate::tui::message::{GridPage, RowCount};
use crate::tui::model::{GridRow, NamedBy, ShownRows, Since, WholeRow};

/// Tables of more rows than this, as the database guesses, are counted only where somebody asks.
const COUNTED_UNASKED: u64 = 200_000;

/// Rows that name a row are counted up to this.
const NAMED_BY_AT_MOST: usize = 100;

/// Rows of a plan that are searched at once.
const SEARCHED_AT_ONCE: usize = 1000;

/// How many rows a table has: counted, or where the database guesses that there are many, that guess, unless more is asked for.
pub(super) async fn count(
    store: &dyn EventStore,
    table: &Table,
    at: Option<EventId>,
    large: bool,
) -> Result<RowCount> {
    if let Some(at) = at
        && table.key().is_some()
    {
        let ids = Ranges::of(1, at);
        let scope = Scope::Table(table.name.clone());
        return store
            .count_living(&ids, &scope)
            .await
            .map(RowCount::Counted);
    }
    if !large
        && let Some(guess) = store.row_estimate(table).await?
        && guess > COUNTED_UNASKED
    {
        return Ok(RowCount::Estimated(guess));
    }
    store.row_count(table).await.map(RowCount::Counted)
}

/// How many rows of a table name this one by a column: exactly while they are few. `None` of a table that the database guesses to be large, where it may
/// have to look at every row.
pub(super) async fn named_by(
    store: &dyn EventStore,
    key: &RowKey,
    table: &Table,
    column: &str,
) -> Result<Option<NamedBy>> {
    if store
        .row_estimate(table)
        .await?
        .is_some_and(|guess| guess > COUNTED_UNASKED)
    {
        return Ok(None);
    }
    let query = RowsQuery {
        table,
        after: None,
        limit: NAMED_BY_AT_MOST,
        detail: Detail::Summary,
        naming: Some((column, key.uuid)),
    };
    let page = store.rows(&query).await?;
    Ok(Some(NamedBy {
        rows: page.rows.len() as u64,
        has_more: page.has_more,
    }))
}

/// A page of rows; of those of the past, each with what became of it.
pub(super) async fn grid_page(
    store: &dyn EventStore,
    asked: &RowsRequest,
    start: &RowsStart,
    limit: usize,
) -> Result<GridPage> {
    let Some(key) = asked.table.key().filter(|_| asked.at.is_some()) else {
        let page = rows::page(store, asked, start, limit).await?;
        let rows = page.rows.into_iter().zip(page.left_out);
        let rows = rows.map(|(row, left_out)| GridRow {
            row,
            left_out,
            since: None,
        });
        return Ok(GridPage {
            rows: rows.collect(),
            total: page.total,
            next: page.next,
        });
    };
    // What differs is seen only in whole values.
    let whole = RowsRequest {
        detail: Detail::Whole,
        ..asked.clone()
    };
    let page = rows::page(store, &whole, start, limit).await?;
    let uuid = |row: &Row| row.get(key)?.as_str()?.parse().ok();
    let uuids: Vec<Uuid> = page.rows.iter().filter_map(uuid).collect();
    let found = store.rows_with_latest(&asked.table, &uuids, 0).await?;
    let stored = found.into_iter();
    let now: HashMap<Uuid, Row> = stored
        .filter_map(|one| Some((one.uuid, one.stored?)))
        .collect();
    let rows = page.rows.into_iter().map(|mut row| {
        let now = uuid(&row).and_then(|uuid| now.get(&uuid));
        let since = now.map_or(Since::Gone, |now| {
            let value = |row: &Row, name: &str| row.get(name).cloned().unwrap_or_default();
            let differs = asked.table.columns.iter().filter(|column| {
                !column.same(&value(&row, &column.name), &value(now, &column.name))
            });
            Since::Differs(differs.map(|column| column.name.clone()).collect())
        });
        let mut left_out = LeftOut::new();
        rows::summarise(&mut row, &mut left_out);
        GridRow {
            row,
            left_out,
            since: Some(since),
        }
    });
    Ok(GridPage {
        rows: rows.collect(),
        total: page.total,
        next: page.next,
    })
}

/// All of a row; of one of the past, with what it is now.
pub(super) async fn whole_row(
    store: &dyn EventStore,
    asked: &RowsRequest,
    key: Option<Uuid>,
    place: (&RowsStart, usize),
) -> Result<Option<WholeRow>> {
    let Some(row) = rows::whole(store, asked, key, place).await? else {
        return Ok(None);
    };
    let now = match (asked.at, key) {
        (Some(_), Some(uuid)) => {
            let found = store.rows_with_latest(&asked.table, &[uuid], 0).await?;
            found.into_iter().next().and_then(|found| found.stored)
        }
        _ => None,
    };
    let tables = store.tables().await?;
    let names = inspect::names(store, &tables, &asked.table, &row).await?;
    Ok(Some(WholeRow { row, now, names }))
}

/// The rows of a plan that a text is in: in the table's name, the key, what is done, or a value; those of a table together.
pub(super) async fn shown_rows(changes: &Changes, text: &str) -> Result<ShownRows> {
    let wanted = text.to_lowercase();
    let mut places = Vec::new();
    if wanted.is_empty() {
        places = (0..changes.len()).collect();
        return Ok(ShownRows::of(changes, places));
    }
    let mut place = 0;
    for lot in changes.lots(0..changes.len(), SEARCHED_AT_ONCE) {
        for row in lot? {
            let said = row.to_json().to_string();
            if said.to_lowercase().contains(&wanted) {
                places.push(place);
            }
            place += 1;
        }
        tokio::task::yield_now().await;
    }
    Ok(ShownRows::of(changes, places))
}

/// `~` is the shell's word for the home directory, which people type here too.
fn in_home(name: &str) -> String {
    let home = || Some(etcetera::home_dir().ok()?.display().to_string());
    let inside = match name {
        "~" => Some(""),
        name => name.strip_prefix("~/"),
    };
    match inside.zip(home()) {
        Some((rest, home)) => format!("{home}/{rest}"),
        None => name.to_owned(),
    }
}

/// A file for others too, as far as the process lets them.
fn new_file(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(directory)
}

/// Writes the log to a new file, and returns how many events. What was begun and did not end is removed again.
pub(super) async fn export_to(store: &dyn EventStore, name: &str) -> Result<u64> {
    let name = &in_home(name);
    let failed = |error: io::Error| {
        // A temporary file's name in it would mean nothing to the reader.
        let why = error.kind();
        let words = match why {
            io::ErrorKind::AlreadyExists => "it is there already".to_owned(),
            io::ErrorKind::NotFound => "its folder is not there".to_owned(),
            other => other.to_string(),
        };
        let error = Error::new(ErrorCode::Io, format!("{name} cannot be written: {words}"));
        error.hint(match why {
            io::ErrorKind::NotFound => "make the folder first, or name another",
            io::ErrorKind::PermissionDenied => "name a folder in which you may write",
            _ => "nothing is overwritten: name a file that is not there yet",
        })
    };
    // The whole log is not read for nothing.
    if Path::new(name).exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    // Both are removed with it when the work is cancelled: the name is given to the file when all is in it.
    let directory = match Path::new(name).parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let file = new_file(directory).map_err(failed)?;
    let mut writer = io::BufWriter::new(file);
    let events = export::events(store, |event, standing| {
        let line = event.to_json(standing.undone_by());
        writeln!(writer, "{line}").map_err(failed)
    });
    let events = events.await?;
    let file = writer
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(name)
        .map_err(|error| failed(error.error))?;
    Ok(events)
}
