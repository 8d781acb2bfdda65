//! `ebb diff`: the rows that differ between two positions.

use super::output::Output;
use super::{End, parse, show};
use crate::eventsourcing::between::Between;
use crate::eventsourcing::{EventStore, Result};

pub(super) async fn run(
    store: &dyn EventStore,
    from: &str,
    to: Option<&str>,
    output: &Output,
) -> Result<End> {
    let head = store.head().await?;
    let from = parse::position(store, head, from).await?;
    let to = match to {
        Some(to) => parse::position(store, head, to).await?,
        None => head,
    };
    let mut between = Between::open(store, from, to).await?;
    let mut rows = 0;
    while let Some(page) = between.next().await? {
        for difference in page {
            rows += 1;
            if output.is_json() {
                output.object(&difference.to_json())?;
                continue;
            }
            let what = match (&difference.before, &difference.after) {
                (Some(_), None) => "-",
                (None, Some(_)) => "+",
                _ => "~",
            };
            show::print_row(what, &difference.key, &difference.columns, output)?;
        }
    }
    if rows == 0 && !output.is_json() {
        output.line(&format!("No row differs between #{from} and #{to}."))?;
    }
    Ok(End::Done)
}
