//! What becomes what, in words: of one value and another one.

use serde_json::Value;

use super::{clipped, visible, width as cells};
use crate::eventsourcing::Row;
use crate::eventsourcing::diff::ColumnChange;

/// Bytes of a value at most.
const LONGEST: usize = 32 * 1024;

/// Characters before the first difference of two long values that stay in sight.
const KEPT: usize = 6;

/// A value as JSON writes it, so that no two look the same; no value as `∅`.
#[must_use]
pub fn shown(given: &Value) -> String {
    match given {
        Value::Null => "∅".to_owned(),
        other => visible(&beginning(other, LONGEST)),
    }
}

/// The beginning of a value's JSON, at most so many bytes: what is beyond is in no line of a page, and each key writes the page anew.
fn beginning(value: &Value, most: usize) -> String {
    let mut text = Bounded {
        bytes: Vec::new(),
        most,
    };
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => String::from_utf8_lossy(&text.bytes).into_owned(),
        Err(_) => format!(
            "{}…",
            String::from_utf8_lossy(&text.bytes).trim_end_matches('\u{fffd}')
        ),
    }
}

/// Takes so many bytes, and then refuses.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.most.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        match room {
            0 => Err(std::io::ErrorKind::StorageFull.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What becomes what, in one line: of JSON objects the members that change, of other long values the parts in which they differ.
#[must_use]
pub fn change_text(change: &ColumnChange, room: usize) -> String {
    let members = members(change);
    if members == [change.clone()] {
        return arrow(&change.from, &change.to, room);
    }
    let each = room / members.len().min(3);
    let texts = members.iter().map(|member| {
        let name = visible(&member.column);
        format!(
            "{name} {}",
            arrow(
                &member.from,
                &member.to,
                each.saturating_sub(cells(&name) + 3)
            )
        )
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn arrow(from: &Value, to: &Value, room: usize) -> String {
    let (from, to) = (shown(from), shown(to));
    let (mut from, mut to) = (from.as_str().to_owned(), to);
    // Two values that are cut where they are still the same would look as if nothing changed.
    if cells(&from) + 3 + cells(&to) > room {
        let same = from.chars().zip(to.chars()).take_while(|(a, b)| a == b);
        let left = same.count().saturating_sub(KEPT);
        if left > 1 {
            let rest = |text: &str| format!("…{}", text.chars().skip(left).collect::<String>());
            (from, to) = (rest(&from), rest(&to));
        }
    }
    let left = cells(&from).min((room / 2).max(room.saturating_sub(cells(&to) + 3)));
    format!("{} → {to}", clipped(&from, left.max(1)))
}

/// The change itself, or of two JSON objects the changes of their members, named by the way to them.
#[must_use]
pub fn members(change: &ColumnChange) -> Vec<ColumnChange> {
    let (Value::Object(from), Value::Object(to)) = (&change.from, &change.to) else {
        return vec![change.clone()];
    };
    let mut all = Vec::new();
    let added = to.keys().filter(|name| !from.contains_key(*name));
    for name in from.keys().chain(added) {
        let value = |members: &Row| members.get(name).cloned().unwrap_or_default();
        let member = ColumnChange {
            column: name.clone(),
            from: value(from),
            to: value(to),
        };
        // A member that is there and null is not the same as one that is not there; what is shown of them is.
        if member.from == member.to && from.contains_key(name) == to.contains_key(name) {
            continue;
        }
        let inner = members(&member);
        let is_inside = matches!(
            (&member.from, &member.to),
            (Value::Object(_), Value::Object(_))
        );
        all.extend(inner.into_iter().map(|inner| match is_inside {
            true => ColumnChange {
                column: format!("{name}.{}", inner.column),
                ..inner
            },
            false => inner,
        }));
    }
    match all.is_empty() {
        true => vec![change.clone()],
        false => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(from: Value, to: Value, width: usize) -> String {
        let change = ColumnChange {
            column: "data".to_owned(),
            from,
            to,
        };
        clipped(&change_text(&change, width), width)
    }

    #[test]
    fn of_objects_the_members_that_change_are_told() {
        let before =
            json!({"run": "20261125", "sample": 178, "status": "queued", "lock": {"a": 1, "b": 2}});
        let after = json!({"run": "20261125", "sample": 178, "status": "running", "lock": {"a": 1, "b": 3}});
        let line = told(before.clone(), after, 78);
        assert_eq!(line, "status \"queued\" → \"running\", lock.b 2 → 3");
        // A member that comes, and one that goes.
        let other =
            json!({"run": "20261125", "sample": 178, "status": "queued", "new": null, "by": "ada"});
        let line = told(before, other, 200);
        assert_eq!(
            line,
            "lock {\"a\":1,\"b\":2} → ∅, new ∅ → ∅, by ∅ → \"ada\""
        );
        assert_eq!(told(json!({}), Value::Null, 40), "{} → ∅");
    }

    #[test]
    fn two_long_values_are_shown_where_they_differ() {
        let text = |end: &str| json!(format!("{}{end}", "always the same ".repeat(20)));
        let line = told(text("in the morning"), text("at night"), 60);
        assert!(
            line.contains("in the morning") && line.contains("at night"),
            "{line}"
        );
        assert!(cells(&line) <= 60);
        // Where there is room nothing is left out.
        assert_eq!(
            told(json!("abc def"), json!("abc deg"), 60),
            "\"abc def\" → \"abc deg\""
        );
    }

    #[test]
    fn no_two_values_look_the_same() {
        assert_eq!(
            told(json!("a\\nb"), json!("a\nb"), 60),
            r#""a\\nb" → "a\nb""#
        );
        assert_eq!(told(json!("5"), json!(5), 60), "\"5\" → 5");
        assert_eq!(told(json!("∅"), Value::Null, 60), "\"∅\" → ∅");
    }

    #[test]
    fn a_huge_value_is_written_only_so_far() {
        let many: Vec<u64> = (0..100_000).collect();
        let line = told(Value::Null, json!({"many": many}), 80);
        assert!(cells(&line) <= 80 && line.contains("[0,1,2"), "{line}");
        assert!(beginning(&json!(many), 1000).len() < 1100);
    }
}
