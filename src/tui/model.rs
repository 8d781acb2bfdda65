//! What the screens know.

use std::collections::{HashMap, VecDeque};

use super::effect::{PlanRequest, RequestId};
use super::keymap::Context;
use super::layout::Size;
use crate::eventsourcing::history::{History, Standing};
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::rollback::{
    Purpose, RollbackOutcome, RollbackPlan, RollbackRequest, RollbackTarget, RowChange, Strategy,
};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{RowCursor, StoreInfo, Writer};
use crate::eventsourcing::timeline::{Direction, Entry};
use crate::eventsourcing::{Error, Event, EventId, Result, Row};

/// Which screen is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The events.
    Timeline,
    /// The tables, and the rows of one.
    Tables,
    /// A rollback, from the plan to the result.
    Rollback,
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

/// Everything that is drawn.
#[derive(Debug)]
pub struct Model {
    /// The database.
    pub info: StoreInfo,
    /// The terminal's size.
    pub size: Size,
    /// The screen.
    pub screen: Screen,
    /// Where the keys are shown, how far they are scrolled.
    pub help: Option<usize>,
    /// What to tell the user.
    pub notice: Option<Notice>,
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
    /// The rollback.
    pub rollback: Option<Rollback>,
    requests: u64,
}

impl Model {
    /// Nothing read yet.
    #[must_use]
    pub fn new(info: StoreInfo, size: Size) -> Self {
        Self {
            info,
            size,
            screen: Screen::Timeline,
            help: None,
            notice: None,
            interrupted: false,
            leaving: Leaving::No,
            last_word: None,
            head: None,
            events: None,
            history: History::default(),
            overview_wanted: None,
            timeline: Timeline::default(),
            tables: Tables::default(),
            rollback: None,
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
        match self.help {
            Some(_) => Context::Help,
            None => self.context_of_help(),
        }
    }

    /// The place whose keys the help shows: where a key was pressed before it.
    #[must_use]
    pub fn context_of_help(&self) -> Context {
        match (self.screen, &self.rollback) {
            (Screen::Rollback, Some(rollback)) => match &rollback.stage {
                Stage::Planning => Context::Planning,
                Stage::Preview => Context::Preview,
                Stage::Confirm { .. } => Context::Confirm,
                Stage::Running { .. } => Context::Progress,
                Stage::Result(_) => Context::Result,
            },
            (Screen::Tables, _) if self.tables.grid.is_some() => Context::Grid,
            (Screen::Tables, _) => Context::Tables,
            _ if self.timeline.opened.is_some() => Context::Event,
            _ => Context::Timeline,
        }
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
                let wanted = self.timeline.wanted;
                wanted.is_some_and(|(_, place)| replaces(place))
                    && !self.timeline.entries.is_empty()
            }
            Screen::Tables => match &self.tables.grid {
                Some(grid) => grid.renewing,
                None => self.tables.wanted.is_some() && self.tables.list.is_some(),
            },
            Screen::Rollback => false,
        };
        is_list_stale || (self.overview_wanted.is_some() && self.head.is_some())
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
}

/// Where a page of events goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Next to what is there.
    Beside(Direction),
    /// Instead of what is there; the cursor goes to its newest event, or to its oldest.
    Instead(Direction),
    /// Instead of what is there, and oldest first; the cursor goes to this event, which is in the middle.
    Around(EventId),
}

/// A part of the log, newest first.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The events.
    pub entries: VecDeque<Entry>,
    /// Whether the first of them is the latest of the log.
    pub has_newest: bool,
    /// Whether the last of them is the first of the log.
    pub has_oldest: bool,
    /// The event under the cursor, counted in `entries`.
    pub cursor: usize,
    /// The event in the first line.
    pub top: usize,
    /// The page that is being read, and where it will go.
    pub wanted: Option<(RequestId, Place)>,
    /// The event under the cursor, looked at closely; stays until the next one's is read.
    pub detail: Option<Inspection>,
    /// Whether that was read before the log changed.
    pub detail_stale: bool,
    /// The event that is being looked at.
    pub detail_wanted: Option<(RequestId, EventId)>,
    /// Where the event is shown over the whole screen, how far it is scrolled.
    pub opened: Option<usize>,
}

impl Timeline {
    /// The event under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&Entry> {
        self.entries.get(self.cursor)
    }
}

/// The tables.
#[derive(Debug, Default)]
pub struct Tables {
    /// The tables, once they are read.
    pub list: Option<Vec<Table>>,
    /// The request for them.
    pub wanted: Option<RequestId>,
    /// The row counts known so far.
    pub counts: HashMap<String, u64>,
    /// The request for those.
    pub counts_wanted: Option<RequestId>,
    /// The table under the cursor.
    pub cursor: usize,
    /// The table in the first line.
    pub top: usize,
    /// The rows of the table that is open.
    pub grid: Option<Grid>,
}

impl Tables {
    /// The rows of all tables, once all are counted.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        let list = self.list.as_ref()?;
        list.iter().map(|table| self.counts.get(&table.name)).sum()
    }
}

/// Rows in one page of a grid.
pub const GRID_PAGE: usize = 100;

/// The rows of one table: some pages of them.
#[derive(Debug)]
pub struct Grid {
    /// The table.
    pub table: Table,
    /// The pages that are held, by their number.
    pub pages: HashMap<usize, Vec<Row>>,
    /// Where each page begins that is known to be there; the first begins at `None`.
    pub starts: Vec<Option<RowCursor>>,
    /// How many rows the table has, once its last page was seen.
    pub rows: Option<usize>,
    /// The page that is being read.
    pub wanted: Option<(RequestId, usize)>,
    /// Whether the pages that are held are to be replaced by the next one that arrives.
    pub renewing: bool,
    /// The row under the cursor.
    pub cursor: usize,
    /// The row in the first line.
    pub top: usize,
    /// The first column shown.
    pub left: usize,
}

impl Grid {
    /// No page read yet.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self {
            table,
            pages: HashMap::new(),
            starts: vec![None],
            rows: None,
            wanted: None,
            renewing: false,
            cursor: 0,
            top: 0,
            left: 0,
        }
    }

    /// A row, when its page is held.
    #[must_use]
    pub fn row(&self, at: usize) -> Option<&Row> {
        self.pages.get(&(at / GRID_PAGE))?.get(at % GRID_PAGE)
    }

    /// How many rows are known to be there.
    #[must_use]
    pub fn known_rows(&self) -> usize {
        let before_last = (self.starts.len() - 1) * GRID_PAGE;
        let last = self.pages.get(&(self.starts.len() - 1)).map_or(0, Vec::len);
        self.rows.unwrap_or(before_last + last)
    }
}

/// What a rollback was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To before this event, or with `keep` to after it.
    To {
        /// The event.
        event: EventId,
        /// Whether it stays.
        keep: bool,
    },
    /// The undo of the latest rollback.
    Undo,
    /// The redo of the latest undo.
    Redo,
}

/// How far a rollback is.
#[derive(Debug)]
pub enum Stage {
    /// The plan is being made.
    Planning,
    /// The plan is shown.
    Preview,
    /// The last question: the id, as far as it is typed.
    Confirm {
        /// What was typed.
        typed: String,
    },
    /// At work: steps done and in all, and whether it was asked to stop.
    Running {
        /// Steps done.
        done: u64,
        /// Steps in all; 0 when not known.
        total: u64,
        /// Whether it was asked to stop.
        stopping: bool,
        /// Whom it waits for, if for anybody.
        writer: Option<Writer>,
    },
    /// Done.
    Result(RollbackOutcome),
}

/// A rollback, from the question to the result.
#[derive(Debug)]
pub struct Rollback {
    /// What was asked for.
    pub asked: Asked,
    /// How it will be written.
    pub strategy: Strategy,
    /// How far it is.
    pub stage: Stage,
    /// The plan, once it is made.
    pub plan: Option<RollbackPlan>,
    /// The request for the plan, or for its execution.
    pub wanted: Option<RequestId>,
    /// The request that the plan answers.
    pub planned: Option<RequestId>,
    /// The rows of the plan that have been read.
    pub rows: ReadRows,
    /// The first line of the page that is shown.
    pub top: usize,
}

/// Rows of a plan, read for the page that is shown.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// The place in the plan of the first of them.
    pub first: usize,
    /// The rows.
    pub rows: Vec<RowChange>,
    /// The request for others.
    pub wanted: Option<RequestId>,
}

impl ReadRows {
    /// The row at this place in the plan, if it has been read.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&RowChange> {
        self.rows.get(place.checked_sub(self.first)?)
    }
}

impl Rollback {
    /// What is to be planned.
    #[must_use]
    pub fn plan_request(&self) -> PlanRequest {
        match self.asked {
            Asked::To { event, keep } => {
                let target = match keep {
                    true => RollbackTarget::AfterEvent(event),
                    false => RollbackTarget::BeforeEvent(event),
                };
                PlanRequest::Rollback(RollbackRequest::to(target))
            }
            Asked::Undo => PlanRequest::Undo,
            Asked::Redo => PlanRequest::Redo,
        }
    }

    /// The id that has to be typed: the chosen event's, or that of the rollback that is taken back.
    #[must_use]
    pub fn id_to_type(&self) -> Option<EventId> {
        match (self.asked, &self.plan) {
            (Asked::To { event, .. }, _) => Some(event),
            (_, Some(plan)) => match plan.purpose {
                Purpose::Undo(id) | Purpose::Redo(id) => Some(id),
                Purpose::Rollback => None,
            },
            (_, None) => None,
        }
    }
}
