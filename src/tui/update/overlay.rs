//! What lies over a screen: the keys, the commands by name, and lines that are typed into.

use super::super::effect::Effect;
use super::super::field::Field;
use super::super::keymap::{Action, Key};
use super::super::model::{Completed, Model, Notice, Overlay, Prompt, Purpose};
use super::super::pages::{self, Command};
use super::{
    act, audit, cell, moved, preview, rollback, row_pages, scroll_page, searching, tables,
    whole_log,
};
use crate::eventsourcing::timeline::Filter;

/// A key where text is typed.
pub(super) fn typed(model: &mut Model, action: Option<Action>, key: Key) -> Vec<Effect> {
    match &model.overlay {
        Some(Overlay::Help { .. }) => help(model, action, key),
        Some(Overlay::Palette { .. }) => palette(model, action, key),
        Some(Overlay::Prompt(_)) => prompt(model, action, key),
        _ => Vec::new(),
    }
}

/// Text that was pasted where text is typed.
pub(super) fn pasted(model: &mut Model, text: &str) -> Vec<Effect> {
    match &mut model.overlay {
        Some(Overlay::Help { field, .. } | Overlay::Palette { field, .. }) => {
            field.paste(text);
            Vec::new()
        }
        Some(Overlay::Prompt(prompt)) => {
            prompt.field.paste(text);
            changed(model)
        }
        _ => Vec::new(),
    }
}

/// What lies under the help or the palette is there again.
pub(super) fn uncover(model: &mut Model) {
    model.overlay = model.covered.take();
}

pub(super) fn open_help(model: &mut Model) {
    model.covered = model.overlay.take();
    model.overlay = Some(Overlay::Help {
        field: Field::default(),
        top: 0,
    });
}

pub(super) fn open_palette(model: &mut Model) {
    model.covered = model.overlay.take();
    model.overlay = Some(Overlay::Palette {
        field: Field::default(),
        cursor: 0,
    });
}

/// Opens the line of the place where one is.
pub(super) fn open_prompt(model: &mut Model, purpose: Purpose) -> Vec<Effect> {
    let text = match purpose {
        Purpose::Events => model.timeline.filter_text.clone(),
        Purpose::Tables => model.tables.filter.clone(),
        Purpose::Rows => {
            let grid = model.tables.grid.as_ref();
            grid.map(|grid| grid.filter.clone()).unwrap_or_default()
        }
        Purpose::Changes => {
            let rollback = model.rollback.as_ref();
            rollback.map(|one| one.filter.clone()).unwrap_or_default()
        }
        Purpose::Reason => {
            let rollback = model.rollback.as_ref();
            let reason = rollback.and_then(|one| one.reason.clone());
            reason.unwrap_or_default()
        }
        // Another text is searched for, or with none the one before.
        Purpose::Search => String::new(),
        Purpose::Export => audit::suggested_file(model),
    };
    let mut prompt = Prompt::new(purpose, &text);
    prompt.began_at = model.timeline.selected().map(|entry| entry.event.id);
    // One goes on writing a filter after a blank.
    if purpose == Purpose::Events && !text.is_empty() {
        prompt.field = Field::with(&format!("{} ", text.trim_end()));
    }
    model.overlay = Some(Overlay::Prompt(prompt));
    match purpose {
        // Who has ever written anything is what may be typed.
        Purpose::Events => audit::shown(model),
        _ => Vec::new(),
    }
}

fn help(model: &mut Model, action: Option<Action>, key: Key) -> Vec<Effect> {
    let lines = pages::help(model).len();
    let height = model.size.content().saturating_sub(1);
    let Some(Overlay::Help { field, top }) = &mut model.overlay else {
        return Vec::new();
    };
    match action {
        Some(Action::Back) => uncover(model),
        Some(action) => *top = scroll_page(*top, lines, height, action),
        None => {
            if field.press(key) {
                *top = 0;
            }
        }
    }
    Vec::new()
}

fn palette(model: &mut Model, action: Option<Action>, key: Key) -> Vec<Effect> {
    let commands = pages::commands(model);
    let height = model.size.content().saturating_sub(1);
    let Some(Overlay::Palette { field, cursor }) = &mut model.overlay else {
        return Vec::new();
    };
    match action {
        Some(Action::Back) => uncover(model),
        Some(Action::Accept) => {
            // What names nothing stays, to be mended.
            if let Some(command) = commands.get(*cursor).cloned() {
                uncover(model);
                return run(model, command);
            }
        }
        Some(action) => *cursor = moved(action, *cursor, commands.len(), height),
        None => {
            field.press(key);
            *cursor = 0;
        }
    }
    Vec::new()
}

fn run(model: &mut Model, command: Command) -> Vec<Effect> {
    match command {
        Command::GoToEvent(id) => whole_log::go_to_event(model, id),
        Command::GoToMoment(moment) => {
            let request = model.next_request();
            model.timeline.locate_wanted = Some(request);
            vec![Effect::Locate(request, moment)]
        }
        Command::Do {
            name,
            elsewhere: Some(place),
            ..
        } => {
            let text = format!(
                "\"{name}\" is a command of {}: it cannot be done here.",
                place.words()
            );
            model.notice = Some(Notice::Info(text));
            Vec::new()
        }
        Command::Do { action, .. } => act(model, action),
    }
}

fn prompt(model: &mut Model, action: Option<Action>, key: Key) -> Vec<Effect> {
    let suggestions = pages::suggestions(model);
    let Some(Overlay::Prompt(prompt)) = &mut model.overlay else {
        return Vec::new();
    };
    let count = suggestions.len();
    match action {
        Some(Action::Back) => {
            let before = prompt.before.clone();
            prompt.field = Field::with(&before);
            let effects = changed(model);
            model.overlay = None;
            effects
        }
        Some(Action::Down) if count > 0 => {
            prompt.chosen = Some(prompt.chosen.map_or(0, |at| (at + 1) % count));
            Vec::new()
        }
        Some(Action::Up) if count > 0 => {
            prompt.chosen = Some(
                prompt
                    .chosen
                    .map_or(count - 1, |at| (at + count - 1) % count),
            );
            Vec::new()
        }
        Some(Action::Complete) => complete(model, &suggestions, None),
        Some(Action::Accept) if prompt.chosen.is_some() => {
            let chosen = prompt.chosen;
            complete(model, &suggestions, chosen)
        }
        Some(Action::Accept) => accept(model),
        Some(_) => Vec::new(),
        None => {
            prompt.chosen = None;
            match prompt.field.press(key) {
                true => changed(model),
                false => Vec::new(),
            }
        }
    }
}

fn complete(model: &mut Model, suggestions: &[String], chosen: Option<usize>) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &mut model.overlay else {
        return Vec::new();
    };
    let chosen = chosen.or(prompt.chosen);
    let next = match (chosen, prompt.just_completed()) {
        (None, Some(last)) => Completed {
            at: (last.at + 1) % last.offers.len(),
            ..last.clone()
        },
        _ => Completed {
            from: pages::suggestion_begins(prompt),
            offers: suggestions.to_vec(),
            at: chosen.unwrap_or(0),
            text: String::new(),
        },
    };
    let Some(suggestion) = next.offers.get(next.at) else {
        return Vec::new();
    };
    prompt.field.complete(next.from, suggestion);
    prompt.chosen = None;
    prompt.completed = Some(Completed {
        text: prompt.field.text().to_owned(),
        ..next
    });
    changed(model)
}

/// Takes what is typed; what is wrong with it stays to be mended.
fn accept(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &model.overlay else {
        return Vec::new();
    };
    if prompt.refusal.is_some() {
        return Vec::new();
    }
    let (purpose, text) = (prompt.purpose, prompt.field.text().trim().to_owned());
    model.overlay = None;
    match purpose {
        Purpose::Export => audit::export(model, &text),
        Purpose::Search => cell::search_for(model, &text),
        Purpose::Reason => {
            rollback::give_reason(model, &text);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// What is typed takes effect at once, as far as it means something.
fn changed(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &model.overlay else {
        return Vec::new();
    };
    let (purpose, text) = (prompt.purpose, prompt.field.text().to_owned());
    let began_at = prompt.began_at;
    let result = match purpose {
        Purpose::Events => Filter::parse(&text).map(|filter| {
            model.timeline.filter_text = text.trim().to_owned();
            searching::show_only(model, filter, began_at)
        }),
        Purpose::Rows => row_pages::show_only(model, &text),
        Purpose::Tables => {
            tables::list_only(model, &text);
            Ok(Vec::new())
        }
        Purpose::Changes => Ok(preview::show_only(model, &text)),
        Purpose::Reason | Purpose::Search | Purpose::Export => Ok(Vec::new()),
    };
    let (effects, refusal) = match result {
        Ok(effects) => (effects, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    if let Some(Overlay::Prompt(prompt)) = &mut model.overlay {
        prompt.refusal = refusal.map(|error| match error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message,
        });
    }
    effects
}

/// The wheel over the keys or the commands.
pub(super) fn scrolled(model: &mut Model, action: Action, lines: u16) -> Vec<Effect> {
    let key = Key::F(0);
    (0..lines)
        .flat_map(|_| typed(model, Some(action), key))
        .collect()
}
