//! What lies over a screen: the keys, the commands by name, and suggestions.

use super::{Line, Tone, line};
use crate::eventsourcing::EventId;
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::filter::{KEYS, words};
use crate::eventsourcing::timestamp::{self, Timestamp};
use crate::text::{clipped, fitted, visible, wrapped};
use crate::tui::field::Field;
use crate::tui::keymap::{Action, Binding, Context, Key, is_field};
use crate::tui::model::{Model, Overlay, Prompt, Purpose};

/// Signs on the screens, and what they mean.
const SIGNS: [(&str, &str); 15] = [
    ("+ ~ -", "create, update, delete"),
    ("« »", "the two ends of a rollback"),
    ("=", "a row restored by a rollback"),
    ("┌ │ └", "events of one transaction"),
    ("•", "an event that came while you watch"),
    (
        "undone by #n",
        "a rollback that is in effect has undone the event",
    ),
    ("of #n", "a rollback wrote the event"),
    ("from #n", "the event that it repeats or restores"),
    ("∅", "no value (NULL)"),
    ("| before a column", "pinned: it stays in sight"),
    ("* after a value", "of the past: it is another one now"),
    (
        "~ before a number",
        "about so many: not counted yet, or before the latest events",
    ),
    (
        "▁▃█ above the events",
        "how much happened when, from the first event to the last; │ is the cursor",
    ),
    (
        "a burst ([ and ])",
        "events with less than half an hour between them",
    ),
    (
        "minimal, replay",
        "two ways to write a rollback; the tables become the same: minimal appends one event for each row that changes, replay deletes every living row and \
         appends every event that counts at the target again",
    ),
];

/// Cells of a key or a sign before its words.
const SIGN: usize = 26;

fn names(keys: &[Key]) -> String {
    let names: Vec<String> = keys.iter().map(|key| key.name()).collect();
    names.join(", ")
}

fn typed(model: &Model) -> String {
    match &model.overlay {
        Some(Overlay::Help { field, .. } | Overlay::Palette { field, .. }) => {
            field.text().trim().to_lowercase()
        }
        _ => String::new(),
    }
}

/// The keys of the place that the help was called from, and the signs: those lines in which everything is that is typed.
#[must_use]
pub fn help(model: &Model) -> Vec<Line> {
    let wanted = typed(model);
    let is_wanted = |text: &str| {
        let text = text.to_lowercase();
        wanted.split_whitespace().all(|word| text.contains(word))
    };
    let mut lines = Vec::new();
    let here = model.keymap.bindings(model.context_below());
    for (binding, keys) in here.filter(|(_, keys)| !keys.is_empty()) {
        let text = format!("  {} {}", fitted(&names(keys), SIGN), binding.words);
        if is_wanted(&format!("{text} {}", binding.name)) {
            lines.push(line(Tone::Plain, text));
        }
    }
    let signs = SIGNS.iter();
    let mut signs = signs
        .filter(|(sign, words)| is_wanted(&format!("{sign} {words}")))
        .peekable();
    if signs.peek().is_some() {
        lines.push(line(Tone::Plain, ""));
        lines.push(line(Tone::Strong, "Signs"));
    }
    for (sign, words) in signs {
        let room = model.size.page_width().saturating_sub(SIGN + 3).max(1);
        for (at, part) in wrapped(words, room).into_iter().enumerate() {
            let sign = if at == 0 { *sign } else { "" };
            lines.push(line(
                Tone::Plain,
                format!("  {} {part}", fitted(sign, SIGN)),
            ));
        }
    }
    if !wanted.is_empty() {
        lines.extend(elsewhere(model, &is_wanted));
    }
    if lines.is_empty() {
        lines.push(line(
            Tone::Faint,
            "  No key and no sign has to do with that.",
        ));
    }
    lines
}

/// That a key does nothing here, and what it does elsewhere; nothing to say of one that types no character.
#[must_use]
pub fn does_nothing(model: &Model, context: Context, key: Key) -> Option<String> {
    // Keys that only move do nothing where there is nowhere to go, and are not worth a word.
    let moves = matches!(
        key,
        Key::Up | Key::Down | Key::Left | Key::Right | Key::Home | Key::End
    );
    if moves || matches!(key, Key::PageUp | Key::PageDown | Key::Esc | Key::Backspace) {
        return None;
    }
    if context == Context::Planning {
        return Some(
            "The plan is being made: what it changes can be looked at when it is there.".to_owned(),
        );
    }
    let mut all = model.keymap.all();
    let elsewhere = all.find_map(|(binding, keys)| {
        let place = binding.contexts.first().filter(|_| keys.contains(&key))?;
        Some(format!(
            "{} does nothing here; in {} it is \"{}\".",
            key.name(),
            place.words(),
            binding.words
        ))
    });
    let help = model.keymap.key_for(context, Action::Help);
    let unknown = || format!("{} does nothing here; {help} shows what does.", key.name());
    Some(elsewhere.unwrap_or_else(unknown))
}

/// The keys of other places in which everything is that is typed.
fn elsewhere(model: &Model, is_wanted: &dyn Fn(&str) -> bool) -> Vec<Line> {
    let here = model.context_below();
    let others = model.keymap.all().filter_map(|(binding, keys)| {
        let place = binding.contexts.first().filter(|_| !binding.is_in(here))?;
        let is_told = !keys.is_empty() && !is_field(*place) && !is_for_keys_alone(binding);
        let text = format!(
            "  {} {}  (in {})",
            fitted(&names(keys), SIGN),
            binding.words,
            place.words()
        );
        (is_told && is_wanted(&format!("{text} {}", binding.name))).then_some(text)
    });
    let mut lines: Vec<Line> = others.map(|text| line(Tone::Faint, text)).collect();
    if !lines.is_empty() {
        lines.splice(
            0..0,
            [line(Tone::Plain, ""), line(Tone::Strong, "Elsewhere")],
        );
    }
    lines
}

/// Something that the palette does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Puts the cursor on an event.
    GoToEvent(EventId),
    /// Puts the cursor on the first event at a moment or later.
    GoToMoment(Timestamp),
    /// What a key does.
    Do {
        /// The action.
        action: Action,
        /// Its name.
        name: &'static str,
        /// What it does, in words.
        words: &'static str,
        /// The key.
        key: String,
        /// Where it can be done, if not here.
        elsewhere: Option<Context>,
    },
}

/// Moving the cursor needs no command.
fn is_for_keys_alone(binding: &Binding) -> bool {
    use Action::{Accept, Complete, Down, First, Last, Left, PageDown, PageUp, Palette, Right, Up};
    matches!(
        binding.action,
        Up | Down | Left | Right | PageUp | PageDown | First | Last | Palette | Accept | Complete
    )
}

/// What the palette offers for what is typed: an event or a moment first, then the commands of the place that it was called from, and at last those of
/// other places.
#[must_use]
pub fn commands(model: &Model) -> Vec<Command> {
    let wanted = typed(model);
    let mut commands = Vec::new();
    if let Ok(id) = wanted.trim_start_matches('#').parse() {
        commands.push(Command::GoToEvent(id));
    } else if let Some(moment) =
        timestamp::parse_typed(&wanted.to_uppercase()).or_else(|| near(model, &wanted))
    {
        commands.push(Command::GoToMoment(moment));
    }
    let here = model.context_below();
    let place = |binding: &'static Binding| match binding.is_in(here) {
        true => None,
        false => binding.contexts.first().copied(),
    };
    let mut all: Vec<_> = model.keymap.all().collect();
    all.retain(|(binding, _)| {
        let contexts = binding.contexts;
        let is_typing = !contexts.is_empty() && contexts.iter().all(|one| is_field(*one));
        !is_for_keys_alone(binding) && !is_typing
    });
    all.sort_by_key(|(binding, _)| place(binding).is_some());
    for (binding, keys) in all {
        let said = format!("{} {}", binding.name, binding.words).to_lowercase();
        let is_known =
            |one: &Command| matches!(one, Command::Do { action, .. } if *action == binding.action);
        if wanted.split_whitespace().all(|word| said.contains(word))
            && !commands.iter().any(is_known)
        {
            commands.push(Command::Do {
                action: binding.action,
                name: binding.name,
                words: binding.words,
                key: keys.first().map(|key| key.name()).unwrap_or_default(),
                elsewhere: place(binding),
            });
        }
    }
    commands
}

/// A moment as the timeline shows it, without its day or its year: that of the event under the cursor is meant.
fn near(model: &Model, text: &str) -> Option<Timestamp> {
    // Nothing typed is no time of day.
    text.chars().next()?;
    let here = model.timeline.selected()?.event.timestamp;
    let (day, year) = (here.format("%Y-%m-%d "), here.format("%Y-"));
    timestamp::parse_typed(&format!("{day}{text}"))
        .or_else(|| timestamp::parse_typed(&format!("{year}{text}")))
}

/// The palette's lines.
#[must_use]
pub fn palette(model: &Model, width: usize) -> Vec<Line> {
    let Some(Overlay::Palette { cursor, .. }) = &model.overlay else {
        return Vec::new();
    };
    let commands = commands(model);
    if commands.is_empty() {
        let text = "No command has that in its name. An event's id or a moment goes there: 15, 2020-02-17 03:09, or of the day or the year of the event under the \
                    cursor 03:09, 02-17";
        return super::paragraph(Tone::Faint, text, width).collect();
    }
    let lines = commands.iter().enumerate().map(|(at, command)| {
        let sign = if at == *cursor { "▌" } else { " " };
        let is_elsewhere = matches!(
            command,
            Command::Do {
                elsewhere: Some(_),
                ..
            }
        );
        let tone = match (at == *cursor, is_elsewhere) {
            (true, _) => Tone::Strong,
            (false, true) => Tone::Faint,
            (false, false) => Tone::Plain,
        };
        let text = match command {
            Command::GoToEvent(id) => format!("go to event #{id}"),
            Command::GoToMoment(moment) => {
                format!("go to {} UTC", moment.format("%Y-%m-%d %H:%M:%S"))
            }
            Command::Do {
                name,
                words,
                key,
                elsewhere,
                ..
            } => {
                let place =
                    elsewhere.map_or_else(String::new, |place| format!("  (in {})", place.words()));
                format!("{} {} {words}{place}", fitted(name, 18), fitted(key, 8))
            }
        };
        line(tone, clipped(&format!("{sign} {text}"), width))
    });
    lines.collect()
}

/// Where the word begins that a suggestion would replace, in characters.
#[must_use]
pub fn suggestion_begins(prompt: &Prompt) -> usize {
    let before = prompt.field.before_cursor();
    match prompt.purpose {
        Purpose::Rows => {
            let last = before.rsplit(',').next().unwrap_or_default();
            let word = last.trim_start();
            before.chars().count() - word.chars().count()
        }
        _ => match words(&before).last() {
            Some(word) if !before.ends_with(' ') => word.value_at,
            _ => before.chars().count(),
        },
    }
}

/// What may stand where the cursor is.
#[must_use]
pub fn suggestions(model: &Model) -> Vec<String> {
    let Some(Overlay::Prompt(prompt)) = &model.overlay else {
        return Vec::new();
    };
    let before = prompt.field.before_cursor();
    let from = suggestion_begins(prompt);
    let begun: String = before.chars().skip(from).collect();
    let begun = begun.trim_matches('"').to_lowercase();
    let offered: Vec<String> = match prompt.purpose {
        Purpose::Events => {
            let word = words(&before).into_iter().last();
            let key = word
                .filter(|_| !before.ends_with(' '))
                .and_then(|word| word.key);
            match key {
                Some(key) => {
                    let values = values_for(model, key).into_iter();
                    let quoted = values.map(|value| match value.contains(' ') {
                        true => format!("\"{value}\" "),
                        false => format!("{value} "),
                    });
                    quoted.collect()
                }
                // Each stands there once.
                None => {
                    let named: Vec<_> = words(&before)
                        .into_iter()
                        .filter_map(|one| one.key)
                        .collect();
                    let others = KEYS.iter().filter(|key| !named.contains(*key));
                    others.map(|key| format!("{key}:")).collect()
                }
            }
        }
        Purpose::Rows => {
            let grid = model.tables.grid.iter();
            let columns = grid.flat_map(|grid| &grid.table.columns);
            columns.map(|column| column.name.clone()).collect()
        }
        _ => Vec::new(),
    };
    let offer_for = |offer: &String| offer.trim_matches(['"', ' ']).to_lowercase();
    let fits = |offer: &String| offer_for(offer).contains(&begun) && offer_for(offer) != begun;
    let mut fitting: Vec<String> = offered.into_iter().filter(fits).collect();
    // What begins so comes first.
    fitting.sort_by_key(|offer| !offer_for(offer).starts_with(&begun));
    fitting
}

/// What may stand behind a key of the filter: what was seen, and what the whole log has, once that has been counted.
fn values_for(model: &Model, key: &str) -> Vec<String> {
    let mut values = model.timeline.suggestions(key);
    let counted = |by| {
        let activity = model.audit.activity.iter();
        let found = activity.filter(move |(one, _)| *one == by);
        found.flat_map(|(_, counts)| counts.iter().map(|(name, _)| name.clone()))
    };
    match key {
        "actor" => values.extend(counted(ActivityBy::Actor)),
        "type" => values.extend(counted(ActivityBy::Table)),
        _ => return values,
    }
    values.sort();
    values.dedup();
    values.retain(|value| !value.is_empty());
    values
}

/// The name of what is typed into a line, and what may be typed.
#[must_use]
pub fn prompt_label(model: &Model, purpose: Purpose) -> (&'static str, String) {
    let (label, may) = match purpose {
        Purpose::Events => (
            "filter",
            "type: event: actor: uuid: since: until: or a text in the data",
        ),
        Purpose::Tables => ("filter", "a part of the table's name"),
        Purpose::Rows => (
            "filter",
            "column>=12, column~text, column= (no value), with commas; or a text",
        ),
        Purpose::Changes => ("filter", "a table, a uuid, or a text in the values"),
        Purpose::Reason => ("why", "for those who read the log later, in a few words"),
        Purpose::Search => ("search", "a text in the value"),
        Purpose::Export => {
            let events = model.events.unwrap_or_default();
            let all = crate::text::count(events, "event", "events");
            let may = format!("all {all} of the log, into a new file: none is overwritten");
            return ("write the log to", may);
        }
    };
    (label, may.to_owned())
}

/// A field's text in so many cells, so that its cursor is in sight; and the cursor's cell.
#[must_use]
pub fn field_window(field: &Field, width: usize) -> (String, usize) {
    let before = visible(&field.before_cursor());
    let all = visible(field.text());
    let cursor = crate::text::width(&before);
    // Scrolled by whole characters, as far as the cursor needs.
    let mut skipped = 0;
    let mut rest: &str = &all;
    while cursor - skipped >= width.max(1) && !rest.is_empty() {
        let first = rest.chars().next().map_or(0, char::len_utf8);
        skipped += crate::text::width(&rest[..first]);
        rest = &rest[first..];
    }
    (fitted(rest, width), cursor - skipped)
}
