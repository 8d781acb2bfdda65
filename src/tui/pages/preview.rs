//! What a rollback would do. A plan may change any number of rows and every key is answered at once, so of the rows
//! only the lines in sight are written.

use std::ops::Range;

use super::event::{columns, columns_whole};
use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::rollback::Purpose;
use crate::eventsourcing::rollback::{
    ChangeEntry, Choice, Conflicts, RollbackPlan, RowAction, RowChange, Strategy, TableCounts,
};
use crate::eventsourcing::{ErrorCode, RowKey, timestamp};
use crate::text::{clipped, count, fitted, visible, width as cells};
use crate::tui::keymap::{Action, Context};
use crate::tui::model::{Asked, Model, Rollback, Stage};

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

/// How many rows there are to be marked.
#[must_use]
pub fn rows_shown(model: &Model) -> usize {
    let rollback = model.rollback.as_ref();
    let plan = rollback.and_then(|rollback| rollback.plan.as_ref());
    rollback.zip(plan).map_or(0, |(one, plan)| shown(one, plan))
}

/// The row at this place among those that are shown.
#[must_use]
pub fn row_at(model: &Model, place: usize) -> Option<RowKey> {
    let rollback = model.rollback.as_ref()?;
    entry(rollback, rollback.plan.as_ref()?, place).map(|entry| entry.key())
}

/// The lines of the row at this place, without the empty one before it.
#[must_use]
pub fn lines_of_row(model: &Model, width: usize, place: usize) -> Range<usize> {
    let Some(
        rollback @ Rollback {
            plan: Some(plan), ..
        },
    ) = &model.rollback
    else {
        return 0..0;
    };
    let head = head(model, rollback, plan, width).len();
    let first = head + lines_before(rollback, plan, place) + 1;
    first..head + lines_before(rollback, plan, place + 1)
}

/// The first row of which the first line is in sight; where none is, the one whose lines are.
#[must_use]
pub fn first_row_in_sight(model: &Model, width: usize, height: usize) -> Option<usize> {
    let sight = super::rows_in_sight(model, width, height);
    let top = model.rollback.as_ref()?.top;
    let mut begun = sight.clone();
    let begins = begun.find(|place| lines_of_row(model, width, *place).start >= top);
    begins
        .or(sight.clone().next())
        .or((rows_shown(model) > 0).then_some(0))
}

/// What becomes of the row that is marked, with whole values.
#[must_use]
pub fn change_whole(model: &Model, width: usize) -> Vec<Line> {
    let found = model.rollback.as_ref().and_then(|rollback| {
        let place = rollback.marked?;
        let entry = entry(rollback, rollback.plan.as_ref()?, place)?;
        Some((entry, rollback.rows.at(place)))
    });
    let Some((entry, row)) = found else {
        return Vec::new();
    };
    let (tone, title) = title(entry);
    let mut lines: Vec<Line> = paragraph(tone, &title, width).collect();
    match row {
        Some(row) => lines.extend(columns_whole(&row.columns, width)),
        None => lines.push(line(Tone::Faint, "reading…")),
    }
    lines
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
        let is_marked = rollback.marked == Some(place);
        let written = change(entry, rollback.rows.at(place), is_marked, width);
        let seen = (at..next).zip(written).filter(|(at, _)| sight.contains(at));
        lines.extend(seen.map(|(_, line)| line));
        at = next;
    }
    lines
}

/// What stands in the way, what would happen in words, the choices, and the counts.
fn head(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
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
            "This is another one than #{expected}, which you were looking at: #{id} is the latest in effect now."
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

/// What becomes of a row, and which it is.
fn title(entry: ChangeEntry<'_>) -> (Tone, String) {
    let (tone, words) = match entry.action {
        RowAction::Remove => (Tone::Removed, "- remove"),
        RowAction::BringBack => (Tone::Added, "+ bring back"),
        RowAction::Change => (Tone::Changed, "~ change"),
    };
    (tone, visible(&format!("{words} {}", entry.key())))
}

/// A row, before and after, or room for it until it has been read.
fn change(
    entry: ChangeEntry<'_>,
    row: Option<&RowChange>,
    is_marked: bool,
    width: usize,
) -> Vec<Line> {
    let (tone, title) = title(entry);
    let (tone, title) = match is_marked {
        true => (Tone::Strong, format!("▌{title}")),
        false => (tone, title),
    };
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
