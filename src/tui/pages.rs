//! What stands on the pages, line by line: words with a tone, which the view turns into a style.

mod audit;
mod cell;
mod copy;
mod event;
mod grid;
mod overlay;
mod preview;
mod rollback;
mod row;
mod strip;

use super::keymap::{Action, Context};
use super::model::{Model, Notice, Screen};
use crate::eventsourcing::EventKind;
use crate::eventsourcing::store::{Backend, StoreInfo};
use crate::text::{visible, wrapped};

pub use audit::{audit, bar, chosen_rollback};
pub use cell::{
    cell_head, cell_height, cell_line_at, cell_news, nodes, plot_height, pointer_to, told_apart,
};
pub use copy::{plain, to_copy};
pub use event::{
    event, event_title, searched_id, standing_note, summary_of, unknown_key, unknown_table,
};
pub use grid::{
    MARGIN, Shown, brief, cell as grid_cell, columns_in_sight, differs, heading,
    keep_column_in_sight, rows_in_sight as grid_rows_in_sight, sign as grid_sign,
};
pub use overlay::{
    Command, commands, does_nothing, field_window, help, palette, prompt_label, suggestion_begins,
    suggestions,
};
pub use preview::{
    change_whole, first_row_in_sight, lines_of_row, place_of_row, row_at, rows_shown, table_lines,
};
pub use rollback::{confirm_last_top, done, last_word, rollback, rollback_length, rows_in_sight};
pub use row::{
    keep_item_in_sight, life_in_sight, life_missing, row, row_item, row_item_at, row_item_lines,
    row_item_place, row_items, scrolled_within_item, selected_line,
};
pub use strip::strip_line;

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

/// The database's name; of one on another machine, with that machine's, since test servers have databases of the same name.
#[must_use]
pub fn database_name(info: &StoreInfo) -> String {
    let host = info.location.split([':', '/']).next().unwrap_or_default();
    let is_here = ["", "localhost", "127.0.0.1", "["].contains(&host);
    match info.backend {
        Backend::Postgres if !is_here => format!("{}@{host}", info.name),
        _ => info.name.clone(),
    }
}

/// The line with the screens' names: each with the key that shows it, and where it begins.
#[must_use]
pub fn tabs(model: &Model) -> Vec<(Action, String, usize)> {
    let actions = [
        Action::ShowTimeline,
        Action::ShowTables,
        Action::ShowRow,
        Action::ShowRollback,
        Action::ShowAudit,
    ];
    let mut at = 1;
    let mut tabs = Vec::new();
    let is_narrow = model.size.columns < 76;
    for (number, ((screen, name), action)) in Screen::ALL.into_iter().zip(actions).enumerate() {
        let text = match (model.screen == screen, is_narrow) {
            (true, _) => format!("[{} {name}]", number + 1),
            (false, false) => format!(" {} {name} ", number + 1),
            (false, true) => format!(" {} ", number + 1),
        };
        let width = text.len();
        tabs.push((action, text, at));
        at += width;
    }
    tabs
}

/// The screen whose name stands in this column of that line.
#[must_use]
pub fn tab_at(model: &Model, column: usize) -> Option<Action> {
    let tabs = tabs(model).into_iter();
    let mut found = tabs.filter(|(_, text, at)| (*at..at + text.len()).contains(&column));
    found.next().map(|(action, ..)| action)
}

/// The last failure with all its words.
#[must_use]
pub fn failure(model: &Model, width: usize) -> Vec<Line> {
    let Some(error) = &model.failure else {
        return Vec::new();
    };
    let mut lines = vec![
        line(Tone::Strong, "What failed last"),
        line(Tone::Plain, ""),
    ];
    lines.extend(paragraph(Tone::Warning, &error.message, width));
    let parts = [
        ("What to do", &error.hint),
        ("In the database's words", &error.details),
    ];
    for (title, part) in parts {
        if let Some(text) = part {
            lines.push(line(Tone::Plain, ""));
            lines.push(line(Tone::Strong, title));
            for part in text.lines() {
                lines.extend(paragraph(Tone::Plain, part, width));
            }
        }
    }
    lines.push(line(Tone::Plain, ""));
    lines.push(line(Tone::Faint, format!("code: {}", error.code.as_str())));
    lines
}

/// How a row comes to be looked at, where none has been yet.
#[must_use]
pub fn no_row(model: &Model) -> String {
    format!(
        "No row has been looked at yet: {} on an event or a row, or {} on its key.",
        model.keymap.key_for(Context::Timeline, Action::History),
        model.keymap.key_for(Context::Grid, Action::Open),
    )
}

/// What there is to tell, over as many lines as it needs.
#[must_use]
pub fn notice(model: &Model, notice: &Notice, width: usize) -> Vec<Line> {
    match notice {
        Notice::Info(text) => paragraph(Tone::Strong, text, width).collect(),
        Notice::Failure(error) => {
            let mut lines: Vec<Line> =
                paragraph(Tone::Warning, &format!("Failed: {}", error.message), width).collect();
            if let Some(hint) = &error.hint {
                lines.extend(paragraph(Tone::Plain, hint, width));
            }
            if error.details.is_some() {
                let key = model.key_for(Action::ShowFailure);
                let text = format!("{key} shows what the database said.");
                lines.push(line(Tone::Faint, text));
            }
            lines
        }
    }
}
