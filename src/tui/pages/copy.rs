//! What a key for copying gives to the clipboard.

use serde_json::Value;

use super::audit::finding_in_words;
use super::{audit, change_whole, failure, row_item, selected_line};
use crate::eventsourcing::RowKey;
use crate::tui::keymap::Context;
use crate::tui::model::{Item, Lead, Model, Verification};

/// What is copied here: with `whole` all of the event or the row. `None` where there is nothing. Not of a table's rows: they are read first.
#[must_use]
pub fn to_copy(model: &Model, whole: bool) -> Option<String> {
    let lines = |lines: Vec<super::Line>| {
        let texts: Vec<String> = lines.into_iter().map(|line| line.text).collect();
        texts.join("\n")
    };
    match model.context() {
        Context::Failure => Some(lines(failure(model, usize::MAX))),
        Context::Change => Some(lines(change_whole(model, usize::MAX))),
        // The part under the cursor, or all of it.
        Context::Cell => {
            let cell = model.cell.as_ref()?;
            let node = cell.nodes.get(cell.cursor).filter(|_| !whole);
            let part = node.and_then(|node| cell.value.pointer(&node.pointer));
            Some(plain(part.unwrap_or(&cell.value)))
        }
        Context::Timeline | Context::Event => {
            let entry = model.timeline.selected()?;
            let detail = model.timeline.detail.as_ref();
            match (whole, &entry.event.row) {
                // The list may have left out what is long; what is looked at closely is whole.
                (true, _) => {
                    let detail = detail.filter(|detail| detail.event.id == entry.event.id)?;
                    let undone_by = detail.standing.undone_by();
                    Some(detail.event.to_json(undone_by).to_string())
                }
                (false, Some(key)) => Some(key.uuid.to_string()),
                (false, None) => Some(entry.event.id.to_string()),
            }
        }
        Context::Row => {
            let screen = model.row.as_ref()?;
            let state = screen.inspection.as_ref().and_then(|one| one.row.clone());
            match (whole, row_item(model, screen.cursor)?) {
                (true, _) => state.map(|state| Value::Object(state).to_string()),
                (false, Item::Column(name)) => Some(plain(state?.get(&name)?)),
                (false, Item::Event(at)) => {
                    let one = screen.life.get(at)?;
                    let undone_by = one.standing.undone_by();
                    Some(one.event.to_json(undone_by).to_string())
                }
                (false, Item::Naming { .. }) => selected_line(model, model.size.page_width()),
            }
        }
        Context::Audit => {
            let lines = audit(model, model.size.page_width());
            let (line, lead) = lines.into_iter().nth(model.audit.cursor)?;
            match lead {
                Some(Lead::Row(key)) if !whole => Some(key.to_string()),
                Some(Lead::Row(key)) => found(model, &key),
                _ => Some(line.text.trim().to_owned()),
            }
        }
        Context::Preview | Context::Result => {
            let rollback = model.rollback.as_ref()?;
            let plan = rollback.plan.as_ref()?;
            Some(plan.sentences(&model.info.name).join("\n"))
        }
        _ => None,
    }
}

/// The finding of this row, with its whole values.
fn found(model: &Model, key: &RowKey) -> Option<String> {
    let Verification::Done { report, .. } = &model.audit.verification else {
        return None;
    };
    let findings = report.findings.iter().filter(|one| one.row == *key);
    let words: Vec<String> = findings.map(finding_in_words).collect();
    Some(words.join("\n"))
}

/// A value as one would paste it: text without quotation marks.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
