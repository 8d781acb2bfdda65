//! The header, the screens' names, what there is to tell, and the footer.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::{Look, put, put_page};
use crate::eventsourcing::rollback::RollbackPlan;
use crate::text::{clipped, count, fitted, visible, width, wrapped};
use crate::tui::keymap::{Action, Binding, Context};
use crate::tui::model::{Asked, Model, Overlay, Rollback, Screen, Stage};
use crate::tui::pages::{self, Tone};

/// Cells of the database's name that the header shows before it leaves out counts.
const NAME: usize = 20;

/// Cells of a preview's filter beside its place.
const FILTER: usize = 8;

pub(super) fn draw_header(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let info = &model.info;
    let head = model
        .head
        .map_or_else(|| "…".to_owned(), |head| format!("#{head}"));
    // A rollback is of the database as it is now, whatever is looked at elsewhere.
    let is_of_now = model.screen == Screen::Rollback && model.rollback.is_some();
    let shown = match model.position.filter(|_| !is_of_now) {
        Some(position) => format!("PAST #{} of {head}", position.after),
        None => format!("LIVE {head}"),
    };
    let mut badges = String::new();
    if model.production {
        badges.push_str("  PRODUCTION");
    }
    if info.read_only.is_some() {
        badges.push_str("  READ-ONLY");
    }
    if model.connection.lost > 0 {
        badges.push_str("  CONNECTION LOST");
    }
    let unknown = || "…".to_owned();
    let events = model.events.map(|events| count(events, "event", "events"));
    let rows = model.tables.rows(model.head).map(|(rows, is_estimated)| {
        let about = if is_estimated { "~" } else { "" };
        format!("{about}{}", count(rows, "row", "rows"))
    });
    let (events, rows) = (events.unwrap_or_else(unknown), rows.unwrap_or_else(unknown));
    let counts = match is_of_now && model.position.is_some() {
        // Where the past is looked at elsewhere, its rows have been counted, and not those of now.
        true => vec![format!("{events} "), String::new()],
        false => vec![
            format!("{events} · {rows} "),
            format!("{rows} "),
            String::new(),
        ],
    };
    let name = visible(&pages::database_name(info));
    // Which database it is and whether it can be written matter more than the counts, and stay where there is no room.
    let state = format!("  {}  {shown}{badges}", info.backend.as_str());
    let columns = usize::from(area.width);
    let room =
        |right: &str| columns.saturating_sub(width(" ebb  ") + width(&state) + width(right) + 1);
    let enough = width(&name).min(NAME);
    let right = counts.iter().find(|right| room(right) >= enough);
    let right = right.map_or("", String::as_str);
    let left = format!(" ebb  {}{state}", clipped(&name, room(right).clamp(4, 30)));
    let left = fitted(&left, columns.saturating_sub(width(right) + 1));
    put(buffer, area, 0, &format!("{left} {right}"), look.bar());
}

pub(super) fn draw_tabs(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let mut text = String::from(" ");
    for (_, name, _) in pages::tabs(model) {
        text.push_str(&name);
    }
    if let Some(rollback) = model
        .rollback
        .as_ref()
        .filter(|_| model.screen == Screen::Rollback)
    {
        let stage = match rollback.stage {
            Stage::Planning | Stage::Preview => "Preview",
            Stage::Confirm { .. } => "Confirm",
            Stage::Running { .. } => "Progress",
            Stage::Result(_) => "Result",
        };
        text.push_str(&format!(" {stage}"));
    }
    let place = match (&model.row, model.screen) {
        // Which row it is, where its title is out of sight.
        (Some(row), Screen::Row) if row.top > 0 => {
            let past = model.position.map_or_else(String::new, |position| {
                format!("· after #{} ", position.after)
            });
            let short = format!(
                "{} {} ",
                visible(&row.key.table),
                &row.key.uuid.to_string()[..8]
            );
            vec![
                format!("{} {past}", visible(&row.key.to_string())),
                format!("{short}{past}"),
                short,
            ]
        }
        _ => place_in_page(model),
    };
    let news = model.cell.as_ref().and_then(|cell| cell.news);
    let (notes, tone) = match (news, model.position) {
        _ if model.is_read_anew() => (vec!["reading… ".to_owned()], Tone::Strong),
        (Some(news), _) => (pages::cell_news(model, news), Tone::Warning),
        // In a plan where one is matters more; the header says PAST.
        (None, Some(position)) if place.is_empty() && model.screen != Screen::Rollback => {
            let key = model.key_for(Action::Now);
            let back = match key.is_empty() {
                true => String::new(),
                false => format!(" · {key}: now"),
            };
            let long = format!(
                "as after #{}, {}{back} ",
                position.after,
                position.moment.format("%Y-%m-%d %H:%M:%S")
            );
            // Which event it is stands in the header.
            let middle = format!("{}{back} ", position.moment.format("%m-%d %H:%M"));
            let short = format!("after #{}{back} ", position.after);
            let past = format!("past{back} ");
            (vec![long, middle, short, past], Tone::Warning)
        }
        _ if !place.is_empty() => (place, Tone::Faint),
        _ => (arrivals(model), Tone::Warning),
    };
    let room = usize::from(area.width).saturating_sub(width(&text) + 1);
    let note = notes.into_iter().find(|note| width(note) <= room);
    let note = note.unwrap_or_default();
    let room = usize::from(area.width).saturating_sub(width(&note));
    put(
        buffer,
        area,
        1,
        &fitted(&text, room),
        look.style(Tone::Strong),
    );
    let right = Rect {
        x: area.x + u16::try_from(room).unwrap_or(area.width).min(area.width),
        width: u16::try_from(width(&note)).unwrap_or(0).min(area.width),
        ..area
    };
    put(buffer, right, 1, &note, look.style(tone));
}

/// What has come that one has not seen, or that the cursor goes with it.
fn arrivals(model: &Model) -> Vec<String> {
    if model.screen != Screen::Timeline {
        return Vec::new();
    }
    let timeline = &model.timeline;
    if timeline.has_failed_to_follow() {
        let key = model.key_for(Action::Reload);
        return vec![
            format!("not read: {key} tries again "),
            "not read ".to_owned(),
        ];
    }
    match (timeline.follows, model.unseen()) {
        (true, _) => vec!["following new events ".to_owned(), "following ".to_owned()],
        (false, 0) => Vec::new(),
        (false, events) => vec![
            format!("↑ {} above ", count(events, "new event", "new events")),
            format!("↑ {events} new "),
        ],
    }
}

/// Where one is in a page that is longer than the screen: in words that need less and less room.
fn place_in_page(model: &Model) -> Vec<String> {
    let (width, height) = (model.size.page_width(), model.size.content());
    let of = |top: usize, lines: usize| match lines > height {
        true => {
            let last = (top + height).min(lines);
            vec![
                format!("lines {}–{last} of {lines} ", top + 1),
                format!("{}–{last} of {lines} ", top + 1),
                format!("{}% ", 100 * last / lines),
            ]
        }
        false => Vec::new(),
    };
    match &model.overlay {
        Some(Overlay::Change { top }) => return of(*top, pages::change_whole(model, width).len()),
        Some(Overlay::Failure { top }) => return of(*top, pages::failure(model, width).len()),
        _ => {}
    }
    match (model.context_below(), &model.rollback) {
        (Context::Preview, Some(rollback)) => {
            let places = of(rollback.top, pages::rollback_length(model, width));
            match rollback.filter.is_empty() {
                true => places,
                // Scrolled, one would take what is left for everything.
                false => {
                    let only = format!("/{}", clipped(&visible(&rollback.filter), FILTER));
                    let mut with = places
                        .into_iter()
                        .map(|place| format!("{only} {place}"))
                        .collect::<Vec<_>>();
                    with.push(format!("{only} "));
                    with
                }
            }
        }
        (Context::Audit, _) => of(model.audit.top, pages::audit(model, width).len()),
        (Context::Event, _) => {
            let top = model.timeline.opened.unwrap_or_default();
            of(top, pages::event(model, width, true).len())
        }
        _ => Vec::new(),
    }
}

/// What there is to tell, over the footer and, where it needs more lines, the last ones of the content.
pub(super) fn draw_notice(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let Some(notice) = &model.notice else {
        return;
    };
    let lines = pages::notice(model, notice, model.size.page_width());
    let height = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .min(area.height / 2);
    let place = Rect {
        y: area.bottom().saturating_sub(height),
        height,
        ..area
    };
    Clear.render(place, buffer);
    let inside = Rect {
        x: place.x + 1,
        width: place.width.saturating_sub(2),
        ..place
    };
    put_page(buffer, inside, &lines, 0, look);
}

/// Whether an action has anything to act on here.
fn does_something(action: Action, model: &Model) -> bool {
    let asked = model.rollback.as_ref().map(|rollback| rollback.asked);
    match action {
        Action::ToggleBoundary => matches!(asked, Some(Asked::To { .. })),
        Action::ToggleScope => {
            let scopes = model.rollback.as_ref().map(|one| one.scopes().len());
            scopes > Some(1)
        }
        Action::ToggleStrategy => {
            let plan = model.rollback.as_ref().and_then(|one| one.plan.as_ref());
            plan.is_some_and(RollbackPlan::takes_back_everything)
        }
        Action::Proceed => {
            let plan = model.rollback.as_ref().and_then(|one| one.plan.as_ref());
            let can = plan.is_some_and(|plan| plan.blockers.is_empty() && !plan.is_empty());
            let is_idle = model
                .rollback
                .as_ref()
                .is_some_and(Rollback::changes_nothing);
            can && !is_idle && model.info.read_only.is_none()
        }
        Action::Complete => !pages::suggestions(model).is_empty(),
        Action::Open | Action::History | Action::TimeTravel | Action::RollBack
            if model.context() == Context::Timeline =>
        {
            model.timeline.selected().is_some()
        }
        Action::GoToBlocker => {
            let plan = model.rollback.as_ref().and_then(|one| one.plan.as_ref());
            plan.is_some_and(|plan| !plan.blockers.is_empty())
        }
        Action::ToggleConflicts => {
            let rollback = model.rollback.as_ref();
            rollback.is_some_and(Rollback::meets_conflicts)
        }
        Action::ToggleLoss => {
            let rollback = model.rollback.as_ref();
            rollback.is_some_and(Rollback::meets_losses)
        }
        Action::Plot => model.cell.as_ref().is_some_and(|cell| cell.plot.is_some()),
        Action::Undo => model.info.read_only.is_none() && asked != Some(Asked::Undo),
        Action::Redo => model.info.read_only.is_none() && asked == Some(Asked::Undo),
        _ => true,
    }
}

/// The keys that a newcomer needs, as many as there is room for; help and the way out always.
pub(super) fn draw_footer(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let context = model.context();
    let last = usize::from(area.height).saturating_sub(1);
    let mut text = String::from(" ");
    if context == Context::Confirm {
        text.push_str(match model.production {
            true => "type the id and the name, then Enter  ·  Enter alone or Esc: cancel",
            false => "type the id, then Enter  ·  Enter alone or Esc: cancel",
        });
    } else {
        let is_kept = |binding: &Binding| {
            use Action::{Back, Clear, Help, Quit, Stop};
            // The way out of what one may be afraid of is never left out.
            let is_plan = matches!(context, Context::Preview | Context::Planning);
            matches!(binding.action, Help | Quit | Stop)
                || (binding.action == Back && model.overlay.is_some())
                || (matches!(binding.action, Back | Clear) && is_plan)
        };
        let hint = |(binding, keys): (&'static Binding, &[_])| {
            let key: Option<&crate::tui::keymap::Key> = keys.first();
            key.map(|key| {
                (
                    is_kept(binding),
                    format!("{} {}", key.name(), binding.words),
                )
            })
        };
        let here = model.keymap.bindings(context);
        let hinted =
            here.filter(|(binding, _)| binding.hinted && does_something(binding.action, model));
        let hints: Vec<(bool, String)> = hinted.filter_map(hint).collect();
        let kept = hints.iter().filter(|(kept, _)| *kept);
        let needed: usize = kept.map(|(_, hint)| width(hint) + 2).sum();
        let mut room = usize::from(area.width).saturating_sub(1 + needed);
        for (kept, hint) in &hints {
            if *kept || width(hint) + 2 <= room {
                text.push_str(hint);
                text.push_str("  ");
            }
            if !kept {
                room = room.saturating_sub(width(hint) + 2);
            }
        }
    }
    let text = fitted(text.trim_end(), usize::from(area.width));
    put(buffer, area, last, &text, look.bar());
}

/// The line that is typed into, at the foot of the screen, with what is wrong with it or may stand in it above.
pub(super) fn draw_prompt(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let Some(Overlay::Prompt(prompt)) = &model.overlay else {
        return;
    };
    let (label, may) = pages::prompt_label(model, prompt.purpose);
    let columns = usize::from(area.width);
    let foot = |lines: u16| Rect {
        y: area.bottom().saturating_sub(1 + lines),
        height: lines,
        ..area
    };
    let (text, tone) = match &prompt.refusal {
        Some(refusal) => (visible(refusal), Tone::Warning),
        None => {
            let (offers, chosen) = match prompt.just_completed() {
                Some(last) => (last.offers.clone(), Some(last.at)),
                None => (pages::suggestions(model), prompt.chosen),
            };
            let offers = offers
                .iter()
                .enumerate()
                .map(|(at, offer)| match chosen == Some(at) {
                    true => format!("[{}]", offer.trim()),
                    false => format!(" {} ", offer.trim()),
                });
            let offers: Vec<String> = offers.collect();
            match offers.is_empty() {
                true => (may, Tone::Faint),
                false => (visible(&offers.join(" ")), Tone::Plain),
            }
        }
    };
    // What is wrong is told in full.
    let told = match prompt.refusal {
        Some(_) => wrapped(&text, columns.saturating_sub(2).max(1)),
        None => vec![text],
    };
    let told: Vec<String> = told
        .into_iter()
        .take(usize::from(area.height / 2))
        .collect();
    let lines = u16::try_from(told.len()).unwrap_or(1);
    let whole = foot(lines + 1);
    Clear.render(whole, buffer);
    for (at, text) in told.iter().enumerate() {
        put(buffer, whole, at, &format!(" {text}"), look.style(tone));
    }
    let above = foot(1);
    let label = format!(" {label}: ");
    let room = columns.saturating_sub(width(&label) + 1);
    let (shown, cursor) = pages::field_window(&prompt.field, room);
    put(
        buffer,
        above,
        0,
        &format!("{label}{shown}"),
        look.style(Tone::Strong),
    );
    let at = width(&label) + cursor;
    if let Ok(at) = u16::try_from(at)
        && at < area.width
    {
        buffer[(area.x + at, above.y)].set_style(look.bar());
    }
}
