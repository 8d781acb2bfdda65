//! Making a log to be measured on.

use std::path::Path;
use std::sync::Arc;

use ebbtide::eventsourcing::{EventStore, NewEvent};
use ebbtide::store::{self, Address};

use crate::common::{Outcome, options};

/// Events of a small transaction.
const SMALL: usize = 10;

/// The transactions: one half, then all but the last so many events, then ten at a time.
fn transactions(work: &[NewEvent], in_small: usize) -> Vec<&[NewEvent]> {
    let (first, rest) = work.split_at(work.len() / 2);
    let (second, last) = rest.split_at(rest.len().saturating_sub(in_small));
    let mut all = vec![first, second];
    all.retain(|transaction| !transaction.is_empty());
    all.extend(last.chunks(SMALL));
    all
}

/// Appends the work, the last so many events in small transactions.
pub(crate) async fn fill(
    store: &dyn EventStore,
    work: &[NewEvent],
    in_small: usize,
) -> Outcome<()> {
    for transaction in transactions(work, in_small) {
        store.append(transaction.to_vec()).await?;
    }
    Ok(())
}

/// An event store in a new file, with these tables and this work in it.
pub(crate) async fn in_file(
    file: &Path,
    schema: &str,
    work: &[NewEvent],
    in_small: usize,
) -> Outcome<Arc<dyn EventStore>> {
    let address = Address::Sqlite(file.to_owned());
    let store = store::init(&address, &options(), Some(schema)).await?.store;
    fill(&*store, work, in_small).await?;
    Ok(store)
}
