//! Giving up what is being done, and leaving.

use super::super::effect::{Effect, Slot};
use super::super::keymap::{Action, Context};
use super::super::model::{Leaving, Model, Notice, Verification};
use super::{execution, overlay, rollback};

/// Stops the process until the shell wakes it; not while a rollback is at work, for which others may be waiting.
pub(super) fn suspend(model: &mut Model) -> Vec<Effect> {
    if !model.is_running() {
        return vec![Effect::Suspend];
    }
    let text = format!(
        "A rollback is at work, and others may wait for it: {} asks it to stop first.",
        model.key_for(Action::Stop)
    );
    model.notice = Some(Notice::Info(text));
    Vec::new()
}

/// Ends the program; a rollback at work is asked to stop, and its outcome waited for.
pub(super) fn leave(model: &mut Model) -> Vec<Effect> {
    if model.is_running() {
        model.leaving = Leaving::WhenDone;
        return execution::stop(model);
    }
    model.leaving = Leaving::Now;
    Vec::new()
}

/// Ctrl-C: cancels what runs; pressed twice, leaves.
pub(super) fn interrupt(model: &mut Model, again: bool) -> Vec<Effect> {
    if again {
        return leave(model);
    }
    model.interrupted = true;
    let told = |text: &str| Some(Notice::Info(text.to_owned()));
    match model.context() {
        Context::Progress => {
            model.notice = told("Asked to stop. Ctrl-C again leaves when the outcome has arrived.");
            execution::stop(model)
        }
        Context::Planning | Context::Confirm => {
            model.notice = told("Cancelled. Ctrl-C again leaves.");
            rollback::cancel(model)
        }
        Context::Palette | Context::Help | Context::Prompt => {
            overlay::uncover(model);
            model.notice = told("Closed. Ctrl-C again leaves.");
            Vec::new()
        }
        _ => {
            let cancelled = cancel_reads(model);
            let text = match cancelled.is_empty() {
                true => "Nothing is being done. Ctrl-C again leaves.".to_owned(),
                false => format!(
                    "Reading was cancelled; {} reads everything anew. Ctrl-C again leaves.",
                    model.key_for(Action::Reload)
                ),
            };
            model.notice = Some(Notice::Info(text));
            cancelled
        }
    }
}

/// Cancels what is being read; what is there stays.
pub(super) fn cancel_reads(model: &mut Model) -> Vec<Effect> {
    let is_counted = model.tables.rows(model.head).is_some();
    let counts = model.tables.counts_wanted.take().filter(|_| !is_counted);
    let (rows, whole) = match &mut model.tables.grid {
        Some(grid) => {
            let wanted = (grid.wanted, grid.whole_wanted.take());
            grid.give_up();
            wanted
        }
        None => (None, None),
    };
    let (row, life, naming) = match &mut model.row {
        Some(row) => (
            row.wanted.take(),
            row.life_wanted.take(),
            row.named_by_wanted.take(),
        ),
        None => (None, None, None),
    };
    let timeline = &mut model.timeline;
    timeline.paused = true;
    let matches = timeline.matches.filter(|matches| !matches.is_all);
    if matches.is_some() {
        timeline.matches = None;
    }
    let is_verifying = matches!(model.audit.verification, Verification::Running { .. });
    if is_verifying {
        model.audit.verification = Verification::Unknown;
    }
    [
        (model.overview_wanted.take().is_some(), Slot::Overview),
        (timeline.wanted.take().is_some(), Slot::Page),
        (matches.is_some(), Slot::Matches),
        (timeline.strip_wanted.take().is_some(), Slot::Strip),
        (timeline.locate_wanted.take().is_some(), Slot::Locate),
        (timeline.detail_wanted.take().is_some(), Slot::Detail),
        (model.tables.wanted.take().is_some(), Slot::Tables),
        (counts.is_some(), Slot::Counts),
        (rows.is_some(), Slot::Rows),
        (whole.is_some(), Slot::WholeRow),
        (row.is_some(), Slot::Row),
        (life.is_some(), Slot::Life),
        (naming.is_some(), Slot::NamedBy),
        (is_verifying, Slot::Verification),
        (model.audit.activity_wanted.take().is_some(), Slot::Activity),
        (model.audit.export_wanted.take().is_some(), Slot::Export),
    ]
    .into_iter()
    .filter_map(|(is_read, slot)| is_read.then_some(Effect::Cancel(slot)))
    .collect()
}
