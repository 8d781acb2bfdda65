//! What the screens ask of the terminal beyond drawing: the clipboard, and to be left alone for a while.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crossterm::clipboard::CopyToClipboard;
use crossterm::execute;

use super::terminal;
use crate::eventsourcing::{Error, ErrorCode, Result};
use crate::text::{clipped, count, visible};

/// Characters that are given to a terminal's clipboard at most: many terminals silently drop longer ones.
const LONGEST: usize = 70_000;

/// Cells of what was copied that its notice names.
const NAMED: usize = 40;

/// The terminal that the program was started in.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// Whether the mouse is asked for.
    pub mouse: bool,
}

/// What the screens ask of where they are shown.
pub trait Surroundings {
    /// Gives this to the reader's clipboard, and says in words what was done.
    ///
    /// # Errors
    /// `Io` when it could not be given.
    fn copy(&mut self, text: &str) -> Result<String>;

    /// Gives the terminal back and stops the process until the shell wakes it.
    ///
    /// # Errors
    /// `Io` when the terminal cannot be taken again.
    fn suspend(&mut self) -> Result<()>;
}

impl Surroundings for Outside {
    /// Inside tmux by tmux's own buffer, which it hands on to the terminal that it is shown in, and which its own keys paste; elsewhere by the
    /// terminal's escape sequence (OSC 52), which also reaches the reader's own machine over SSH.
    fn copy(&mut self, text: &str) -> Result<String> {
        let characters = text.chars().count();
        if characters > LONGEST {
            let much = count(characters as u64, "character", "characters");
            return Err(Error::new(
                ErrorCode::Io,
                format!("{much} are more than a terminal's clipboard takes"),
            )
            .hint("`ebb show` and `ebb table` print whole values, with --json into a file"));
        }
        let copied = format!(
            "Copied {} ({})",
            clipped(&visible(text.lines().next().unwrap_or_default()), NAMED),
            count(characters as u64, "character", "characters")
        );
        if std::env::var_os("TMUX").is_some() {
            return to_tmux(text).map(|()| format!("{copied}: to tmux, and to its terminal."));
        }
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text)).map_err(failed)?;
        Ok(format!("{copied}, if the terminal allows that (OSC 52)."))
    }

    fn suspend(&mut self) -> Result<()> {
        terminal::leave();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)
            .map_err(|error| failed(error.into()))?;
        // Here the shell has woken it.
        terminal::take(self.mouse)
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorCode::Io, format!("it could not be copied: {error}"))
}

/// `-w` sends it to the clipboard of the terminal too, as far as tmux is allowed to.
fn to_tmux(text: &str) -> Result<()> {
    let mut tmux = Command::new("tmux")
        .args(["load-buffer", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = tmux.stdin.take() {
        input.write_all(text.as_bytes()).map_err(failed)?;
    }
    let ended = tmux.wait_with_output().map_err(failed)?;
    match ended.status.success() {
        true => Ok(()),
        false => Err(failed(io::Error::other(format!(
            "tmux says: {}",
            String::from_utf8_lossy(&ended.stderr).trim()
        )))),
    }
}
