//! What lies over a screen.

use crate::eventsourcing::EventId;
use crate::tui::field::Field;
use crate::tui::keymap::Context;

/// What lies over a screen.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// The keys, those that what is typed names.
    Help {
        /// What is typed.
        field: Field,
        /// The first line shown.
        top: usize,
    },
    /// The commands by name, and where to go.
    Palette {
        /// What is typed.
        field: Field,
        /// The command under the cursor.
        cursor: usize,
    },
    /// A line that is typed into, at the foot of the screen.
    Prompt(Prompt),
    /// What a plan makes of one row, with whole values.
    Change {
        /// The first line shown.
        top: usize,
    },
    /// The last failure with all its words.
    Failure {
        /// The first line shown.
        top: usize,
    },
}

impl Overlay {
    /// Where a key is pressed while it lies there.
    #[must_use]
    pub fn context(&self) -> Context {
        match self {
            Self::Help { .. } => Context::Help,
            Self::Palette { .. } => Context::Palette,
            Self::Prompt(_) => Context::Prompt,
            Self::Change { .. } => Context::Change,
            Self::Failure { .. } => Context::Failure,
        }
    }
}

/// What is done with what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The timeline shows only such events.
    Events,
    /// The list shows only such tables.
    Tables,
    /// The grid shows only such rows.
    Rows,
    /// The preview shows only such rows.
    Changes,
    /// The rollback is made for this reason.
    Reason,
    /// The value is searched for it.
    Search,
    /// The log is written to the file of this name.
    Export,
}

/// A line that is typed into.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// What is done with it.
    pub purpose: Purpose,
    /// What is typed.
    pub field: Field,
    /// What stood there before, and stands there again after Esc.
    pub before: String,
    /// The event that was under the cursor then.
    pub began_at: Option<EventId>,
    /// What is wrong with it, as far as it is typed.
    pub refusal: Option<String>,
    /// Which of the suggestions is chosen.
    pub chosen: Option<usize>,
    /// What was completed last: completed once more, the next suggestion stands there instead.
    pub completed: Option<Completed>,
}

/// A suggestion that was taken, among others that could have been.
#[derive(Clone, Debug)]
pub struct Completed {
    /// Where it begins in the line, in characters.
    pub from: usize,
    /// The suggestions.
    pub offers: Vec<String>,
    /// Which of them it is.
    pub at: usize,
    /// The line with it: once anything else has been typed, it is none of these.
    pub text: String,
}

impl Prompt {
    /// A line with what stands there now.
    #[must_use]
    pub fn new(purpose: Purpose, text: &str) -> Self {
        Self {
            purpose,
            field: Field::with(text),
            before: text.to_owned(),
            began_at: None,
            refusal: None,
            chosen: None,
            completed: None,
        }
    }

    /// What was completed, while nothing else has been typed since.
    #[must_use]
    pub fn just_completed(&self) -> Option<&Completed> {
        let completed = self.completed.as_ref();
        completed.filter(|one| one.text == self.field.text() && one.offers.len() > 1)
    }
}
