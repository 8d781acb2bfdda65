//! What stands on the pages, line by line: words with a tone, which the view turns into a style.

mod event;
mod preview;
mod rollback;

use super::keymap;
use super::model::{Model, Notice};
use crate::eventsourcing::EventKind;
use crate::text::{fitted, visible, wrapped};

pub use event::{event, event_title, standing_note};
pub use rollback::{last_word, rollback, rollback_length, rows_in_sight};

/// How a line is meant. Never by itself what tells a reader something: the words do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// A headline.
    Strong,
    /// Less important.
    Faint,
    /// Something comes.
    Added,
    /// Something goes.
    Removed,
    /// Something becomes something else.
    Changed,
    /// Look at this.
    Warning,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How it is meant.
    pub tone: Tone,
    /// What it says, fit to be shown.
    pub text: String,
}

fn line(tone: Tone, text: impl Into<String>) -> Line {
    Line {
        tone,
        text: text.into(),
    }
}

/// A sentence over as many lines as it needs.
fn paragraph(tone: Tone, text: &str, width: usize) -> impl Iterator<Item = Line> {
    wrapped(&visible(text), width)
        .into_iter()
        .map(move |text| line(tone, text))
}

/// The sign of a kind of event.
#[must_use]
pub fn sign(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Create => "+",
        EventKind::Update => "~",
        EventKind::Delete => "-",
        EventKind::Restore => "=",
        EventKind::Rollback => "«",
        EventKind::RollbackEnd => "»",
    }
}

/// The keys of the place that the help was called from.
#[must_use]
pub fn help(model: &Model) -> Vec<Line> {
    let mut lines = vec![line(Tone::Strong, "Keys here"), line(Tone::Plain, "")];
    for binding in keymap::bindings(model.context_of_help()) {
        let keys: Vec<String> = binding.keys.iter().map(|key| key.name()).collect();
        lines.push(line(
            Tone::Plain,
            format!("  {} {}", fitted(&keys.join(", "), 26), binding.words),
        ));
    }
    lines.push(line(Tone::Plain, ""));
    lines.push(line(Tone::Strong, "Signs"));
    lines.push(line(Tone::Plain, ""));
    for (sign, words) in [
        ("+ ~ -", "create, update, delete"),
        ("« »", "the two ends of a rollback"),
        ("=", "a row restored by a rollback"),
        ("┌ │ └", "events of one transaction"),
        (
            "undone by #n",
            "a rollback that is in effect has undone the event",
        ),
        ("of #n", "a rollback wrote the event"),
        ("from #n", "the event that it repeats or restores"),
        ("∅", "no value (NULL)"),
    ] {
        lines.push(line(Tone::Plain, format!("  {} {words}", fitted(sign, 26))));
    }
    lines
}

/// What there is to tell, over as many lines as it needs.
#[must_use]
pub fn notice(notice: &Notice, width: usize) -> Vec<Line> {
    match notice {
        Notice::Info(text) => paragraph(Tone::Strong, text, width).collect(),
        Notice::Failure(error) => {
            let mut lines: Vec<Line> =
                paragraph(Tone::Warning, &format!("Failed: {}", error.message), width).collect();
            if let Some(hint) = &error.hint {
                lines.extend(paragraph(Tone::Plain, hint, width));
            }
            lines
        }
    }
}
