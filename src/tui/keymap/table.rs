//! The one table of keys.

use super::Context::{
    Audit, Cell, Change, Event, Failure, Grid, Help, NoRollback, Palette, Planning, Preview,
    Progress, Prompt, Row, Tables, Timeline,
};
use super::{Action, Binding, Context, Key};

const LISTS: &[Context] = &[
    Timeline,
    Event,
    Tables,
    Grid,
    Row,
    Cell,
    Audit,
    Preview,
    Context::Result,
    Change,
    Failure,
];
/// Lists under a line that is typed into: letters go there.
const TYPED_LISTS: &[Context] = &[Help, Palette, Prompt];
/// Where there are events and rows.
const DATA: &[Context] = &[Timeline, Event, Tables, Grid, Row, Cell, Audit, NoRollback];
/// Where a place can be left for another one and be found again.
const LEFT: &[Context] = &[
    Timeline,
    Event,
    Tables,
    Grid,
    Row,
    Cell,
    Audit,
    NoRollback,
    Preview,
    Context::Result,
];
/// What is planned can be changed before the plan is there.
const PLANS: &[Context] = &[Preview, Planning];
const SCREENS: &[Context] = &[Timeline, Event, Tables, Grid, Row, Audit, NoRollback];
const EVENTS: &[Context] = &[Timeline, Event];
const OF_EVENTS: &[Context] = &[Timeline, Event, Row];
/// The pages on which nothing lies that could be left: `q` leaves them, and elsewhere goes one step back.
const OUTER: &[Context] = &[Timeline, Tables, Audit, NoRollback];
/// Where Backspace goes back, and Esc ends a filter first.
const RETURNED: &[Context] = &[Timeline, Tables, Audit, NoRollback, Grid, Preview];
const INNER: &[Context] = &[
    Event,
    Grid,
    Row,
    Cell,
    Planning,
    Preview,
    Context::Result,
    Change,
    Failure,
];
const HELPED: &[Context] = &[
    Timeline,
    Event,
    Tables,
    Grid,
    Row,
    Cell,
    Audit,
    NoRollback,
    Planning,
    Preview,
    Progress,
    Context::Result,
    Change,
    Failure,
];

const fn on(
    name: &'static str,
    action: Action,
    keys: &'static [Key],
    words: &'static str,
    contexts: &'static [Context],
) -> Binding {
    Binding {
        name,
        action,
        keys,
        words,
        contexts,
        hinted: false,
    }
}

/// One that the footer names.
const fn hinted(
    name: &'static str,
    action: Action,
    keys: &'static [Key],
    words: &'static str,
    contexts: &'static [Context],
) -> Binding {
    let mut binding = on(name, action, keys, words, contexts);
    binding.hinted = true;
    binding
}

const fn c(character: char) -> Key {
    Key::Char(character)
}

/// Every key. The order is that of the footer, the help and the palette.
pub const BINDINGS: &[Binding] = &[
    // What one came for.
    hinted(
        "open",
        Action::Open,
        &[Key::Enter],
        "open",
        &[Timeline, Tables, Grid, Row, Audit],
    ),
    on(
        "open-row",
        Action::History,
        &[Key::Enter],
        "its row",
        &[Event],
    ),
    hinted("fold", Action::Open, &[Key::Enter, c(' ')], "fold", &[Cell]),
    hinted(
        "confirm",
        Action::Proceed,
        &[Key::Enter],
        "confirm…",
        &[Preview],
    ),
    hinted(
        "done",
        Action::Back,
        &[Key::Enter],
        "back",
        &[Context::Result],
    ),
    hinted("accept", Action::Accept, &[Key::Enter], "done", &[Prompt]),
    hinted("run", Action::Accept, &[Key::Enter], "do it", &[Palette]),
    on("accept-help", Action::Back, &[Key::Enter], "back", &[Help]),
    hinted(
        "complete",
        Action::Complete,
        &[Key::Tab],
        "complete",
        &[Prompt],
    ),
    hinted("verify", Action::Verify, &[c('v')], "verify", &[Audit]),
    hinted("export", Action::Export, &[c('e')], "export…", &[Audit]),
    hinted(
        "history",
        Action::History,
        &[c('h')],
        "history",
        &[Timeline, Event, Grid],
    ),
    on(
        "row-in-plan",
        Action::History,
        &[c('h')],
        "the row and its history",
        &[Preview],
    ),
    hinted(
        "time-travel",
        Action::TimeTravel,
        &[c('t')],
        "time travel",
        OF_EVENTS,
    ),
    on("now", Action::Now, &[c('T')], "back to now", DATA),
    hinted(
        "roll-back",
        Action::RollBack,
        &[c('R')],
        "roll back…",
        &[Timeline, Event, Row, Grid],
    ),
    on("revert", Action::Revert, &[c('V')], "revert…", OF_EVENTS),
    hinted(
        "boundary",
        Action::ToggleBoundary,
        &[c('i')],
        "boundary",
        PLANS,
    ),
    hinted("scope", Action::ToggleScope, &[c('o')], "scope", PLANS),
    hinted(
        "strategy",
        Action::ToggleStrategy,
        &[c('s')],
        "strategy",
        PLANS,
    ),
    hinted(
        "conflicts",
        Action::ToggleConflicts,
        &[c('c')],
        "whose values stand",
        PLANS,
    ),
    hinted(
        "allow-loss",
        Action::ToggleLoss,
        &[c('a')],
        "allow loss",
        PLANS,
    ),
    on(
        "reason",
        Action::Reason,
        &[c('w')],
        "why it is made…",
        &[Preview],
    ),
    hinted(
        "blocker",
        Action::GoToBlocker,
        &[c('b')],
        "row in the way",
        &[Preview],
    ),
    hinted("next-row", Action::NextRow, &[Key::Tab], "row", &[Preview]),
    on(
        "previous-row",
        Action::PreviousRow,
        &[Key::BackTab],
        "the row before",
        &[Preview],
    ),
    on(
        "view-change",
        Action::ViewChange,
        &[c('v')],
        "view the row's change whole",
        &[Preview],
    ),
    on(
        "next-table",
        Action::NextTable,
        &[c('n')],
        "next table",
        &[Preview],
    ),
    on(
        "previous-table",
        Action::PreviousTable,
        &[c('N')],
        "table before",
        &[Preview],
    ),
    hinted("sort", Action::Sort, &[c('s')], "sort", &[Grid]),
    hinted(
        "filter",
        Action::Filter,
        &[c('/')],
        "filter",
        &[Timeline, Event, Tables, Grid, Preview],
    ),
    hinted("search", Action::Filter, &[c('/')], "search", &[Cell]),
    on(
        "next-match",
        Action::NextMatch,
        &[c('n')],
        "next match",
        &[Cell],
    ),
    on(
        "previous-match",
        Action::PreviousMatch,
        &[c('N')],
        "match before",
        &[Cell],
    ),
    hinted("plot", Action::Plot, &[c('p')], "plot", &[Cell]),
    on("undo", Action::Undo, &[c('u')], "undo a rollback…", SCREENS),
    on("redo", Action::Redo, &[c('U')], "redo…", SCREENS),
    hinted(
        "undo-this",
        Action::Undo,
        &[c('u')],
        "undo it…",
        &[Context::Result],
    ),
    hinted(
        "redo-this",
        Action::Redo,
        &[c('U')],
        "redo it…",
        &[Context::Result],
    ),
    on(
        "origin",
        Action::GoToOrigin,
        &[c('o')],
        "go to its origin",
        OF_EVENTS,
    ),
    on(
        "older-burst",
        Action::OlderBurst,
        &[c('[')],
        "burst before",
        EVENTS,
    ),
    on(
        "newer-burst",
        Action::NewerBurst,
        &[c(']')],
        "next burst",
        EVENTS,
    ),
    on(
        "follow",
        Action::Follow,
        &[c('f')],
        "follow new events",
        &[Timeline],
    ),
    on(
        "hide-column",
        Action::HideColumn,
        &[c('-')],
        "hide the column",
        &[Grid],
    ),
    on(
        "show-columns",
        Action::ShowColumns,
        &[c('+')],
        "show all columns",
        &[Grid],
    ),
    on(
        "pin-column",
        Action::PinColumn,
        &[c('p')],
        "pin the column",
        &[Grid],
    ),
    on(
        "fit-columns",
        Action::FitColumns,
        &[c('=')],
        "fit columns",
        &[Grid],
    ),
    on(
        "count-rows",
        Action::CountRows,
        &[c('c')],
        "count the rows",
        &[Tables, Grid],
    ),
    on(
        "copy",
        Action::Copy,
        &[c('y')],
        "copy",
        &[
            Timeline,
            Event,
            Grid,
            Row,
            Cell,
            Preview,
            Context::Result,
            Audit,
            Change,
            Failure,
        ],
    ),
    on(
        "copy-whole",
        Action::CopyWhole,
        &[c('Y')],
        "copy it whole",
        &[Timeline, Event, Grid, Row, Cell, Audit],
    ),
    hinted("stop", Action::Stop, &[Key::Esc], "stop", &[Progress]),
    hinted(
        "back",
        Action::Back,
        &[Key::Esc, Key::Backspace],
        "back",
        &[Event, Row, Cell, Planning, Context::Result, Change, Failure],
    ),
    // Where there is a filter Esc ends it first.
    hinted(
        "leave",
        Action::Clear,
        &[Key::Esc],
        "back",
        &[Grid, Preview],
    ),
    hinted(
        "cancel",
        Action::Back,
        &[Key::Esc],
        "back",
        &[Help, Palette, Prompt],
    ),
    // At the outermost places Esc ends a filter first, and Backspace goes back to where a link was followed.
    on(
        "clear",
        Action::Clear,
        &[Key::Esc],
        "end the filter, back",
        OUTER,
    ),
    on("return", Action::Back, &[Key::Backspace], "back", RETURNED),
    on(
        "palette",
        Action::Palette,
        &[c(':')],
        "commands, go to",
        HELPED,
    ),
    hinted("help", Action::Help, &[c('?')], "help", HELPED),
    hinted("quit", Action::Quit, &[c('q')], "quit", OUTER),
    hinted(
        "stop-and-quit",
        Action::Quit,
        &[c('q')],
        "stop, quit",
        &[Progress],
    ),
    // By name, where its key goes back.
    on("leave-ebb", Action::Quit, &[], "quit", INNER),
    on("close", Action::Back, &[c('q')], "back", INNER),
    // Moving.
    on("up", Action::Up, &[Key::Up, c('k')], "up", LISTS),
    on("down", Action::Down, &[Key::Down, c('j')], "down", LISTS),
    on(
        "page-up",
        Action::PageUp,
        &[Key::PageUp, Key::Ctrl('b'), Key::Ctrl('u')],
        "a screenful up",
        LISTS,
    ),
    on(
        "page-down",
        Action::PageDown,
        &[Key::PageDown, Key::Ctrl('f'), Key::Ctrl('d')],
        "a screenful down",
        LISTS,
    ),
    on(
        "space-down",
        Action::PageDown,
        &[c(' ')],
        "a screenful down",
        &[
            Timeline,
            Event,
            Tables,
            Grid,
            Row,
            Audit,
            Preview,
            Context::Result,
            Change,
            Failure,
        ],
    ),
    on(
        "first",
        Action::First,
        &[Key::Home, c('g')],
        "to the top",
        LISTS,
    ),
    on(
        "last",
        Action::Last,
        &[Key::End, c('G')],
        "to the bottom",
        LISTS,
    ),
    on(
        "typed-up",
        Action::Up,
        &[Key::Up, Key::Ctrl('p')],
        "up",
        TYPED_LISTS,
    ),
    on(
        "typed-down",
        Action::Down,
        &[Key::Down, Key::Ctrl('n')],
        "down",
        TYPED_LISTS,
    ),
    on(
        "typed-page-up",
        Action::PageUp,
        &[Key::PageUp],
        "a screenful up",
        TYPED_LISTS,
    ),
    on(
        "typed-page-down",
        Action::PageDown,
        &[Key::PageDown],
        "a screenful down",
        TYPED_LISTS,
    ),
    on(
        "left",
        Action::Left,
        &[Key::Left, Key::BackTab],
        "a column to the left",
        &[Grid],
    ),
    on(
        "right",
        Action::Right,
        &[Key::Right, Key::Tab, c('l')],
        "a column to the right",
        &[Grid],
    ),
    on(
        "newer-event",
        Action::Left,
        &[Key::Left],
        "the event after",
        &[Event],
    ),
    on(
        "older-event",
        Action::Right,
        &[Key::Right],
        "the event before",
        &[Event],
    ),
    on("fold-all", Action::Left, &[Key::Left], "fold all", &[Cell]),
    on(
        "unfold-all",
        Action::Right,
        &[Key::Right, c('l')],
        "unfold all",
        &[Cell],
    ),
    // The screens.
    on(
        "timeline",
        Action::ShowTimeline,
        &[c('1')],
        "the timeline",
        LEFT,
    ),
    on("tables", Action::ShowTables, &[c('2')], "the tables", LEFT),
    on("row", Action::ShowRow, &[c('3')], "the row", LEFT),
    on(
        "rollback",
        Action::ShowRollback,
        &[c('4')],
        "the rollback",
        LEFT,
    ),
    on("audit", Action::ShowAudit, &[c('5')], "the audit", LEFT),
    on(
        "reload",
        Action::Reload,
        &[c('r')],
        "read everything anew",
        SCREENS,
    ),
    on(
        "plan-anew",
        Action::Reload,
        &[c('r')],
        "make the plan anew",
        PLANS,
    ),
    on(
        "failure",
        Action::ShowFailure,
        &[c('!')],
        "the last failure",
        HELPED,
    ),
    on(
        "interrupt",
        Action::Interrupt,
        &[Key::Ctrl('c')],
        "cancel; twice, leave",
        &[],
    ),
    on(
        "suspend",
        Action::Suspend,
        &[Key::Ctrl('z')],
        "suspend",
        &[],
    ),
];
