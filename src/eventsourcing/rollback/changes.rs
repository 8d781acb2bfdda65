//! The rows that a plan changes. Of each a short entry is in memory; what it was and becomes, which may be large, only as long as
//! all of them together are small: then it goes to a temporary file without a name, and comes back page by page.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::IgnoredAny;
use serde::ser::{Error as _, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::SpooledTempFile;
use uuid::Uuid;

use super::row_change::{RowAction, RowChange};
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::event::{EventId, Row, RowKey};

/// How many bytes of rows are kept in memory.
const IN_MEMORY: usize = 32 << 20;

/// How many bytes of rows are handed out at once, unless a single row has more: as JSON, and as values, which take ten times the memory.
const JSON_AT_ONCE: u64 = 16 << 20;
const AT_ONCE: u64 = 1 << 20;

/// What of a change is not in its entry: its columns' values now, and the row as it will be, which has their values then.
#[derive(Serialize, Deserialize)]
struct Packed<Now, Then> {
    now: Now,
    then: Then,
}

/// What is said of each row without looking at its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeEntry<'a> {
    /// Its table.
    pub table: &'a str,
    /// The row.
    pub uuid: Uuid,
    /// What happens to it.
    pub action: RowAction,
    /// How many columns differ.
    pub columns: usize,
}

impl ChangeEntry<'_> {
    /// The row.
    #[must_use]
    pub fn key(&self) -> RowKey {
        RowKey {
            table: self.table.to_owned(),
            uuid: self.uuid,
        }
    }
}

struct Entry {
    /// Its table's place in the list of tables.
    table: u32,
    uuid: Uuid,
    action: RowAction,
    columns: u32,
    /// The place of its event in the log: that of the create that goes, negative, or that of what is restored.
    order: EventId,
    /// Where the rest of it is.
    at: u64,
    length: u64,
}

/// The rows that a plan changes, in the order of the events that a rollback writes: first those that go, newest first; then what
/// is restored, oldest first. A copy shares them.
#[derive(Clone)]
pub struct Changes(Arc<Stored>);

struct Stored {
    tables: Vec<String>,
    entries: Vec<Entry>,
    /// Of each place, and of the end, how many columns differ in the rows before it.
    columns_before: Vec<usize>,
    rows: Mutex<SpooledTempFile>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

impl PartialEq for Changes {
    fn eq(&self, other: &Self) -> bool {
        let rows = |changes: &Self| changes.page(0..changes.len()).ok();
        Arc::ptr_eq(&self.0, &other.0)
            || self.entries().eq(other.entries()) && rows(self) == rows(other)
    }
}

impl Changes {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether no row changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// What there is to say of each without its values.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = ChangeEntry<'_>> + Clone {
        self.0.entries.iter().map(|entry| self.entry(entry))
    }

    /// How many columns differ in all the rows before this place, which may be the end.
    #[must_use]
    pub fn columns_before(&self, place: usize) -> usize {
        self.0.columns_before[place.min(self.len())]
    }

    /// What there is to say of the rows at these places without their values.
    pub fn entries_at(&self, places: Range<usize>) -> impl Iterator<Item = ChangeEntry<'_>> {
        places.map_while(|place| Some(self.entry(self.0.entries.get(place)?)))
    }

    fn entry<'a>(&'a self, entry: &Entry) -> ChangeEntry<'a> {
        ChangeEntry {
            table: &self.0.tables[entry.table as usize],
            uuid: entry.uuid,
            action: entry.action,
            columns: entry.columns as usize,
        }
    }

    /// The places of each table's rows, in an order in which they are read quickly.
    #[must_use]
    pub fn by_table(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut tables: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, entry) in self.0.entries.iter().enumerate() {
            let name = &self.0.tables[entry.table as usize];
            tables.entry(name).or_default().push(place);
        }
        for places in tables.values_mut() {
            places.sort_unstable_by_key(|place| self.0.entries[*place].at);
        }
        tables
    }

    /// The rows at these places; those past the end are left out.
    ///
    /// # Errors
    /// `Io` when the temporary file cannot be read.
    pub fn page(&self, places: Range<usize>) -> Result<Vec<RowChange>> {
        let last = places.end.min(self.len());
        self.pick(places.start.min(last)..last)
    }

    /// The rows at these places, in lots of at most so many.
    ///
    /// # Errors
    /// Each lot: `Io` when the temporary file cannot be read.
    pub fn lots(
        &self,
        places: impl IntoIterator<Item = usize>,
        most: usize,
    ) -> impl Iterator<Item = Result<Vec<RowChange>>> {
        self.divided(places, most, AT_ONCE)
            .map(|lot| self.pick(lot))
    }

    /// Of the rows at these places that live then, what they will be, as JSON: in lots of at most so many.
    ///
    /// # Errors
    /// Each lot: `Io` when the temporary file cannot be read.
    pub fn lots_of_json(
        &self,
        places: impl IntoIterator<Item = usize>,
        most: usize,
    ) -> impl Iterator<Item = Result<Vec<Box<RawValue>>>> {
        self.divided(places, most, JSON_AT_ONCE).map(|lot| {
            let rows = self.unpack(lot, |_, packed| {
                let packed: Packed<IgnoredAny, Option<Box<RawValue>>> =
                    serde_json::from_slice(packed)?;
                Ok(packed.then)
            });
            rows.map(|rows| rows.into_iter().flatten().collect())
        })
    }

    fn divided(
        &self,
        places: impl IntoIterator<Item = usize>,
        most: usize,
        most_bytes: u64,
    ) -> impl Iterator<Item = Vec<usize>> {
        let mut places = places.into_iter().peekable();
        std::iter::from_fn(move || {
            let (mut lot, mut bytes) = (Vec::new(), 0);
            let fits =
                |lot: &Vec<usize>, bytes| lot.is_empty() || lot.len() < most && bytes <= most_bytes;
            while let Some(place) =
                places.next_if(|place| fits(&lot, bytes + self.0.entries[*place].length))
            {
                bytes += self.0.entries[place].length;
                lot.push(place);
            }
            (!lot.is_empty()).then_some(lot)
        })
    }

    fn pick(&self, places: impl IntoIterator<Item = usize>) -> Result<Vec<RowChange>> {
        self.unpack(places, |entry, packed| {
            let Packed::<Row, Option<Row>> { now, then } = serde_json::from_slice(packed)?;
            let value = |column: &str| then.as_ref().and_then(|row| row.get(column)).cloned();
            let goes = entry.action == RowAction::Remove;
            Ok(RowChange {
                key: RowKey {
                    table: self.0.tables[entry.table as usize].clone(),
                    uuid: entry.uuid,
                },
                action: entry.action,
                columns: now
                    .into_iter()
                    .map(|(column, from)| ColumnChange {
                        to: value(&column).unwrap_or(Value::Null),
                        column,
                        from,
                    })
                    .collect(),
                after: then,
                born: if goes { -entry.order } else { 0 },
                origin: Some(entry.order).filter(|_| !goes),
            })
        })
    }

    fn unpack<T>(
        &self,
        places: impl IntoIterator<Item = usize>,
        each: impl Fn(&Entry, &[u8]) -> io::Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let unpacked = places.into_iter().map(|place| {
            let entry = &self.0.entries[place];
            let mut packed = vec![0; usize::try_from(entry.length).map_err(io::Error::other)?];
            rows.seek(SeekFrom::Start(entry.at))?;
            rows.read_exact(&mut packed)?;
            each(entry, &packed)
        });
        let unpacked: io::Result<_> = unpacked.collect();
        unpacked.map_err(|error| kept_nowhere("be read", &error))
    }
}

/// A list, read lot by lot as it is written.
impl Serialize for Changes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for lot in self.lots(0..self.len(), usize::MAX) {
            for change in lot.map_err(S::Error::custom)? {
                list.serialize_element(&change.to_json())?;
            }
        }
        list.end()
    }
}

/// Collects the rows that change.
pub(super) struct Collecting(Stored);

impl Collecting {
    pub(super) fn new() -> Self {
        Self(Stored {
            tables: Vec::new(),
            entries: Vec::new(),
            columns_before: Vec::new(),
            rows: Mutex::new(SpooledTempFile::new(IN_MEMORY)),
        })
    }

    /// Takes one more.
    ///
    /// # Errors
    /// `Io` when there is no room for it.
    pub(super) fn push(&mut self, change: &RowChange) -> Result<()> {
        let rows = self
            .0
            .rows
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Row::from_iter(
            change
                .columns
                .iter()
                .map(|column| (column.column.clone(), column.from.clone())),
        );
        let packed = Packed {
            now,
            then: &change.after,
        };
        let mut written = || {
            let packed = serde_json::to_vec(&packed)?;
            let at = rows.stream_position()?;
            rows.write_all(&packed)?;
            Ok((at, packed.len() as u64))
        };
        let (at, length) = written().map_err(|error: io::Error| kept_nowhere("be kept", &error))?;
        let tables = &mut self.0.tables;
        if tables.last() != Some(&change.key.table) {
            tables.push(change.key.table.clone());
        }
        self.0.entries.push(Entry {
            table: (tables.len() - 1) as u32,
            uuid: change.key.uuid,
            action: change.action,
            columns: change.columns.len() as u32,
            order: change.order(),
            at,
            length,
        });
        Ok(())
    }

    pub(super) fn finish(mut self) -> Changes {
        self.0
            .entries
            .sort_by_key(|entry| (entry.action != RowAction::Remove, entry.order));
        let mut columns = 0;
        self.0.columns_before = std::iter::once(0)
            .chain(self.0.entries.iter().map(|entry| {
                columns += entry.columns as usize;
                columns
            }))
            .collect();
        Changes(Arc::new(self.0))
    }
}

fn kept_nowhere(what: &str, error: &io::Error) -> Error {
    let directory = std::env::temp_dir();
    Error::new(
        ErrorCode::Io,
        format!(
            "the rows that the plan changes could not {what} in a temporary file of {}: {error}",
            directory.display()
        ),
    )
    .hint(
        "nothing was written to the database; make room there, or name another directory in TMPDIR",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(n: i64, action: RowAction, text: &str) -> RowChange {
        let goes = action == RowAction::Remove;
        let row = |text: &str| Row::from_iter([("name".to_owned(), json!(text))]);
        RowChange {
            key: RowKey {
                table: if n % 2 == 0 { "even" } else { "odd" }.to_owned(),
                uuid: Uuid::from_u128(n.unsigned_abs().into()),
            },
            action,
            columns: vec![ColumnChange {
                column: "name".to_owned(),
                from: json!(1e300),
                to: if goes { Value::Null } else { json!(text) },
            }],
            after: (!goes).then(|| row(text)),
            born: if goes { n } else { 0 },
            origin: (!goes).then_some(n),
        }
    }

    #[test]
    fn rows_come_back_in_the_order_of_the_log_wherever_they_lie() {
        // Together they are too large for the memory that they may take.
        let large = "x".repeat(IN_MEMORY / 3);
        let given: Vec<RowChange> = [5, 2, 4, 1, 3, 6]
            .map(|n| match n {
                1 | 2 => change(n, RowAction::Remove, ""),
                3 => change(n, RowAction::Change, "short"),
                _ => change(n, RowAction::BringBack, &large),
            })
            .into();
        let mut collecting = Collecting::new();
        for change in &given {
            collecting.push(change).expect("it is kept");
        }
        let changes = collecting.finish();
        let order = [1, 3, 4, 2, 0, 5].map(|place| given[place].clone());
        assert_eq!(changes.page(0..9).expect("it is kept"), order);
        assert_eq!(changes.page(2..4).expect("it is kept"), order[2..4]);
        assert_eq!(changes.page(7..9).expect("it is kept"), []);
        for most in [1, 2, 6] {
            let lots: Result<Vec<_>> = changes.lots(0..6, most).collect();
            let lots = lots.expect("it is kept");
            assert!(lots.iter().all(|lot| !lot.is_empty() && lot.len() <= most));
            assert_eq!(lots.concat(), order);
        }
        let printed = serde_json::to_value(&changes).expect("it is kept");
        let wanted: Vec<Value> = order.iter().map(RowChange::to_json).collect();
        assert_eq!(printed, Value::Array(wanted));
        let columns: Vec<usize> = (0..=7).map(|place| changes.columns_before(place)).collect();
        assert_eq!(columns, [0, 1, 2, 3, 4, 5, 6, 6]);
        assert!(changes.entries_at(4..9).eq(changes.entries().skip(4)));
        let tables = changes.by_table();
        assert_eq!(tables["even"].len() + tables["odd"].len(), 6);
        let json: Result<Vec<_>> = changes.lots_of_json(tables["odd"].clone(), 9).collect();
        let json: Vec<_> = json.expect("it is kept").into_iter().flatten().collect();
        let (first, last) = (format!(r#"{{"name":"{large}"}}"#), r#"{"name":"short"}"#);
        let json: Vec<&str> = json.iter().map(|row| row.get()).collect();
        assert!(json == [first.as_str(), last], "as they lie");
    }
}
