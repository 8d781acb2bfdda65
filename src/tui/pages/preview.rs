//! What a rollback would do. A plan may change any number of rows and every key is answered at once, so of the rows
//! only the lines in sight are written.

use std::ops::Range;

use super::event::columns;
use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::rollback::Purpose;
use crate::eventsourcing::rollback::{
    ChangeEntry, Choice, Conflicts, RollbackPlan, RowAction, RowChange, Strategy,
};
use crate::eventsourcing::{ErrorCode, timestamp};
use crate::text::{clipped, count, fitted, visible, width as cells};
use crate::tui::keymap::{Action, Context};
use crate::tui::model::{Asked, Model, Rollback};

/// How many lines there are.
pub(super) fn length(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
) -> usize {
    head(model, rollback, plan, width).len() + lines_before(rollback, plan, shown(rollback, plan))
}

/// How many rows are shown.
fn shown(rollback: &Rollback, plan: &RollbackPlan) -> usize {
    match &rollback.shown {
        Some(shown) => shown.places.len(),
        // Until it is known which rows the filter shows, none are.
        None if !rollback.filter.is_empty() => 0,
        None => plan.changes.len(),
    }
}

/// What there is to say of a row that is shown, without its values.
fn entry<'a>(rollback: &Rollback, plan: &'a RollbackPlan, place: usize) -> Option<ChangeEntry<'a>> {
    let place = match &rollback.shown {
        Some(shown) => *shown.places.get(place)?,
        None => place,
    };
    plan.changes.entries_at(place..place + 1).next()
}

/// The lines at which the rows of another table begin, the counts at the top being the first.
#[must_use]
pub fn table_lines(model: &Model, width: usize) -> Vec<usize> {
    let Some(
        rollback @ Rollback {
            plan: Some(plan), ..
        },
    ) = &model.rollback
    else {
        return Vec::new();
    };
    let head = head(model, rollback, plan, width).len();
    let mut lines = vec![0];
    let mut before = None;
    for place in 0..shown(rollback, plan) {
        let table = entry(rollback, plan, place).map(|entry| entry.table);
        if table != before {
            // Without the empty line before the row.
            lines.push(head + lines_before(rollback, plan, place) + 1);
            before = table;
        }
    }
    lines
}

/// The rows of which lines are in sight, by their places in the plan.
pub(super) fn rows_in_sight(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
    sight: &Range<usize>,
) -> Range<usize> {
    let head = head(model, rollback, plan, width).len();
    rows_among(rollback, plan, head, sight)
}

/// The rows of which lines are among these, where they begin after so many lines. A plan may have a million rows: none but those are looked at.
fn rows_among(
    rollback: &Rollback,
    plan: &RollbackPlan,
    head: usize,
    sight: &Range<usize>,
) -> Range<usize> {
    let mut places = 0..shown(rollback, plan);
    let first_with = |line: usize| {
        let (mut low, mut high) = (0, places.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match head + lines_before(rollback, plan, middle + 1) > line {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    };
    let first = first_with(sight.start);
    let end = match sight.end > head {
        true => (first_with(sight.end - 1) + 1).min(places.end),
        false => first,
    };
    places.start = first;
    places.end = end.max(first);
    places
}

/// How many lines the rows before this place have.
fn lines_before(rollback: &Rollback, plan: &RollbackPlan, place: usize) -> usize {
    let columns = match &rollback.shown {
        Some(shown) => shown.columns_before.get(place).copied().unwrap_or_default(),
        None => plan.changes.columns_before(place),
    };
    2 * place + columns
}

/// The lines in sight.
pub(super) fn in_sight(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
    sight: &Range<usize>,
) -> Vec<Line> {
    let head = head(model, rollback, plan, width);
    let rows = rows_among(rollback, plan, head.len(), sight);
    let mut at = head.len() + lines_before(rollback, plan, rows.start);
    let mut lines: Vec<Line> = head.into_iter().take(sight.end).skip(sight.start).collect();
    for place in rows {
        let Some(entry) = entry(rollback, plan, place) else {
            break;
        };
        let next = at + lines_of(entry);
        let written = change(entry, rollback.rows.at(place), width);
        let seen = (at..next).zip(written).filter(|(at, _)| sight.contains(at));
        lines.extend(seen.map(|(_, line)| line));
        at = next;
    }
    lines
}

/// What stands in the way, what would happen in words, the choices, and the counts.
fn head(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let mut lines = notes(model, rollback, plan, width);
    let several = plan.blockers.len() > 1;
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
        lines.extend(paragraph(
            Tone::Warning,
            &format!("In the way{next}: {}{chosen_by}", blocker.message),
            width,
        ));
    }
    let mut sentences = plan.sentences(&model.info.name).into_iter();
    if let Some(first) = sentences.next() {
        let tone = if plan.later_events > 0 {
            Tone::Warning
        } else {
            Tone::Strong
        };
        lines.extend(paragraph(tone, &first, width));
    }
    for sentence in sentences {
        lines.extend(paragraph(Tone::Plain, &sentence, width));
    }
    lines.extend(choices(model, rollback, plan, width));
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
    let longest = plan
        .tables
        .iter()
        .map(|counts| cells(&counts.table))
        .max()
        .unwrap_or_default();
    for counts in &plan.tables {
        lines.push(line(
            Tone::Plain,
            format!(
                "{}  {:>4} removed  {:>4} brought back  {:>4} changed",
                fitted(&visible(&counts.table), longest.min(width / 2)),
                counts.removed,
                counts.brought_back,
                counts.changed
            ),
        ));
    }
    lines
}

/// What one has to know before anything else: of the try before, and of what has happened since the plan.
pub(super) fn notes(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
) -> Vec<Line> {
    let mut notes = Vec::new();
    let anew = model.keymap.key_for(Context::Preview, Action::Reload);
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
                "The log has gone on to #{head}: look there (1) whether it is among what was written. {anew} makes the plan anew."
            ),
        });
    } else if let Some(head) = model.head.filter(|head| *head > plan.head) {
        notes.push(format!(
            "The log has gone on to #{head} since this plan, which knows it to #{}: it would be refused as stale. {anew} makes it anew.",
            plan.head
        ));
    }
    if let (Purpose::Undo(id) | Purpose::Redo(id), Some(expected)) =
        (plan.purpose, rollback.expected)
        && id != expected
    {
        notes.push(format!(
            "This is another one than #{expected}, which you have just seen: #{id} is the latest in effect now."
        ));
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
    }
    let notes = notes
        .iter()
        .flat_map(|note| paragraph(Tone::Warning, note, width));
    notes.collect()
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
            Some(Conflicts::Ours) => "ours, later values stay",
            Some(Conflicts::Theirs) => "theirs, earlier come back",
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

/// How many lines [`change`] writes: an empty one, the row's, and one for each column.
fn lines_of(entry: ChangeEntry<'_>) -> usize {
    2 + entry.columns
}

/// A row, before and after, or room for it until it has been read.
fn change(entry: ChangeEntry<'_>, row: Option<&RowChange>, width: usize) -> Vec<Line> {
    let (tone, words) = match entry.action {
        RowAction::Remove => (Tone::Removed, "- remove"),
        RowAction::BringBack => (Tone::Added, "+ bring back"),
        RowAction::Change => (Tone::Changed, "~ change"),
    };
    let title = visible(&format!("{words} {}", entry.key()));
    let mut lines = vec![line(Tone::Plain, ""), line(tone, clipped(&title, width))];
    match row {
        Some(row) => {
            for mut column in columns(&row.columns, width.saturating_sub(4)) {
                column.text.insert_str(0, "    ");
                lines.push(column);
            }
        }
        None => lines.resize(lines_of(entry), line(Tone::Faint, "    …")),
    }
    lines
}
