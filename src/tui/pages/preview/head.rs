//! What stands above the rows of a plan: what is in the way, what would happen in words, the choices, and the counts.

use crate::eventsourcing::rollback::{
    Choice, Conflicts, Purpose, RollbackPlan, Strategy, TableCounts,
};
use crate::eventsourcing::{ErrorCode, timestamp};
use crate::text::{clipped, count, fitted, visible, width as cells};
use crate::tui::keymap::{Action, Context};
use crate::tui::model::{Asked, Model, Rollback, Stage};
use crate::tui::pages::{Line, Tone, line, paragraph};

/// What stands in the way, what would happen in words, the choices, and the counts.
pub(super) fn head(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
) -> Vec<Line> {
    let mut lines = notes(model, rollback, plan, width);
    let mut blockers = blockers(model, rollback, plan, width).into_iter();
    lines.extend(blockers.by_ref().take(FIRST_BLOCKERS).flatten());
    let others = plan.blockers.len().saturating_sub(FIRST_BLOCKERS);
    if others > 0 {
        let text = format!("In the way: {others} more, told below the counts.");
        lines.extend(paragraph(Tone::Warning, &text, width));
    }
    let warnings = plan.warnings();
    for (at, sentence) in plan.sentences(&model.info.name).iter().enumerate() {
        let tone = match (warnings.contains(sentence), at) {
            (true, _) => Tone::Warning,
            (false, 0) => Tone::Strong,
            (false, _) => Tone::Plain,
        };
        lines.extend(paragraph(tone, sentence, width));
    }
    // While another plan is made these would be of that one, and the rest of the one before.
    if !matches!(rollback.stage, Stage::Planning) {
        lines.extend(choices(model, rollback, plan, width));
    }
    if !rollback.filter.is_empty() {
        let found = match (&rollback.shown, rollback.shown_wanted) {
            (_, Some(_)) => "searching…".to_owned(),
            (Some(shown), None) => {
                let all = count(plan.changes.len() as u64, "row", "rows");
                format!("{} of {all}", shown.places.len())
            }
            (None, None) => "not searched".to_owned(),
        };
        let text = format!(
            "/  shown below, of what is changed: {found} with \"{}\"",
            visible(&rollback.filter)
        );
        lines.push(line(Tone::Changed, clipped(&text, width)));
    }
    lines.push(line(Tone::Plain, ""));
    lines.extend(counts(plan, width));
    if others > 0 {
        lines.push(line(Tone::Plain, ""));
        lines.extend(blockers.flatten());
    }
    lines
}

/// Blockers that stand above everything else: more would push what the rollback is out of sight.
const FIRST_BLOCKERS: usize = 3;

/// The lines of each thing in the way.
fn blockers(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
) -> Vec<Vec<Line>> {
    let several = plan.blockers.len() > 1;
    let mut all = Vec::new();
    for (at, blocker) in plan.blockers.iter().enumerate() {
        let next = match several && at == rollback.next_blocker {
            true => format!(
                " (the next that {} goes to)",
                model.key_for(Action::GoToBlocker)
            ),
            false => String::new(),
        };
        let chosen_by = match blocker.choice() {
            Some(Choice::Conflicts) => {
                format!(" ({} chooses)", model.key_for(Action::ToggleConflicts))
            }
            Some(Choice::Loss) => format!(" ({} allows it)", model.key_for(Action::ToggleLoss)),
            None => String::new(),
        };
        all.push(
            paragraph(
                Tone::Warning,
                &format!("In the way{next}: {}{chosen_by}", blocker.message),
                width,
            )
            .collect(),
        );
    }
    all
}

/// What goes, comes back and changes of each table.
fn counts(plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let widest = |of: &dyn Fn(&TableCounts) -> String| {
        plan.tables
            .iter()
            .map(|counts| cells(&of(counts)))
            .max()
            .unwrap_or_default()
    };
    let names = widest(&|counts| visible(&counts.table)).min(width / 2);
    let removed = widest(&|counts| counts.removed.to_string());
    let brought_back = widest(&|counts| counts.brought_back.to_string());
    let changed = widest(&|counts| counts.changed.to_string());
    let row = |counts: &TableCounts| {
        let text = format!(
            "{}  {:>removed$} removed  {:>brought_back$} brought back  {:>changed$} changed",
            fitted(&visible(&counts.table), names),
            counts.removed,
            counts.brought_back,
            counts.changed
        );
        line(Tone::Plain, text)
    };
    plan.tables.iter().map(row).collect()
}

/// That the log has gone on since the plan, where it has.
pub(super) fn stale(model: &Model, plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let told = model.head.filter(|head| *head > plan.head).map(|head| {
        let anew = model.keymap.key_for(Context::Preview, Action::Reload);
        format!(
            "The log has gone on to #{head} since this plan, which knows it to #{}: it would be refused as stale. {anew} makes it anew.",
            plan.head
        )
    });
    told.map_or_else(Vec::new, |text| {
        paragraph(Tone::Warning, &text, width).collect()
    })
}

/// What one has to know before anything else: of the try before, and of what has happened since the plan.
fn notes(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let mut notes = Vec::new();
    let mut lines = match rollback.failed {
        Some(_) => Vec::new(),
        None => stale(model, plan, width),
    };
    if let Some(failed) = &rollback.failed {
        let error = &failed.error;
        notes.push(match error.code {
            ErrorCode::Stopped => "It was stopped, as you asked.".to_owned(),
            _ => format!("It was not done: {}.", error.message),
        });
        if let Some(hint) = error
            .hint
            .as_ref()
            .filter(|_| error.code != ErrorCode::Stopped)
        {
            notes.push(format!("What to do: {hint}."));
        }
        notes.push(match failed.head {
            None => "Whether anything was written is seen when the log has been looked at again…".to_owned(),
            Some(head) if head == plan.head => {
                format!("Nothing was written: the log still ends at #{head}.")
            }
            Some(head) => format!(
                "The log has gone on to #{head}: look there (1) whether it is among what was written. {} makes the plan anew.",
                model.keymap.key_for(Context::Preview, Action::Reload)
            ),
        });
    }
    if let (Purpose::Undo(id) | Purpose::Redo(id), Some(expected)) =
        (plan.purpose, rollback.expected)
        && id != expected
    {
        let redone = model.history.rollback(expected);
        notes.push(match redone.is_some_and(|redo| model.history.is_redo_of(redo, id)) {
            true => format!("Redo #{expected} has made #{id} effective again: it is taken back with its redo."),
            false => format!(
                "This is another one than #{expected}, which you were looking at: #{id} is the latest in effect now."
            ),
        });
    }
    if let Purpose::Undo(id) | Purpose::Redo(id) = plan.purpose
        && let Some(made) = model.history.rollback(id)
    {
        let when = timestamp::format_without_zone(made.timestamp).replace('T', " ");
        let by = match made.actor.is_empty() {
            true => String::new(),
            false => format!(" by {}", made.actor),
        };
        let why = made
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(" ({reason})"));
        notes.push(format!("#{id} was made{by}, {} UTC{why}.", &when[..19]));
    }
    if rollback.changes_nothing() {
        notes.push("It is so already: nothing would change.".to_owned());
    } else if !plan.is_empty() && plan.changes.is_empty() && plan.blockers.is_empty() {
        notes.push("No row would change: what is undone has been set again since.".to_owned());
    }
    let notes = notes
        .iter()
        .flat_map(|note| paragraph(Tone::Warning, note, width));
    lines.extend(notes);
    lines
}

/// What the keys for the boundary and the strategy have chosen, and what they would choose.
fn choices(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut choice = |action, words: String, next: String| {
        let key = model.keymap.key_for(Context::Preview, action);
        let text = format!("{key}  {words} ({key}: {next})");
        lines.extend(paragraph(Tone::Faint, &text, width));
    };
    if let Asked::To { event, keep } = rollback.asked {
        let (now, other) = match keep {
            true => ("kept", "undone"),
            false => ("undone", "kept"),
        };
        choice(
            Action::ToggleBoundary,
            format!("boundary: #{event} is {now}"),
            other.to_owned(),
        );
    }
    let scopes = rollback.scopes();
    if scopes.len() > 1 {
        let at = scopes.iter().position(|scope| *scope == rollback.scope);
        let next = at.and_then(|at| scopes.get(at + 1)).unwrap_or(&scopes[0]);
        choice(
            Action::ToggleScope,
            format!("scope: {}", rollback.scope),
            next.to_string(),
        );
    }
    if rollback.meets_conflicts() {
        let words = |conflicts| match conflicts {
            None => "refused",
            Some(Conflicts::Ours) => "later values stay (ours)",
            Some(Conflicts::Theirs) => "earlier ones come back (theirs)",
        };
        let next = match rollback.conflicts {
            None => Some(Conflicts::Ours),
            Some(Conflicts::Ours) => Some(Conflicts::Theirs),
            Some(Conflicts::Theirs) => None,
        };
        choice(
            Action::ToggleConflicts,
            format!(
                "where later events set the same: {}",
                words(rollback.conflicts)
            ),
            words(next).to_owned(),
        );
    }
    if rollback.meets_losses() {
        let (now, other) = match rollback.allow_loss {
            true => ("left in the log alone", "refused"),
            false => ("refused", "left in the log alone"),
        };
        choice(
            Action::ToggleLoss,
            format!("values without a place: {now}"),
            other.to_owned(),
        );
    }
    let (reason, other) = match &rollback.reason {
        Some(reason) => (format!("\"{reason}\""), "another"),
        None => ("none given".to_owned(), "say why"),
    };
    choice(
        Action::Reason,
        format!("reason: {reason}"),
        other.to_owned(),
    );
    let strategy = plan.strategy();
    if !plan.takes_back_everything() {
        return lines;
    }
    let appends = |strategy| match strategy {
        Strategy::Minimal => Some(plan.appends_minimal),
        Strategy::Replay => plan.appends_replay,
    };
    let counted = "being counted".to_owned();
    choice(
        Action::ToggleStrategy,
        format!(
            "strategy: {strategy}, {}",
            appends(strategy).map_or(counted.clone(), |events| count(events, "event", "events")),
        ),
        format!(
            "{}, {}",
            strategy.other(),
            appends(strategy.other()).map_or(counted, |events| events.to_string()),
        ),
    );
    lines
}
