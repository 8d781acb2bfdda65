//! Taking the terminal, and giving it back as it was.

use std::io::{self, BufWriter, Stdout};
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::layout::Size;

use super::scrolling::Scrolling;
use crate::eventsourcing::{Error, ErrorCode, Result};

/// Bytes of a frame that go to the terminal at once: more than one that fills a large terminal.
const FRAME: usize = 1 << 16;

/// Takes the terminal. From here on a panic gives it back before it says anything.
///
/// # Errors
/// `Io` when there is no terminal, or it cannot be drawn on.
pub fn enter(mouse: bool) -> Result<Terminal<Scrolling<BufWriter<Stdout>>>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            previous(panic);
        }));
    });
    take(mouse)?;
    let frames = BufWriter::with_capacity(FRAME, io::stdout());
    Terminal::new(Scrolling::new(frames, size)).map_err(|error| {
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
                // A symbol at the edge that the terminal takes for a wider one would go on in the next line.
                DisableLineWrap,
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

fn size() -> io::Result<Size> {
    crossterm::terminal::size().map(Size::from)
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
        EnableLineWrap,
        LeaveAlternateScreen,
        Show
    ));
    drop(disable_raw_mode());
}
