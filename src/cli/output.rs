//! Printing: text or JSON on standard output, notes and failures on standard error.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::eventsourcing::{Error, ErrorCode, Result};
use crate::text::{drives_a_terminal, visible};

/// Cells to fill where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 80;

/// Where a command prints.
pub(super) struct Output {
    json: bool,
    closed: Cell<bool>,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            closed: Cell::new(false),
        }
    }

    /// Whether JSON was asked for.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether the reader of standard output has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// How many cells a line has.
    pub(super) fn width(&self) -> usize {
        match io::stdout().is_terminal().then(crossterm::terminal::size) {
            Some(Ok((columns, _))) => usize::from(columns).max(20),
            _ => DEFAULT_WIDTH,
        }
    }

    /// A line of text on standard output. What is in it from the database is visible already.
    pub(super) fn line(&self, line: &str) -> Result<()> {
        self.written(writeln!(io::stdout().lock(), "{line}"))
    }

    /// A JSON object on a line of its own.
    pub(super) fn object(&self, object: &impl Serialize) -> Result<()> {
        let mut stdout = Harmless(io::BufWriter::new(io::stdout().lock()));
        let printed = serde_json::to_writer(&mut stdout, object).map_err(io::Error::from);
        self.written(printed.and_then(|()| {
            stdout.0.write_all(b"\n")?;
            stdout.0.flush()
        }))
    }

    /// A message for the person, on standard error when standard output is for programs.
    pub(super) fn note(&self, note: &str) -> Result<()> {
        match self.json {
            true => self.written(writeln!(io::stderr().lock(), "{}", visible(note))),
            false => self.line(&visible(note)),
        }
    }

    /// A remark while something is under way, always on standard error. When that is closed there is nobody left to tell.
    pub(super) fn aside(&self, remark: &str) {
        drop(writeln!(io::stderr().lock(), "{}", visible(remark)));
    }

    /// A failure, on standard error. When that is closed too there is nobody left to tell.
    pub(super) fn error(&self, error: &Error) {
        let mut stderr = io::stderr().lock();
        let printed = match self.json {
            true => {
                let (code, message) = (error.code.as_str(), &error.message);
                let object =
                    json!({"error": {"code": code, "message": message, "hint": error.hint}});
                writeln!(stderr, "{}", harmless(&object.to_string()))
            }
            false => {
                let hint = error.hint.as_ref();
                let hint =
                    hint.map_or_else(String::new, |hint| format!("\nhint: {}", visible(hint)));
                writeln!(stderr, "error: {}{hint}", visible(&error.message))
            }
        };
        drop(printed);
    }

    fn written(&self, result: io::Result<()>) -> Result<()> {
        result.map_err(|error| {
            self.closed.set(error.kind() == io::ErrorKind::BrokenPipe);
            Error::new(
                ErrorCode::Io,
                format!("the output could not be written: {error}"),
            )
        })
    }
}

/// Writes JSON on as [`harmless`] makes it, piece by piece.
struct Harmless<W>(W);

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        // JSON is written by whole characters.
        let text = std::str::from_utf8(piece).map_err(io::Error::other)?;
        self.0.write_all(harmless(text).as_bytes())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// JSON in which the characters that a terminal would obey are escaped: the same value, safe to look at.
fn harmless(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        if drives_a_terminal(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                harmless.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            harmless.push(character);
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn json_keeps_its_value_and_cannot_drive_a_terminal() {
        let value = json!({"a": "x\u{9b}31m\u{202e}\u{e0041}\x1b"});
        let printed = harmless(&value.to_string());
        assert!(!printed.chars().any(drives_a_terminal), "{printed}");
        assert_eq!(
            serde_json::from_str::<Value>(&printed).ok(),
            Some(value.clone())
        );
        let mut pieces = Harmless(Vec::new());
        serde_json::to_writer(&mut pieces, &value).expect("it is written");
        assert_eq!(String::from_utf8(pieces.0).ok(), Some(printed));
    }
}
