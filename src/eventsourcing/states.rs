//! What a row was at a position, from as few of its events as tell it.
//!
//! A row may have a hundred thousand events. Its state is looked for from the latest of them backwards, and only
//! until each column that is asked for is known.

use std::collections::BTreeSet;

use super::error::Result;
use super::event::{Event, EventId, EventKind, Row, RowKey};
use super::history::{Effective, Overruled};
use super::ranges::Ranges;
use super::row;
use super::schema::{CREATED_ON, ColumnKind, Table, UPDATED_ON};
use super::store::EventStore;

/// How many of a row's latest events are read with the row itself.
pub const LATEST_EVENTS: usize = 64;

/// How many events are read at once at most, further back.
const MOST_AT_ONCE: usize = 8192;

/// Which columns of a state are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    All,
    /// These.
    Columns(BTreeSet<String>),
}

/// Which of a row's earlier events are asked for. A store may answer with more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mention<'a> {
    /// All.
    Any,
    /// Creates, deletes, and updates that set one of these columns.
    OneOf(&'a [String]),
    /// Creates, deletes, and updates that set another column than these.
    OtherThan(&'a [String]),
}

/// The events of one row, as far back as they had to be read.
pub struct RowEvents<'a> {
    store: &'a dyn EventStore,
    table: &'a Table,
    key: RowKey,
    /// In id order, without a gap up to the latest.
    events: Vec<Event>,
    /// The earliest one read; before any is, the one up to which they are to be read.
    before: EventId,
    /// Whether those are all.
    complete: bool,
}

impl<'a> RowEvents<'a> {
    /// Begins with the row's latest events, in id order, which are all if there are fewer than `asked`.
    #[must_use]
    pub fn new(
        store: &'a dyn EventStore,
        table: &'a Table,
        key: RowKey,
        latest: Vec<Event>,
        asked: usize,
    ) -> Self {
        Self {
            store,
            table,
            key,
            complete: latest.len() < asked,
            before: latest.first().map_or(EventId::MAX, |first| first.id),
            events: latest,
        }
    }

    /// Begins before an event, with none read.
    #[must_use]
    pub fn before(
        store: &'a dyn EventStore,
        table: &'a Table,
        key: RowKey,
        before: EventId,
    ) -> Self {
        Self {
            before,
            ..Self::new(store, table, key, Vec::new(), 0)
        }
    }

    /// Those read so far, in id order.
    #[must_use]
    pub fn read(&self) -> &[Event] {
        &self.events
    }

    /// Reads on until every event from this id on is there.
    ///
    /// # Errors
    /// The store's.
    pub async fn read_back_to(&mut self, id: EventId) -> Result<()> {
        while !self.complete && self.events.first().is_none_or(|first| first.id > id) {
            self.read_on().await?;
        }
        Ok(())
    }

    /// The latest event of this kind among these ids.
    ///
    /// # Errors
    /// The store's.
    pub async fn latest(
        &mut self,
        ids: &Ranges,
        wanted: impl Fn(EventKind) -> bool,
    ) -> Result<Option<EventId>> {
        loop {
            let mut latest_first = self.events.iter().rev();
            let found = latest_first.find(|event| wanted(event.kind) && ids.contains(event.id));
            if found.is_some() || self.complete {
                return Ok(found.map(|event| event.id));
            }
            self.read_on().await?;
        }
    }

    async fn read_on(&mut self) -> Result<()> {
        let limit = (self.events.len() * 8).clamp(LATEST_EVENTS, MOST_AT_ONCE);
        let mut earlier = self
            .store
            .earlier_events(&self.key, self.before, Mention::Any, limit)
            .await?;
        self.complete = earlier.len() < limit;
        self.before = earlier.last().map_or(self.before, |earliest| earliest.id);
        earlier.reverse();
        earlier.append(&mut self.events);
        self.events = earlier;
        Ok(())
    }

    /// The columns that the row's events among these ids set, whose automatic times aside.
    ///
    /// # Errors
    /// The store's.
    pub async fn columns_set(&mut self, ids: &Ranges) -> Result<BTreeSet<String>> {
        let first = ids.iter().next().map_or(EventId::MAX, |(first, _)| first);
        self.read_back_to(first).await?;
        let among = self.events.iter().filter(|event| ids.contains(event.id));
        Ok(among.flat_map(columns_set).map(str::to_owned).collect())
    }

    /// The row after the events that are effective there; of the columns that are not asked for it need not have the right values. Columns that
    /// no event speaks of are absent. `None` is "no such row".
    ///
    /// # Errors
    /// The store's.
    pub async fn state(&mut self, at: &Effective, wanted: &Wanted) -> Result<Option<Row>> {
        let mut overruled = Vec::new();
        for one in &at.overruled {
            overruled.push((one.clone(), self.columns_set(&one.own).await?));
        }
        let mut open = Open::new(wanted);
        // Latest first.
        let mut telling: Vec<Event> = Vec::new();
        for event in self.events.iter().rev() {
            if at.ids.contains(event.id) && self.take(event, &overruled, &mut open, &mut telling) {
                return Ok(self.fold(telling, overruled));
            }
        }
        let (mut before, mut complete, mut limit) = (self.before, self.complete, LATEST_EVENTS);
        while !complete {
            limit = (limit * 8).min(MOST_AT_ONCE);
            let columns = open.columns();
            let mention = match wanted {
                Wanted::All => Mention::OtherThan(&columns),
                Wanted::Columns(_) => Mention::OneOf(&columns),
            };
            let earlier = self
                .store
                .earlier_events(&self.key, before, mention, limit)
                .await?;
            complete = earlier.len() < limit;
            for event in &earlier {
                before = event.id;
                if at.ids.contains(event.id)
                    && self.take(event, &overruled, &mut open, &mut telling)
                {
                    return Ok(self.fold(telling, overruled));
                }
            }
        }
        Ok(self.fold(telling, overruled))
    }

    /// Takes one more event, the next earlier one. Whether the state is known with it.
    fn take(
        &self,
        event: &Event,
        overruled: &[(Overruled, BTreeSet<String>)],
        open: &mut Open,
        telling: &mut Vec<Event>,
    ) -> bool {
        let known = match event.kind {
            EventKind::Create | EventKind::Delete | EventKind::Restore => true,
            _ => {
                // Whether what is overruled is so still, only an earlier create or delete tells: until then it tells nothing.
                open.close(self.table, &without_overruled(event, overruled));
                false
            }
        };
        telling.push(event.clone());
        known
    }

    /// Of events, latest first, from one on that says whether the row is there.
    fn fold(
        &self,
        telling: Vec<Event>,
        overruled: Vec<(Overruled, BTreeSet<String>)>,
    ) -> Option<Row> {
        fold_overruled(self.table, telling.iter().rev(), overruled)
    }
}

/// The row after those of its events that are effective there, of all of them, in id order. Columns that no event speaks of are absent.
#[must_use]
pub fn fold(table: &Table, events: &[Event], at: &Effective) -> Option<Row> {
    let set = |by: &Overruled| -> BTreeSet<String> {
        let own = events.iter().filter(|event| by.own.contains(event.id));
        own.flat_map(columns_set).map(str::to_owned).collect()
    };
    let overruled = at
        .overruled
        .iter()
        .map(|by| (by.clone(), set(by)))
        .collect();
    let effective = events.iter().filter(|event| at.ids.contains(event.id));
    fold_overruled(table, effective, overruled)
}

/// The fold of these events, which are effective, without what of them does not count: columns of updates, up to the row's next create
/// or delete.
fn fold_overruled<'a>(
    table: &Table,
    events: impl Iterator<Item = &'a Event>,
    mut overruled: Vec<(Overruled, BTreeSet<String>)>,
) -> Option<Row> {
    events.fold(None, |state, event| {
        if event.kind != EventKind::Update {
            overruled.retain(|(by, _)| event.id <= by.last);
        }
        match overruled.is_empty() {
            true => row::apply(table, state, event),
            false => row::apply(table, state, &without_overruled(event, &overruled)),
        }
    })
}

/// The event without the columns that do not count.
fn without_overruled(event: &Event, overruled: &[(Overruled, BTreeSet<String>)]) -> Event {
    let mut event = event.clone();
    for (by, columns) in overruled {
        if event.id > by.last && event.id < by.before {
            event.data.retain(|column, _| !columns.contains(column));
            if let Some(filled) = &mut event.filled {
                filled.retain(|column, _| !columns.contains(column));
            }
        }
    }
    event
}

/// The columns that an event sets, the times aside that the rules set.
pub fn columns_set(event: &Event) -> impl Iterator<Item = &str> {
    let names = event
        .data
        .keys()
        .chain(event.filled.iter().flat_map(Row::keys));
    names
        .map(String::as_str)
        .filter(|name| *name != UPDATED_ON && *name != CREATED_ON)
}

/// The columns that are not known yet, or for all of a row, those that are.
struct Open {
    all: bool,
    columns: BTreeSet<String>,
}

impl Open {
    fn new(wanted: &Wanted) -> Self {
        match wanted {
            Wanted::All => Self {
                all: true,
                columns: BTreeSet::new(),
            },
            Wanted::Columns(columns) => Self {
                all: false,
                columns: columns.clone(),
            },
        }
    }

    fn columns(&self) -> Vec<String> {
        self.columns.iter().cloned().collect()
    }

    /// Takes note of what an update tells.
    fn close(&mut self, table: &Table, update: &Event) {
        let mut told: Vec<&str> = update
            .filled
            .iter()
            .flat_map(Row::keys)
            .map(String::as_str)
            .collect();
        told.extend(update.data.iter().filter_map(|(column, value)| {
            // An object is merged into what the column held before.
            let merges = value.is_object()
                && table
                    .column(column)
                    .is_none_or(|column| column.kind == ColumnKind::Json);
            (!merges).then_some(column.as_str())
        }));
        told.push(UPDATED_ON);
        for column in told {
            match self.all {
                true => drop(self.columns.insert(column.to_owned())),
                false => drop(self.columns.remove(column)),
            }
        }
    }
}
