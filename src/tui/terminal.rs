//! Taking the terminal, and giving it back as it was.

use std::io::{self, Stdout};
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::eventsourcing::{Error, ErrorCode, Result};

/// Takes the terminal. From here on a panic gives it back before it says anything.
///
/// # Errors
/// `Io` when there is no terminal, or it cannot be drawn on.
pub fn enter(mouse: bool) -> Result<Terminal<CrosstermBackend<Stdout>>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            previous(panic);
        }));
    });
    take(mouse)?;
    Terminal::new(CrosstermBackend::new(io::stdout())).map_err(|error| {
        leave();
        unusable(&error)
    })
}

/// Takes the terminal, the first time or again.
///
/// # Errors
/// `Io` when there is none.
pub(super) fn take(mouse: bool) -> Result<()> {
    let taken = enable_raw_mode()
        .and_then(|()| {
            execute!(
                io::stdout(),
                EnterAlternateScreen,
                Clear(ClearType::All),
                EnableBracketedPaste
            )
        })
        .and_then(|()| match mouse {
            true => execute!(io::stdout(), EnableMouseCapture),
            false => Ok(()),
        });
    taken.map_err(|error| {
        leave();
        unusable(&error)
    })
}

fn unusable(error: &io::Error) -> Error {
    Error::new(
        ErrorCode::Io,
        format!("the terminal cannot be used: {error}"),
    )
    .hint("without a terminal, `ebb log` prints the timeline")
}

/// Gives it back. Where it is gone, as after a lost connection, there is nothing to give back and nobody to tell.
pub fn leave() {
    drop(execute!(
        io::stdout(),
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    ));
    drop(disable_raw_mode());
}
