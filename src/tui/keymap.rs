//! Which key does what where: for the dispatch, the footer, the help and the palette.

mod key;
mod table;

use std::collections::HashSet;

pub use key::Key;
pub use table::BINDINGS;

/// Where a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// The list of events.
    Timeline,
    /// One event over the whole screen.
    Event,
    /// The list of tables.
    Tables,
    /// The rows of one table.
    Grid,
    /// One row and its life.
    Row,
    /// One value over the whole screen.
    Cell,
    /// Verification, activity, rollbacks.
    Audit,
    /// The screen of a rollback while there is none.
    NoRollback,
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
    /// The commands by name.
    Palette,
    /// A line that is typed into.
    Prompt,
    /// What a plan makes of one row.
    Change,
    /// A failure with all its words.
    Failure,
}

/// Every place.
pub const CONTEXTS: [Context; 18] = [
    Context::Timeline,
    Context::Event,
    Context::Tables,
    Context::Grid,
    Context::Row,
    Context::Cell,
    Context::Audit,
    Context::NoRollback,
    Context::Planning,
    Context::Preview,
    Context::Confirm,
    Context::Progress,
    Context::Result,
    Context::Help,
    Context::Palette,
    Context::Prompt,
    Context::Change,
    Context::Failure,
];

impl Context {
    /// The place in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Timeline => "the timeline",
            Self::Event => "an open event",
            Self::Tables => "the list of tables",
            Self::Grid => "a table's rows",
            Self::Row => "a row's page",
            Self::Cell => "an open value",
            Self::Audit => "the audit",
            Self::NoRollback => "the rollback's page",
            Self::Planning => "a plan in the making",
            Self::Preview => "a plan",
            Self::Confirm => "the last question",
            Self::Progress => "a rollback at work",
            Self::Result => "a result",
            Self::Help => "the help",
            Self::Palette => "the palette",
            Self::Prompt => "a line that is typed into",
            Self::Change => "an open change",
            Self::Failure => "a failure",
        }
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leaves.
    Quit,
    /// Cancels what runs; twice, leaves.
    Interrupt,
    /// Gives the terminal back until the shell wakes ebb.
    Suspend,
    /// Shows the keys.
    Help,
    /// Lists the commands by name, and goes to an event or a moment.
    Palette,
    /// To the timeline.
    ShowTimeline,
    /// To the tables.
    ShowTables,
    /// To the row that was looked at last.
    ShowRow,
    /// To the rollback that is being planned.
    ShowRollback,
    /// To verification, activity and rollbacks.
    ShowAudit,
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
    /// One to the left.
    Left,
    /// One to the right.
    Right,
    /// Opens what is under the cursor.
    Open,
    /// One step back.
    Back,
    /// Ends a filter; one step back where there is none.
    Clear,
    /// Reads everything anew.
    Reload,
    /// Shows only what is typed.
    Filter,
    /// To the next match.
    NextMatch,
    /// To the match before.
    PreviousMatch,
    /// To the event that this one repeats or restores, or that has undone it.
    GoToOrigin,
    /// To the life of the row.
    History,
    /// To the beginning of the burst of events before.
    OlderBurst,
    /// To the beginning of the next burst of events.
    NewerBurst,
    /// Whether the cursor stays at the newest event.
    Follow,
    /// Shows who made each event, also where the list is narrow, or does not.
    ToggleActors,
    /// Shows the tables as they were after the event.
    TimeTravel,
    /// Shows the tables as they are.
    Now,
    /// Sorts by the column.
    Sort,
    /// Hides the column.
    HideColumn,
    /// Shows every column.
    ShowColumns,
    /// Keeps the column in sight.
    PinColumn,
    /// Whether columns are as wide as what they hold.
    FitColumns,
    /// Counts the rows.
    CountRows,
    /// Draws an array.
    Plot,
    /// Copies what is under the cursor.
    Copy,
    /// Copies the whole row or event.
    CopyWhole,
    /// Plans a rollback to the event under the cursor.
    RollBack,
    /// Plans to undo the event's transaction alone.
    Revert,
    /// Plans the undo of the latest rollback.
    Undo,
    /// Plans the redo of the latest undo.
    Redo,
    /// Between undoing the chosen event and keeping it.
    ToggleBoundary,
    /// Between the two strategies.
    ToggleStrategy,
    /// Between the database, the event's table and its row.
    ToggleScope,
    /// Whose values stand where a later event set the same column.
    ToggleConflicts,
    /// Whether values may be left in the log alone.
    ToggleLoss,
    /// Why the rollback is made.
    Reason,
    /// To the rows of the next table.
    NextTable,
    /// Marks the next row.
    NextRow,
    /// Marks the row before.
    PreviousRow,
    /// Shows what becomes of the row that is marked, with whole values.
    ViewChange,
    /// To the row of the next thing in the way of a rollback.
    GoToBlocker,
    /// To the rows of the table before.
    PreviousTable,
    /// On to the question.
    Proceed,
    /// Asks the rollback at work to stop.
    Stop,
    /// Compares the tables with the log.
    Verify,
    /// Writes the log to a file.
    Export,
    /// Shows the last failure with all its words.
    ShowFailure,
    /// Takes what is typed, or the suggestion that is chosen.
    Accept,
    /// Completes what is typed.
    Complete,
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// Its name, in the configuration file and in the palette.
    pub name: &'static str,
    /// What it does.
    pub action: Action,
    /// The keys that do it unless the configuration says otherwise; the first is the one that hints name.
    pub keys: &'static [Key],
    /// What it does, in words.
    pub words: &'static str,
    /// Where; everywhere when empty.
    pub contexts: &'static [Context],
    /// Whether the footer has it: only what a newcomer needs to see.
    pub hinted: bool,
}

impl Binding {
    /// Whether it is there.
    #[must_use]
    pub fn is_in(&self, context: Context) -> bool {
        self.contexts.is_empty() || self.contexts.contains(&context)
    }
}

/// The table, with the keys that this user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    /// The keys of each of [`BINDINGS`].
    keys: Vec<Vec<Key>>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self {
            keys: BINDINGS.iter().map(|one| one.keys.to_vec()).collect(),
        }
    }
}

impl Keymap {
    /// What a key does here.
    #[must_use]
    pub fn action(&self, context: Context, key: Key) -> Option<Action> {
        self.bindings(context)
            .find(|(_, keys)| keys.contains(&key))
            .map(|(binding, _)| binding.action)
    }

    /// All there is to do, and by which keys.
    pub fn all(&self) -> impl Iterator<Item = (&'static Binding, &[Key])> {
        BINDINGS.iter().zip(self.keys.iter().map(Vec::as_slice))
    }

    /// What there is to do here, and by which keys.
    pub fn bindings(&self, context: Context) -> impl Iterator<Item = (&'static Binding, &[Key])> {
        self.all()
            .filter(move |(binding, _)| binding.is_in(context))
    }

    /// What sentences name for this action here: its key, or where it has none, its name as the palette takes it.
    #[must_use]
    pub fn key_for(&self, context: Context, action: Action) -> String {
        let found = self.bindings(context).find(|(one, _)| one.action == action);
        found.map_or_else(String::new, |(binding, keys)| match keys.first() {
            Some(key) => key.name(),
            None => format!(":{}", binding.name),
        })
    }

    /// Gives the command of this name these keys instead of its own.
    ///
    /// # Errors
    /// A sentence, when there is no such command.
    pub fn rebind(&mut self, name: &str, keys: &[Key]) -> Result<(), String> {
        if keys.is_empty() && ["quit", "interrupt", "palette", "help"].contains(&name) {
            return Err(format!(
                "\"{name}\" needs a key: without it nobody finds the way out"
            ));
        }
        let mut found = false;
        for (binding, own) in BINDINGS.iter().zip(&mut self.keys) {
            if binding.name == name {
                *own = keys.to_vec();
                found = true;
            }
        }
        match found {
            true => Ok(()),
            false => Err(format!("there is no command \"{name}\"")),
        }
    }

    /// A key that means two things in one place, with their names, if there is one.
    #[must_use]
    pub fn conflict(&self) -> Option<(Key, &'static str, &'static str)> {
        CONTEXTS.into_iter().find_map(|context| {
            let mut seen: Vec<(Key, &'static str)> = Vec::new();
            for (binding, keys) in self.bindings(context) {
                for key in keys {
                    if let Some((_, other)) = seen.iter().find(|(one, _)| one == key) {
                        return Some((*key, *other, binding.name));
                    }
                    seen.push((*key, binding.name));
                }
            }
            None
        })
    }
}

/// The names of all commands, each once.
pub fn names() -> impl Iterator<Item = &'static str> {
    let mut seen = HashSet::new();
    BINDINGS
        .iter()
        .map(|binding| binding.name)
        .filter(move |name| seen.insert(*name))
}

/// Whether what is typed goes into a field here.
#[must_use]
pub fn is_field(context: Context) -> bool {
    matches!(
        context,
        Context::Confirm | Context::Help | Context::Palette | Context::Prompt
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        assert_eq!(Keymap::default().conflict(), None);
    }

    #[test]
    fn a_name_is_of_one_action_in_one_place() {
        for context in CONTEXTS {
            let mut seen = HashSet::new();
            for (binding, _) in Keymap::default().bindings(context) {
                assert!(seen.insert(binding.name), "{} in {context:?}", binding.name);
            }
        }
    }

    #[test]
    fn where_text_is_typed_no_letter_does_anything_else() {
        for context in CONTEXTS.into_iter().filter(|one| is_field(*one)) {
            for (binding, keys) in Keymap::default().bindings(context) {
                let typed = keys.iter().find(|key| matches!(key, Key::Char(_)));
                assert_eq!(typed, None, "{} in {context:?}", binding.name);
            }
        }
    }

    #[test]
    fn a_command_has_the_keys_that_are_given_to_it() {
        let mut keymap = Keymap::default();
        assert_eq!(keymap.rebind("roll-back", &[Key::F(8)]), Ok(()));
        assert_eq!(
            keymap.action(Context::Timeline, Key::F(8)),
            Some(Action::RollBack)
        );
        assert_eq!(keymap.action(Context::Timeline, Key::Char('R')), None);
        assert!(keymap.rebind("rol-back", &[]).is_err());
    }

    #[test]
    fn a_command_without_a_key_is_named_as_the_palette_takes_it() {
        let mut keymap = Keymap::default();
        let named = |keymap: &Keymap| keymap.key_for(Context::Timeline, Action::Reload);
        assert_eq!(named(&keymap), "r");
        assert_eq!(keymap.rebind("reload", &[]), Ok(()));
        assert_eq!(named(&keymap), ":reload");
    }
}
