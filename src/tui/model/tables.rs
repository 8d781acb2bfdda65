//! The tables, and rows of one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use crate::eventsourcing::rows::{RowsRequest, RowsStart};
use crate::eventsourcing::schema::{Column, Table};
use crate::eventsourcing::selection::Selection;
use crate::eventsourcing::store::LeftOut;
use crate::eventsourcing::timeline::Detail;
use crate::eventsourcing::{EventId, Row, RowKey, schema};
use crate::tui::effect::RequestId;

/// The tables.
#[derive(Debug, Default)]
pub struct Tables {
    /// The tables, once they are read.
    pub list: Option<Vec<Table>>,
    /// The request for them.
    pub wanted: Option<RequestId>,
    /// The row counts known so far.
    pub counts: HashMap<String, u64>,
    /// What the database guesses, of tables that have not been counted.
    pub estimates: HashMap<String, u64>,
    /// The request for those.
    pub counts_wanted: Option<RequestId>,
    /// How many tables that has not counted yet.
    pub counts_left: usize,
    /// The log's head when counting began.
    pub counted_at: Option<EventId>,
    /// Only tables with this in their names are listed.
    pub filter: String,
    /// The table under the cursor, among those that are listed.
    pub cursor: usize,
    /// The table in the first line.
    pub top: usize,
    /// The rows of the table that is open.
    pub grid: Option<Grid>,
}

impl Tables {
    /// The tables that are listed.
    pub fn listed(&self) -> impl Iterator<Item = &Table> {
        let wanted = self.filter.to_lowercase();
        let all = self.list.iter().flatten();
        all.filter(move |table| table.name.to_lowercase().contains(&wanted))
    }

    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.list.iter().flatten().find(|table| table.name == name)
    }

    /// The columns by which rows of tables name rows of this one.
    pub fn naming<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Table, &'a Column)> {
        self.list.iter().flatten().flat_map(move |table| {
            let columns = table.columns.iter().filter(move |column| {
                let to = column.references.as_ref();
                to.is_some_and(|reference| reference.table == name)
            });
            columns.map(move |column| (table, column))
        })
    }

    /// The rows of all tables, and whether that is only about right, as where the log has grown to this head since; `None` while some are not
    /// known.
    #[must_use]
    pub fn rows(&self, head: Option<EventId>) -> Option<(u64, bool)> {
        let list = self.list.as_ref()?;
        let mut estimated = self.counted_at < head;
        let rows = list.iter().map(|table| {
            let counted = self.counts.get(&table.name);
            estimated |= counted.is_none();
            counted.or_else(|| self.estimates.get(&table.name))
        });
        let rows: Option<u64> = rows.sum();
        Some((rows?, estimated))
    }
}

/// Rows in one page of a grid.
pub const GRID_PAGE: usize = 40;

/// A row of a grid, as the grid shows it: long values are read again where one is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct GridRow {
    /// The row, now or at the position that is shown.
    pub row: Row,
    /// What was left out of it.
    pub left_out: LeftOut,
    /// Where that is the past: what became of it.
    pub since: Option<Since>,
}

impl GridRow {
    /// Whether this is that row, as far as nothing was left out of it.
    #[must_use]
    pub fn is_summary_of(&self, whole: &Row) -> bool {
        let mut columns = self.row.iter();
        columns
            .all(|(name, value)| self.left_out.contains_key(name) || whole.get(name) == Some(value))
    }
}

/// What a row of the past is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// It is gone.
    Gone,
    /// It is there, and these columns have other values.
    Differs(BTreeSet<String>),
}

/// All of a row, and what it is now where that is the past and it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeRow {
    /// The row.
    pub row: Row,
    /// See there.
    pub now: Option<Row>,
    /// For columns that name a row of another table: a word for that row.
    pub names: BTreeMap<String, String>,
}

/// What a row is read for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowFor {
    /// To show this column's value.
    Showing(String),
    /// To compare the value that is shown with what it is by now.
    Comparing,
    /// To copy this column's value.
    CopyingValue(String),
    /// To copy all of it.
    Copying,
}

/// The rows of one table: some pages of them.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The table.
    pub table: Table,
    /// The position; `None` for now.
    pub at: Option<EventId>,
    /// The conditions as they were typed.
    pub filter: String,
    /// The column by which the rows are sorted, and whether descending.
    pub sort: Option<(String, bool)>,
    /// Both, as they are meant.
    pub selection: Selection,
    /// The pages that are held, by their number.
    pub pages: HashMap<usize, Vec<GridRow>>,
    /// Where each page begins that is known to be there.
    pub starts: Vec<RowsStart>,
    /// How many rows there are, once the last page was seen.
    pub rows: Option<usize>,
    /// How many were found last under the same conditions, in whatever order.
    pub counted: Option<usize>,
    /// Whether events have come since they were read.
    pub is_outdated: bool,
    /// Whether the cursor goes to the last row as soon as it is known where that is.
    pub to_end: bool,
    /// The row on which the cursor is to be as soon as its page is read, and in which line.
    pub to_key: Option<(Uuid, usize)>,
    /// From this page on each begins where the one before it ends. Rows may have come and gone before it since those were read: how many there are is
    /// known only about.
    pub chained_from: usize,
    /// The page that is being read.
    pub wanted: Option<(RequestId, usize)>,
    /// The row that is being read whole, and what for.
    pub whole_wanted: Option<(RequestId, RowFor)>,
    /// Whether those that are being read are other rows, and not the same read anew.
    pub goes: bool,
    /// Whether the pages that are held are to be replaced by the next one that arrives.
    pub renewing: bool,
    /// The row under the cursor.
    pub cursor: usize,
    /// The row in the first line.
    pub top: usize,
    /// The column under the cursor, among those that are shown.
    pub column: usize,
    /// The first column shown beside those that are pinned, counted likewise.
    pub left: usize,
    /// The columns that are hidden.
    pub hidden: BTreeSet<String>,
    /// The columns that stay in sight.
    pub pinned: BTreeSet<String>,
    /// Whether columns are as wide as what they hold.
    pub fits: bool,
}

impl Grid {
    /// No page read yet.
    #[must_use]
    pub fn new(table: Table, at: Option<EventId>) -> Self {
        // Which row it is stays in sight.
        let pinned = table.key().map(str::to_owned).into_iter().collect();
        Self {
            table,
            at,
            filter: String::new(),
            sort: None,
            selection: Selection::default(),
            pages: HashMap::new(),
            starts: vec![RowsStart::default()],
            rows: None,
            counted: None,
            is_outdated: false,
            to_end: false,
            to_key: None,
            chained_from: 0,
            wanted: None,
            whole_wanted: None,
            goes: false,
            renewing: false,
            cursor: 0,
            top: 0,
            column: 0,
            left: 0,
            hidden: BTreeSet::new(),
            pinned,
            fits: false,
        }
    }

    /// Nothing is on its way any more: what is there stays.
    pub fn give_up(&mut self) {
        (self.wanted, self.whole_wanted) = (None, None);
        (self.renewing, self.goes, self.to_end) = (false, false, false);
        self.to_key = None;
    }

    /// The same with only the pages of which so many lines show something: the others are read again where they are wanted.
    #[must_use]
    pub fn in_sight(&self, lines: usize) -> Self {
        let mut grid = self.clone();
        let pages = grid.top / GRID_PAGE..=(grid.top + lines) / GRID_PAGE;
        // What is on its way does not arrive here; and what was to be replaced by it is not shown again.
        let is_old = grid.wanted.is_some() && grid.goes;
        grid.give_up();
        grid.pages.retain(|page, _| pages.contains(page) && !is_old);
        grid
    }

    /// What is asked for.
    #[must_use]
    pub fn request(&self) -> RowsRequest {
        RowsRequest {
            table: self.table.clone(),
            at: self.at,
            selection: self.selection.clone(),
            first: usize::MAX,
            detail: Detail::Summary,
        }
    }

    /// A row, when its page is held.
    #[must_use]
    pub fn row(&self, at: usize) -> Option<&GridRow> {
        self.pages.get(&(at / GRID_PAGE))?.get(at % GRID_PAGE)
    }

    /// The row under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&GridRow> {
        self.row(self.cursor)
    }

    /// The key of the row under the cursor, of a table that takes part.
    #[must_use]
    pub fn selected_key(&self) -> Option<RowKey> {
        Some(RowKey {
            table: self.table.name.clone(),
            uuid: self.key_of(self.selected()?)?,
        })
    }

    /// The key of a row, of a table that takes part.
    #[must_use]
    pub fn key_of(&self, row: &GridRow) -> Option<Uuid> {
        row.row.get(self.table.key()?)?.as_str()?.parse().ok()
    }

    /// How many rows are known to be there: with the first one of a page that has not been read yet, so that a key that goes there is not lost.
    #[must_use]
    pub fn known_rows(&self) -> usize {
        let last = self.starts.len() - 1;
        let in_last = match self.pages.get(&last) {
            Some(page) => page.len(),
            None => usize::from(last > 0),
        };
        self.rows.unwrap_or(last * GRID_PAGE + in_last)
    }

    /// Whether that number is exact, as far as it goes.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.chained_from == 0
    }

    /// How many rows have been seen to be there: without that first one of a page, which may turn out not to be.
    #[must_use]
    pub fn seen_rows(&self) -> usize {
        let last = self.starts.len() - 1;
        let is_guess = self.rows.is_none() && last > 0 && !self.pages.contains_key(&last);
        self.known_rows() - usize::from(is_guess)
    }

    /// The columns that are shown, in their order: those that are pinned first, and the two times, which say the least, last.
    #[must_use]
    pub fn columns(&self) -> Vec<&Column> {
        let is_time = |column: &Column| {
            [schema::CREATED_ON, schema::UPDATED_ON].contains(&column.name.as_str())
        };
        let mut columns: Vec<&Column> = self
            .table
            .columns
            .iter()
            .filter(|column| !self.hidden.contains(&column.name))
            .collect();
        columns.sort_by_key(|column| (!self.pinned.contains(&column.name), is_time(column)));
        columns
    }

    /// How many of those are pinned.
    #[must_use]
    pub fn pinned_columns(&self) -> usize {
        let shown = self.columns();
        let pinned = shown.iter().filter(|one| self.pinned.contains(&one.name));
        pinned.count()
    }

    /// The column under the cursor.
    #[must_use]
    pub fn selected_column(&self) -> Option<&Column> {
        let columns = self.columns();
        columns.get(self.column).copied()
    }
}
