//! The one table of keys: what each does where, for the dispatch, the footer and the help.

/// A key, as people press it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A character, with shift already applied.
    Char(char),
    /// A character with Ctrl.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Backspace.
    Backspace,
    /// Tab.
    Tab,
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// The arrow to the left.
    Left,
    /// The arrow to the right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

impl Key {
    /// Its name in the help.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Char(' ') => "Space".to_owned(),
            Self::Char(character) => character.to_string(),
            Self::Ctrl(character) => format!("Ctrl-{}", character.to_ascii_uppercase()),
            Self::Enter => "Enter".to_owned(),
            Self::Esc => "Esc".to_owned(),
            Self::Backspace => "Backspace".to_owned(),
            Self::Tab => "Tab".to_owned(),
            Self::Up => "↑".to_owned(),
            Self::Down => "↓".to_owned(),
            Self::Left => "←".to_owned(),
            Self::Right => "→".to_owned(),
            Self::PageUp => "PgUp".to_owned(),
            Self::PageDown => "PgDn".to_owned(),
            Self::Home => "Home".to_owned(),
            Self::End => "End".to_owned(),
        }
    }
}

/// Where a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The list of events.
    Timeline,
    /// One event over the whole screen.
    Event,
    /// The list of tables.
    Tables,
    /// The rows of one table.
    Grid,
    /// A plan being made.
    Planning,
    /// What a rollback would do.
    Preview,
    /// The last question.
    Confirm,
    /// A rollback at work.
    Progress,
    /// What a rollback did.
    Result,
    /// The list of keys.
    Help,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leaves.
    Quit,
    /// Cancels what runs; twice, leaves.
    Interrupt,
    /// Shows the keys.
    Help,
    /// To the timeline.
    ShowTimeline,
    /// To the tables.
    ShowTables,
    /// One up.
    Up,
    /// One down.
    Down,
    /// A screenful up.
    PageUp,
    /// A screenful down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// One column to the left.
    Left,
    /// One column to the right.
    Right,
    /// Opens what is under the cursor.
    Open,
    /// One step back.
    Back,
    /// Reads everything anew.
    Reload,
    /// To the event that this one repeats or restores.
    GoToOrigin,
    /// Plans a rollback to the event under the cursor.
    RollBack,
    /// Plans the undo of the latest rollback.
    Undo,
    /// Plans the redo of the latest undo.
    Redo,
    /// Between undoing the chosen event and keeping it.
    ToggleBoundary,
    /// Between the two strategies.
    ToggleStrategy,
    /// On to the question.
    Proceed,
    /// Asks the rollback at work to stop.
    Stop,
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// The keys that do it; the first is the one that hints name.
    pub keys: &'static [Key],
    /// What it does, in words.
    pub words: &'static str,
    /// Where; everywhere when empty.
    pub contexts: &'static [Context],
    /// Whether the footer has it: only what a newcomer needs to see.
    pub hinted: bool,
}

use Context::{Confirm, Event, Grid, Help, Planning, Preview, Progress, Tables, Timeline};

const LISTS: &[Context] = &[
    Timeline,
    Event,
    Tables,
    Grid,
    Preview,
    Context::Result,
    Help,
];
const BROWSING: &[Context] = &[Timeline, Event, Tables, Grid];
const LEAVABLE: &[Context] = &[
    Timeline,
    Event,
    Tables,
    Grid,
    Planning,
    Preview,
    Progress,
    Context::Result,
    Help,
];

const fn binding(
    action: Action,
    keys: &'static [Key],
    words: &'static str,
    contexts: &'static [Context],
    hinted: bool,
) -> Binding {
    Binding {
        action,
        keys,
        words,
        contexts,
        hinted,
    }
}

/// Every key. The order is that of the footer and of the help.
pub const BINDINGS: &[Binding] = &[
    binding(
        Action::Open,
        &[Key::Enter],
        "open",
        &[Timeline, Tables],
        true,
    ),
    binding(Action::Proceed, &[Key::Enter], "confirm…", &[Preview], true),
    binding(
        Action::Back,
        &[Key::Enter],
        "back to the timeline",
        &[Context::Result],
        true,
    ),
    binding(
        Action::RollBack,
        &[Key::Char('R')],
        "roll back…",
        &[Timeline, Event],
        true,
    ),
    binding(
        Action::ToggleBoundary,
        &[Key::Char('i')],
        "boundary",
        &[Preview],
        true,
    ),
    binding(
        Action::ToggleStrategy,
        &[Key::Char('s')],
        "strategy",
        &[Preview],
        true,
    ),
    binding(
        Action::Undo,
        &[Key::Char('u')],
        "undo rollback",
        &[Timeline, Event, Context::Result],
        true,
    ),
    binding(
        Action::Redo,
        &[Key::Char('U')],
        "redo",
        &[Timeline, Event, Context::Result],
        true,
    ),
    binding(
        Action::GoToOrigin,
        &[Key::Char('o')],
        "origin",
        &[Timeline, Event],
        true,
    ),
    binding(Action::Stop, &[Key::Esc], "stop", &[Progress], true),
    binding(
        Action::Back,
        &[Key::Esc, Key::Backspace],
        "back",
        &[Event, Grid, Planning, Preview, Context::Result, Help],
        true,
    ),
    binding(Action::Help, &[Key::Char('?')], "help", LEAVABLE, true),
    binding(Action::Quit, &[Key::Char('q')], "quit", LEAVABLE, true),
    binding(Action::Up, &[Key::Up, Key::Char('k')], "up", LISTS, false),
    binding(
        Action::Down,
        &[Key::Down, Key::Char('j')],
        "down",
        LISTS,
        false,
    ),
    binding(
        Action::PageUp,
        &[Key::PageUp, Key::Ctrl('b'), Key::Ctrl('u')],
        "a screenful up",
        LISTS,
        false,
    ),
    binding(
        Action::PageDown,
        &[
            Key::PageDown,
            Key::Ctrl('f'),
            Key::Ctrl('d'),
            Key::Char(' '),
        ],
        "a screenful down",
        LISTS,
        false,
    ),
    binding(
        Action::First,
        &[Key::Home, Key::Char('g')],
        "to the top",
        LISTS,
        false,
    ),
    binding(
        Action::Last,
        &[Key::End, Key::Char('G')],
        "to the bottom",
        LISTS,
        false,
    ),
    binding(
        Action::Left,
        &[Key::Left, Key::Char('h')],
        "a column to the left",
        &[Grid],
        false,
    ),
    binding(
        Action::Right,
        &[Key::Right, Key::Char('l')],
        "a column to the right",
        &[Grid],
        false,
    ),
    binding(
        Action::ShowTimeline,
        &[Key::Char('1')],
        "the timeline",
        BROWSING,
        false,
    ),
    binding(
        Action::ShowTables,
        &[Key::Char('2')],
        "the tables",
        BROWSING,
        false,
    ),
    binding(
        Action::Reload,
        &[Key::Char('r')],
        "read everything anew",
        BROWSING,
        false,
    ),
    binding(
        Action::Interrupt,
        &[Key::Ctrl('c')],
        "cancel; twice, leave",
        &[],
        false,
    ),
];

/// What a key does here.
#[must_use]
pub fn action(context: Context, key: Key) -> Option<Action> {
    bindings(context)
        .find(|binding| binding.keys.contains(&key))
        .map(|binding| binding.action)
}

/// The keys that do something here.
pub fn bindings(context: Context) -> impl Iterator<Item = &'static Binding> {
    BINDINGS
        .iter()
        .filter(move |binding| binding.contexts.is_empty() || binding.contexts.contains(&context))
}

/// What the footer says where keys go into a field.
pub const CONFIRM_HINTS: &str = "type the id, then Enter  ·  Enter alone or Esc: cancel";

/// Whether keys are typed into a field here.
#[must_use]
pub fn is_field(context: Context) -> bool {
    context == Confirm
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for context in [
            Timeline,
            Event,
            Tables,
            Grid,
            Planning,
            Preview,
            Confirm,
            Progress,
            Context::Result,
            Help,
        ] {
            let mut seen = HashSet::new();
            for key in bindings(context).flat_map(|binding| binding.keys) {
                assert!(seen.insert(*key), "{key:?} in {context:?}");
            }
        }
    }
}
