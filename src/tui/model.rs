//! What the screens know.

mod audit;
mod cell;
mod life;
mod overlay;
mod rollback;
mod row;
mod tables;
mod timeline;

use std::collections::VecDeque;

use super::effect::RequestId;
use super::keymap::{Action, Context, Key, Keymap};
use super::layout::Size;
use crate::eventsourcing::history::{History, Standing};
use crate::eventsourcing::rollback::RollbackOutcome;
use crate::eventsourcing::store::StoreInfo;
use crate::eventsourcing::timeline::Direction;
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Error, Event, EventId, Result};

pub use audit::{Audit, Lead, Verification};
pub use cell::{Cell, News, Node, Plot};
pub use life::{Life, LifeRead};
pub use overlay::{Completed, Overlay, Prompt, Purpose};
pub use rollback::{Asked, Failed, ReadRows, Rollback, ShownRows, Stage};
pub use row::{Item, NamedBy, RowScreen};
pub use tables::{GRID_PAGE, Grid, GridRow, RowFor, Since, Tables, WholeRow};
pub use timeline::{Listed, Matches, Place, Timeline};

/// Which screen is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The events.
    Timeline,
    /// The tables, and the rows of one.
    Tables,
    /// One row, and its life.
    Row,
    /// A rollback, from the plan to the result.
    Rollback,
    /// Verification, activity, rollbacks.
    Audit,
}

impl Screen {
    /// All of them, with their names, in the order of their keys.
    pub const ALL: [(Self, &str); 5] = [
        (Self::Timeline, "Timeline"),
        (Self::Tables, "Tables"),
        (Self::Row, "Row"),
        (Self::Rollback, "Rollback"),
        (Self::Audit, "Audit"),
    ];
}

/// Whether the program is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Not yet.
    No,
    /// When the outcome of the rollback at work has arrived.
    WhenDone,
    /// Now.
    Now,
}

/// Something to tell the user.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Good to know.
    Info(String),
    /// It failed.
    Failure(Error),
}

/// A position in the past at which tables and rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last event that counts.
    pub after: EventId,
    /// Its moment.
    pub moment: Timestamp,
}

/// What one came from by following a link.
#[derive(Debug)]
pub enum Visited {
    /// The timeline.
    Event {
        /// The event under its cursor.
        id: EventId,
        /// The filter that it had.
        filter: String,
        /// How far the event was scrolled, where it was open.
        opened: Option<usize>,
    },
    /// The list of tables.
    Tables,
    /// Rows of a table.
    Grid(Box<Grid>),
    /// A row.
    Row(Box<RowScreen>),
    /// The audit.
    Audit,
    /// The plan of a rollback.
    Rollback,
}

/// Whether the database can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// How often it was tried again in vain; 0 while it is there.
    pub lost: u32,
}

/// Everything that is drawn.
#[derive(Debug)]
pub struct Model {
    /// The database.
    pub info: StoreInfo,
    /// Whether it is one that others depend on: its name has to be typed before a rollback.
    pub production: bool,
    /// The terminal's size.
    pub size: Size,
    /// Which key does what.
    pub keymap: Keymap,
    /// The screen.
    pub screen: Screen,
    /// What lies over it.
    pub overlay: Option<Overlay>,
    /// What lies under the help or the palette, and is there again when they are left.
    pub covered: Option<Overlay>,
    /// Where links came from, the last one last.
    pub trail: Vec<Visited>,
    /// The past that is shown instead of now.
    pub position: Option<Position>,
    /// Whether the database can be reached.
    pub connection: Connection,
    /// What to tell the user.
    pub notice: Option<Notice>,
    /// The last failure, which can be looked at after its notice has gone.
    pub failure: Option<Error>,
    /// Keys that were pressed on the way to somewhere: they are meant for what is there.
    pub typed_ahead: VecDeque<Key>,
    /// Whether the last key was Ctrl-C.
    pub interrupted: bool,
    /// Whether to end.
    pub leaving: Leaving,
    /// What became of the rollback that was waited for before ending: told when the screens are closed.
    pub last_word: Option<Result<RollbackOutcome>>,
    /// The log's head, once it is known.
    pub head: Option<EventId>,
    /// How many events the log has.
    pub events: Option<u64>,
    /// The log's rollbacks.
    pub history: History,
    /// The request for those three.
    pub overview_wanted: Option<RequestId>,
    /// The events.
    pub timeline: Timeline,
    /// The tables.
    pub tables: Tables,
    /// The row that was looked at last.
    pub row: Option<RowScreen>,
    /// The value that is shown over the whole screen.
    pub cell: Option<Cell>,
    /// The rollback.
    pub rollback: Option<Rollback>,
    /// The screen where it was begun.
    pub rollback_from: Screen,
    /// Verification, activity, rollbacks.
    pub audit: Audit,
    requests: u64,
}

impl Model {
    /// Nothing read yet.
    #[must_use]
    pub fn new(info: StoreInfo, size: Size) -> Self {
        Self {
            info,
            production: false,
            size,
            keymap: Keymap::default(),
            screen: Screen::Timeline,
            overlay: None,
            covered: None,
            trail: Vec::new(),
            position: None,
            connection: Connection::default(),
            notice: None,
            failure: None,
            typed_ahead: VecDeque::new(),
            interrupted: false,
            leaving: Leaving::No,
            last_word: None,
            head: None,
            events: None,
            history: History::default(),
            overview_wanted: None,
            timeline: Timeline::default(),
            tables: Tables::default(),
            row: None,
            cell: None,
            rollback: None,
            rollback_from: Screen::Timeline,
            audit: Audit::default(),
            requests: 0,
        }
    }

    /// An id for the next request.
    pub fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// Where a key is pressed.
    #[must_use]
    pub fn context(&self) -> Context {
        match &self.overlay {
            Some(overlay) => overlay.context(),
            None => self.context_below(),
        }
    }

    /// The place under what lies over it: whose keys the help shows, and whose commands the palette lists.
    #[must_use]
    pub fn context_below(&self) -> Context {
        if let Some(covered) = &self.covered {
            return covered.context();
        }
        if self.cell.is_some() {
            return Context::Cell;
        }
        match self.screen {
            Screen::Timeline if self.timeline.opened.is_some() => Context::Event,
            Screen::Timeline => Context::Timeline,
            Screen::Tables if self.tables.grid.is_some() => Context::Grid,
            Screen::Tables => Context::Tables,
            Screen::Row => Context::Row,
            Screen::Audit => Context::Audit,
            Screen::Rollback => match self.rollback.as_ref().map(|one| &one.stage) {
                None => Context::NoRollback,
                Some(Stage::Planning) => Context::Planning,
                Some(Stage::Preview) => Context::Preview,
                Some(Stage::Confirm { .. }) => Context::Confirm,
                Some(Stage::Running { .. }) => Context::Progress,
                Some(Stage::Result(_)) => Context::Result,
            },
        }
    }

    /// What sentences name for this action here: its key, or its name.
    #[must_use]
    pub fn key_for(&self, action: Action) -> String {
        self.keymap.key_for(self.context_below(), action)
    }

    /// The standing of an event, as far as it is known.
    #[must_use]
    pub fn standing(&self, event: &Event) -> Standing {
        match self.head {
            // What came after the head that was read is effective.
            Some(head) => self
                .history
                .standing(head.max(event.id), event.id, event.row.as_ref()),
            None => Standing::Effective,
        }
    }

    /// Whether what is on this screen is being read anew, and stays until that has arrived.
    #[must_use]
    pub fn is_read_anew(&self) -> bool {
        let replaces = |place| !matches!(place, Place::Beside(_));
        let is_list_stale = match self.screen {
            Screen::Timeline => {
                let timeline = &self.timeline;
                let below = timeline.entries.len() - timeline.top.min(timeline.entries.len());
                // What comes beside is told only where its place is in sight, still empty.
                let is_short = below < self.list_height();
                let wanted = timeline.wanted;
                wanted.is_some_and(|(_, place)| replaces(place) || is_short)
                    && !timeline.entries.is_empty()
            }
            Screen::Tables => match &self.tables.grid {
                Some(grid) => grid.renewing,
                None => self.tables.wanted.is_some() && self.tables.list.is_some(),
            },
            Screen::Row => self.row.as_ref().is_some_and(|row| row.wanted.is_some()),
            Screen::Rollback | Screen::Audit => false,
        };
        is_list_stale || (self.overview_wanted.is_some() && self.head.is_some())
    }

    /// Whether the cursor is on its way to something that is still being read: what is under it is not what the next key is meant for.
    #[must_use]
    pub fn is_going(&self) -> bool {
        match self.context() {
            Context::Timeline | Context::Event => {
                let timeline = &self.timeline;
                // At the edge of what has been read too the next key is meant for what comes.
                let cursor = timeline.cursor;
                let is_at_edge = match timeline.wanted {
                    Some((_, Place::Beside(Direction::Older))) => {
                        cursor + 1 >= timeline.entries.len()
                    }
                    Some((_, Place::Beside(Direction::Newer))) => cursor == 0,
                    Some(_) => timeline.goes,
                    None => false,
                };
                timeline.locate_wanted.is_some() || is_at_edge
            }
            Context::Grid => {
                let travels = self.timeline.locate_wanted.is_some();
                let is_read = |grid: &Grid| {
                    let is_there = grid.selected().is_some() && !grid.goes;
                    grid.whole_wanted.is_some() || (grid.wanted.is_some() && !is_there)
                };
                travels || self.tables.grid.as_ref().is_some_and(is_read)
            }
            Context::Row => {
                let is_read = |row: &RowScreen| {
                    let first = row.wanted.is_some() && row.inspection.is_none();
                    let is_awaited =
                        row.to_first || row.is_at_edge || row.life_read == LifeRead::Again;
                    let waits = row.to_event.is_some() || is_awaited;
                    first || waits && row.life_wanted.is_some()
                };
                self.timeline.locate_wanted.is_some() || self.row.as_ref().is_some_and(is_read)
            }
            _ => false,
        }
    }

    /// Whether a rollback is at work.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(
            &self.rollback,
            Some(Rollback {
                stage: Stage::Running { .. },
                ..
            })
        )
    }

    /// How many events came that were never in sight, above the list.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        let timeline = &self.timeline;
        let is_known = timeline.seen_newest > 0 && timeline.filter.is_empty();
        match self.head.filter(|_| is_known) {
            Some(head) => (head - timeline.seen_newest).max(0).unsigned_abs(),
            // Of those that a filter shows, as far as they have been read.
            None if timeline.seen_newest > 0 => {
                let above = timeline.entries.iter().take(timeline.top);
                above
                    .filter(|one| one.event.id > timeline.seen_newest)
                    .count() as u64
            }
            None => 0,
        }
    }

    /// Lines of the list of events: under the strip, and the filter's line where there is one.
    #[must_use]
    pub fn list_height(&self) -> usize {
        self.size.timeline(self.is_filtered())
    }

    /// Whether the timeline shows a line with its filter.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !self.timeline.filter_text.is_empty()
    }

    /// The database's name, where it has to be typed before a rollback.
    #[must_use]
    pub fn production_name(&self) -> Option<&str> {
        self.production.then_some(self.info.name.as_str())
    }

    /// The position at which rows are read; `None` for now.
    #[must_use]
    pub fn at(&self) -> Option<EventId> {
        self.position.map(|position| position.after)
    }
}
