//! A line that is typed into.

use tui_input::{Input, InputRequest};

use super::keymap::Key;

/// Characters of a field at most: more is not a name or a filter, but something that was pasted by mistake.
const LONGEST: usize = 2000;

/// A line of text with a cursor.
#[derive(Clone, Debug, Default)]
pub struct Field {
    input: Input,
}

impl Field {
    /// A field with this text, the cursor at its end.
    #[must_use]
    pub fn with(text: &str) -> Self {
        Self {
            input: Input::new(text.to_owned()),
        }
    }

    /// What is typed.
    #[must_use]
    pub fn text(&self) -> &str {
        self.input.value()
    }

    /// The text before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> String {
        self.text().chars().take(self.input.cursor()).collect()
    }

    /// Takes a key in. Whether it was one for a field.
    pub fn press(&mut self, key: Key) -> bool {
        let request = match key {
            Key::Char(_) if self.text().chars().count() >= LONGEST => return true,
            Key::Char(character) => InputRequest::InsertChar(character),
            Key::Backspace | Key::Ctrl('h') => InputRequest::DeletePrevChar,
            Key::Delete => InputRequest::DeleteNextChar,
            Key::Left | Key::Ctrl('b') => InputRequest::GoToPrevChar,
            Key::Right | Key::Ctrl('f') => InputRequest::GoToNextChar,
            Key::Home | Key::Ctrl('a') => InputRequest::GoToStart,
            Key::End | Key::Ctrl('e') => InputRequest::GoToEnd,
            Key::Ctrl('w') => InputRequest::DeletePrevWord,
            Key::Ctrl('u') => InputRequest::DeleteFromStart,
            Key::Ctrl('k') => InputRequest::DeleteTillEnd,
            Key::Ctrl('y') => InputRequest::Yank,
            _ => return false,
        };
        self.input.handle(request);
        true
    }

    /// Takes in text that was pasted; only its first line, with a blank for a tab.
    pub fn paste(&mut self, text: &str) {
        let line = text
            .trim_matches(['\r', '\n'])
            .lines()
            .next()
            .unwrap_or_default();
        let line = line.replace('\t', " ");
        for character in line.chars().filter(|character| !character.is_control()) {
            self.press(Key::Char(character));
        }
    }

    /// Replaces the text before the cursor from this character on.
    pub fn complete(&mut self, from: usize, with: &str) {
        let (before, after): (String, String) = {
            let text = self.text();
            let kept: String = text.chars().take(from).collect();
            (
                kept + with,
                text.chars().skip(self.input.cursor()).collect(),
            )
        };
        let cursor = before.chars().count();
        self.input = Input::new(before + &after).with_cursor(cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_is_one_line_without_controls() {
        let mut field = Field::with("a");
        field.paste("\n b\x1b[31mc\td\r\nrm -rf /\n");
        assert_eq!(field.text(), "a b[31mc d");
    }

    #[test]
    fn a_completion_replaces_the_word_and_keeps_what_follows() {
        let mut field = Field::with("type:mo acid");
        for _ in 0..5 {
            field.press(Key::Left);
        }
        field.complete(5, "molecule");
        assert_eq!(field.text(), "type:molecule acid");
        assert_eq!(field.before_cursor(), "type:molecule");
    }
}
