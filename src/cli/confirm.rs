//! Asking the person at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::eventsourcing::{Error, ErrorCode, Result};
use crate::text;

/// Asks for the yes without which nothing is written.
///
/// # Errors
/// `NotConfirmed` for any other answer, and where there is nobody to ask.
pub(super) fn confirm(question: &str) -> Result<()> {
    if !can_ask() {
        return Err(Error::new(
            ErrorCode::NotConfirmed,
            "nobody confirmed it, so nothing was written",
        )
        .hint("add --yes when there is no terminal to ask on"));
    }
    match ask(question)? {
        true => Ok(()),
        false => Err(Error::new(
            ErrorCode::NotConfirmed,
            "not confirmed, so nothing was written",
        )
        .hint("answer y to write it")),
    }
}

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Whether the answer is yes. Only where there is a terminal.
pub(super) fn ask(question: &str) -> Result<bool> {
    let asked = write!(io::stderr(), "{} [y/N] ", text::visible(question))
        .and_then(|()| io::stderr().flush());
    let mut answer = String::new();
    asked
        .and_then(|()| io::stdin().lock().read_line(&mut answer))
        .map_err(|error| {
            Error::new(
                ErrorCode::Io,
                format!("the question could not be asked: {error}"),
            )
        })?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
