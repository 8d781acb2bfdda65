//! Text from the database, made fit to be shown: one place, for the command line and the screens.

mod change;

use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::eventsourcing::Row;

pub use change::{change_text, members, shown};

/// The text with everything that could drive the reader's terminal spelt out: control characters as `\n` or `\x1b`,
/// characters that turn or hide text as `\u{202e}`.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => shown.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ if drives_a_terminal(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Whether a character is obeyed instead of drawn: controls, and those that turn or hide the text around them.
#[must_use]
pub fn drives_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How many cells the text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to this many cells, its end marked with `…` when something is missing. Never cuts through a character
/// that is made of several.
#[must_use]
pub fn clipped(text: &str, cells: usize) -> String {
    if text.width() <= cells {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used + 1 > cells {
            break;
        }
        kept.push_str(grapheme);
    }
    if cells > 0 {
        // What was cut before is not cut twice.
        kept.truncate(kept.trim_end_matches('…').len());
        kept.push('…');
    }
    kept
}

/// The text in lines of at most this many cells, broken between words where that is possible.
#[must_use]
pub fn wrapped(text: &str, cells: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        // A space at the end of a line may stand beyond it.
        if used + word.trim_end().width() > cells && used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for grapheme in word.graphemes(true) {
            if used + grapheme.width() > cells && used > 0 {
                if grapheme == " " {
                    continue;
                }
                lines.push(String::new());
                used = 0;
            }
            used += grapheme.width();
            if let Some(line) = lines.last_mut() {
                line.push_str(grapheme);
            }
        }
    }
    lines
}

/// The text filled up with spaces to this many cells, or cut to them.
#[must_use]
pub fn fitted(text: &str, cells: usize) -> String {
    let clipped = clipped(text, cells);
    let missing = cells.saturating_sub(clipped.width());
    clipped + &" ".repeat(missing)
}

/// A column's value in words: text as it is, NULL as `–`, the rest as JSON.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    }
}

/// Values of one event's data in one line: `smiles="ABC" metadata={}`. Values longer than `longest` cells are cut.
#[must_use]
pub fn summary(data: &Row, longest: usize) -> String {
    let parts: Vec<String> = data
        .iter()
        .map(|(column, value)| {
            let text = match value {
                Value::Array(values) if values.len() > 3 => format!("[{} values]", values.len()),
                other => visible(&other.to_string()),
            };
            format!("{}={}", visible(column), clipped(&text, longest))
        })
        .collect();
    parts.join(" ")
}

/// `1 row`, `2 rows`.
#[must_use]
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_could_drive_a_terminal_is_spelt_out() {
        assert_eq!(
            visible("a\x1b[31mb\nc\u{9b}d\u{202e}e"),
            "a\\x1b[31mb\\nc\\u{9b}d\\u{202e}e"
        );
        assert_eq!(visible("Ω 分子 é"), "Ω 分子 é");
    }

    #[test]
    fn text_is_cut_between_characters_and_never_wider_than_asked() {
        assert_eq!(clipped("molecule", 8), "molecule");
        assert_eq!(clipped("molecules", 8), "molecul…");
        assert_eq!(clipped("分子分子", 5), "分子…");
        assert_eq!(clipped("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!(clipped("abc", 0), "");
        assert_eq!(width(&fitted("分子分子", 6)), 6);
    }

    #[test]
    fn text_is_wrapped_between_words_where_it_can_be() {
        assert_eq!(
            wrapped("take it back in time", 8),
            ["take it ", "back in ", "time"]
        );
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("(kept).", 6), ["(kept)", "."]);
        assert_eq!(wrapped("is (kept).", 7), ["is ", "(kept)."]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn a_summary_is_one_line() {
        let Value::Object(data) =
            serde_json::json!({"smiles": "A\nB", "x": [1, 2, 3, 4], "n": null})
        else {
            panic!("an object");
        };
        assert_eq!(summary(&data, 20), r#"smiles="A\nB" x=[4 values] n=null"#);
    }
}
