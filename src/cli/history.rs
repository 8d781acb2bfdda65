//! `ebb history`: one row through its life.

use super::output::Output;
use super::{End, log, parse, show};
use crate::eventsourcing::{Error, ErrorCode, EventStore, Result, RowKey, diff, inspect};

pub(super) async fn run(
    store: &dyn EventStore,
    table: &str,
    uuid: &str,
    output: &Output,
) -> Result<End> {
    let key = RowKey {
        table: table.to_owned(),
        uuid: parse::uuid(uuid)?,
    };
    let life = inspect::row_history(store, &key).await?;
    if life.is_empty() {
        if !store.types().await?.contains(&key.table) {
            inspect::table(store, table).await?;
        }
        return Err(Error::new(
            ErrorCode::RowMissing,
            format!("the log has no event of {key}"),
        )
        .hint(format!("`ebb table {table}` lists the rows that are there")));
    }
    for event in &life {
        if output.is_json() {
            let mut object = event.event.to_json(event.standing.undone_by());
            object["columns"] = diff::to_json(&event.columns);
            output.object(&object)?;
        } else {
            let mut headline = event.event.clone();
            headline.data.clear();
            output.line(&log::line(&headline, None, event.standing))?;
            show::print_columns(&event.columns, "        ", output)?;
        }
    }
    Ok(End::Done)
}
