//! One value over the whole screen: text wrapped, JSON as lines that can be folded.

use serde_json::Value;

use super::{Line, Tone, line};
use crate::eventsourcing::diff::ColumnChange;
use crate::text::{change_text, clipped, count, value, visible, wrapped};
use crate::tui::keymap::Action;
use crate::tui::model::{Cell, Model, News, Node};

/// The place of an object's member, as a JSON pointer (RFC 6901).
#[must_use]
pub fn pointer_to(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// The lines of a value, as far as they are not folded.
#[must_use]
pub fn nodes(cell: &Cell, width: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    match &cell.value {
        Value::String(text) => {
            for (at, part) in text.lines().enumerate() {
                for (piece, part) in wrapped(&visible(part), width).into_iter().enumerate() {
                    nodes.push(Node {
                        pointer: format!("/{at}/{piece}"),
                        depth: 0,
                        text: part,
                        folded: None,
                    });
                }
            }
        }
        other => push(&mut nodes, cell, String::new(), 0, "", other, ""),
    }
    nodes
}

fn push(
    nodes: &mut Vec<Node>,
    cell: &Cell,
    pointer: String,
    depth: usize,
    name: &str,
    held: &Value,
    after: &str,
) {
    let node = |text: String, folded| Node {
        pointer: pointer.clone(),
        depth,
        text,
        folded,
    };
    let (open, close, members): (_, _, Vec<(String, String, &Value)>) = match held {
        Value::Object(object) => {
            let members = object.iter().map(|(key, value)| {
                let name = format!("{}: ", visible(&Value::from(key.as_str()).to_string()));
                (pointer_to(&pointer, key), name, value)
            });
            ("{", "}", members.collect())
        }
        Value::Array(values) => {
            let members = values.iter().enumerate();
            // The place of a value in a long array cannot be counted by eye.
            let is_long = values.len() > 10;
            let members = members.map(|(at, value)| {
                let place = if is_long {
                    format!("[{at}] ")
                } else {
                    String::new()
                };
                (format!("{pointer}/{at}"), place, value)
            });
            ("[", "]", members.collect())
        }
        scalar => {
            let text = visible(&scalar.to_string());
            nodes.push(node(format!("{name}{text}{after}"), None));
            return;
        }
    };
    if members.is_empty() {
        nodes.push(node(format!("{name}{open}{close}{after}"), None));
        return;
    }
    let folded = cell.folded.contains(&pointer);
    if folded {
        let (one, many) = match held {
            Value::Object(_) => ("member", "members"),
            _ => ("value", "values"),
        };
        let inside = count(members.len() as u64, one, many);
        let text = format!("{name}{open} {inside} {close}{after}");
        nodes.push(node(text, Some(true)));
        return;
    }
    nodes.push(node(format!("{name}{open}"), Some(false)));
    let last = members.len() - 1;
    for (at, (pointer, name, value)) in members.into_iter().enumerate() {
        let after = if at == last { "" } else { "," };
        push(nodes, cell, pointer, depth + 1, &name, value, after);
    }
    nodes.push(node(format!("{close}{after}"), None));
}

/// What is said above a value: what it is of, how much it is, and what it is now.
#[must_use]
pub fn cell_head(cell: &Cell, width: usize) -> Vec<Line> {
    let size = match &cell.value {
        Value::String(text) => count(text.chars().count() as u64, "character", "characters"),
        Value::Array(values) => count(values.len() as u64, "value", "values"),
        Value::Object(members) => count(members.len() as u64, "member", "members"),
        Value::Null => "no value".to_owned(),
        _ => String::new(),
    };
    let size = if size.is_empty() {
        size
    } else {
        format!(" · {size}")
    };
    let range = cell.plot.as_ref().map_or_else(String::new, |plot| {
        let ys = plot.runs.iter().flatten().map(|(_, y)| *y);
        let (least, most) = ys.fold((f64::MAX, f64::MIN), |(a, b), y| (a.min(y), b.max(y)));
        let [least, most] = told_apart([least, most]);
        format!(" · {} from {least} to {most}", plot.y_name)
    });
    let title = visible(&format!("{}{size}{range}", cell.title));
    let mut lines = vec![line(Tone::Strong, clipped(&title, width))];
    let note = cell.plot.as_ref().and_then(|plot| plot.note.as_ref());
    lines.extend(note.map(|note| line(Tone::Faint, clipped(&visible(note), width))));
    if cell.is_gone {
        let text = "differs from now: the row is not there any more";
        lines.push(line(Tone::Changed, clipped(text, width)));
    } else if let Some(now) = &cell.now {
        let text = match (&cell.value, now) {
            (_, Value::Null) => "∅".to_owned(),
            (Value::Object(_), Value::Object(_)) => {
                let change = ColumnChange {
                    column: String::new(),
                    from: cell.value.clone(),
                    to: now.clone(),
                };
                let room = width.saturating_sub("differs from now: ".len());
                change_text(&change, room)
            }
            _ => value(now),
        };
        let text = format!("differs from now: {text}");
        lines.push(line(Tone::Changed, clipped(&text, width)));
    }
    lines
}

/// What has become of an open value since it was read: in words that need less and less room.
#[must_use]
pub fn cell_news(model: &Model, news: News) -> Vec<String> {
    let key = model.key_for(Action::Reload);
    let words: &[&str] = match news {
        News::Changed => &["changed since", "changed"],
        News::Gone => &["its row is gone", "row gone"],
    };
    let with_key = words.iter().map(|words| match (news, key.is_empty()) {
        (News::Changed, false) => format!("{words} · {key}: anew "),
        _ => format!("{words} "),
    });
    with_key.chain([format!("{} ", words[1])]).collect()
}

/// A number in few characters.
fn short(number: f64) -> String {
    let magnitude = number.abs();
    match magnitude {
        0.0 => "0".to_owned(),
        0.001..100_000.0 => {
            let text = format!("{number:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{number:.2e}"),
    }
}

/// Numbers in as few characters as tell those apart that are not the same.
#[must_use]
pub fn told_apart<const N: usize>(numbers: [f64; N]) -> [String; N] {
    let are_apart = |texts: &[String; N]| {
        let pairs = (1..N).map(|at| (at - 1, at));
        pairs
            .into_iter()
            .all(|(a, b)| numbers[a] == numbers[b] || texts[a] != texts[b])
    };
    let exact = (0..=17).map(|digits| numbers.map(|number| format!("{number:.digits$}")));
    let mut tried = std::iter::once(numbers.map(short)).chain(exact);
    let found = tried.find(are_apart);
    found.unwrap_or_else(|| numbers.map(|number| number.to_string()))
}

/// The line of the value that this line of the screen shows.
#[must_use]
pub fn cell_line_at(cell: &Cell, height: usize, line: usize) -> Option<usize> {
    let above = height.saturating_sub(cell_height(cell, height));
    let at = cell.top + line.checked_sub(above)?;
    (at < cell.nodes.len()).then_some(at)
}

/// Lines that are left for the value itself.
#[must_use]
pub fn cell_height(cell: &Cell, height: usize) -> usize {
    let has_note = cell.plot.as_ref().is_some_and(|plot| plot.note.is_some());
    let has_now = cell.now.is_some() || cell.is_gone;
    let head = 1 + usize::from(has_note) + usize::from(has_now);
    let rest = height.saturating_sub(head);
    match cell.is_plotted {
        true => rest.saturating_sub(plot_height(rest)),
        false => rest,
    }
    .max(1)
}

/// Lines of the drawing, of so many that there are.
#[must_use]
pub fn plot_height(rest: usize) -> usize {
    rest * 3 / 4
}
