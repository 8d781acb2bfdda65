//! Where pages of rows begin.

use std::sync::Arc;

use uuid::Uuid;

use crate::eventsourcing::Row;
use crate::eventsourcing::store::RowCursor;

/// Where a page of rows begins: of the table as it is, and where it has a key, as well of the table as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowsStart(pub(super) Start);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Start {
    #[default]
    First,
    /// With the first one, all rows being looked at first, so that it is known where each page begins.
    Placed,
    /// After this row, in the order of the keys.
    After(Cursor),
    /// With this one of these.
    At(Arc<[Place]>, usize),
}

/// A row after which others come: by its key where it has one, and as the store says it where it was read from the table as it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cursor {
    pub key: Option<Uuid>,
    pub now: Option<RowCursor>,
}

/// Where a row is read again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Key(Uuid),
    /// Of a table that takes no part: its rows have no keys by which to ask for them.
    Itself(Row),
}

impl Place {
    pub(super) fn key(&self) -> Option<Uuid> {
        match self {
            Self::Key(uuid) => Some(*uuid),
            Self::Itself(_) => None,
        }
    }
}

impl RowsStart {
    /// With the first row, and all rows looked at first: their number is known then, and where each page begins.
    #[must_use]
    pub fn placed() -> Self {
        Self(Start::Placed)
    }

    /// Whether all rows were looked at, so that what has changed since is not among these.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        matches!(self.0, Start::At(..))
    }

    /// Whether a page that begins here begins with the same row as one that begins there, at one position.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Start::After(one), Start::After(another)) if one.key.is_some() => {
                one.key == another.key
            }
            (one, another) => one == another,
        }
    }

    /// Where every page begins, of so many rows each, the first one too. `None` where that is not known.
    #[must_use]
    pub fn pages(&self, rows: usize) -> Option<Vec<Self>> {
        let Start::At(places, _) = &self.0 else {
            return None;
        };
        let begins = (0..places.len()).step_by(rows.max(1));
        let starts = begins.map(|at| Self(Start::At(places.clone(), at)));
        Some(starts.collect())
    }

    /// The place of the row with this key among all rows, from 0, where that is known; of rows in the order of their keys, where it is not there, that of the
    /// next one.
    #[must_use]
    pub fn place_of(&self, key: Uuid, are_in_order: bool) -> Option<usize> {
        let Start::At(places, _) = &self.0 else {
            return None;
        };
        match are_in_order {
            true => Some(places.partition_point(|place| place.key() < Some(key))),
            false => places.iter().position(|place| place.key() == Some(key)),
        }
    }
}
