//! What the terminal and the operating system send.

use std::time::Duration;

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use futures_util::{Stream, StreamExt, stream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::keymap::Key;
use super::layout::Size;
use super::message::{Message, Mouse};
use crate::eventsourcing::{Error, ErrorCode, Result};

/// Keys, changes of the size, and the signals to end; ends when the terminal is gone.
///
/// The terminal is read by a thread of its own: where it vanishes without a signal, crossterm reads its end again and again and never returns,
/// which would keep everything else from running. Another thread waits for that end, and says so.
pub(super) fn stream() -> Result<impl Stream<Item = Message>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let ended = sender.clone();
    thread("the terminal's keys", move || {
        // The first look makes changes of the size known from then on; one that came before it is looked for. Nothing else would tell of it.
        if crossterm::event::poll(Duration::ZERO).is_ok()
            && let Ok((columns, rows)) = crossterm::terminal::size()
        {
            let size = Message::Resized(Size { columns, rows });
            drop(sender.send(size));
        }
        // An error is a terminal that is gone, and a closed channel screens that are: nothing more is to be read.
        while let Ok(event) = crossterm::event::read() {
            if messages(event)
                .into_iter()
                .any(|one| sender.send(one).is_err())
            {
                break;
            }
        }
    })?;
    thread("the terminal's end", move || {
        wait_for_end();
        drop(ended.send(Message::Terminate));
    })?;
    let events = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let mut signals = Vec::new();
    // Ctrl-C is a key here; who sends its signal from elsewhere wants the program to end.
    for kind in [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ] {
        let listening = signal(kind).map_err(|error| {
            Error::new(
                ErrorCode::Io,
                format!("signals cannot be listened to: {error}"),
            )
        })?;
        signals.push(stream::unfold(listening, |mut listening| async move {
            listening.recv().await;
            Some((Message::Terminate, listening))
        }));
    }
    let ending = stream::select_all(signals.into_iter().map(Box::pin));
    // The stream must end with the events, though signals could still come.
    let events = events.chain(stream::once(std::future::ready(Message::Terminate)));
    Ok(stream::select(events, ending))
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let begun = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    begun.map(drop).map_err(|error| {
        Error::new(
            ErrorCode::Io,
            format!("the terminal cannot be read: {error}"),
        )
    })
}

/// Returns when the terminal has hung up, or cannot be asked.
fn wait_for_end() {
    let stdin = std::io::stdin();
    loop {
        // No event is asked for: a hang-up and an error are told all the same.
        let mut waiting = [PollFd::new(&stdin, PollFlags::empty())];
        match poll(&mut waiting, None) {
            Ok(_) if waiting[0].revents().is_empty() => {}
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

fn messages(event: Event) -> Vec<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => {
            // A terminal sends Alt with a key as Esc and the key, so those who type the two fast must get both.
            let alt = key
                .modifiers
                .contains(KeyModifiers::ALT)
                .then_some(Key::Esc);
            let keys = alt.into_iter().chain(self::key(key));
            keys.map(Message::Key).collect()
        }
        Event::Paste(text) => vec![Message::Pasted(text)],
        Event::Mouse(event) => mouse(event).map(Message::Mouse).into_iter().collect(),
        Event::Resize(columns, rows) => vec![Message::Resized(Size { columns, rows })],
        _ => Vec::new(),
    }
}

/// Lines by which one turn of the wheel moves.
const WHEEL: i16 = 3;

fn mouse(event: MouseEvent) -> Option<Mouse> {
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => Some(Mouse::Pressed {
            column: event.column,
            line: event.row,
        }),
        MouseEventKind::ScrollDown => Some(Mouse::Turned(WHEEL)),
        MouseEventKind::ScrollUp => Some(Mouse::Turned(-WHEEL)),
        _ => None,
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    Some(match event.code {
        KeyCode::Char(character) if control => Key::Ctrl(character.to_ascii_lowercase()),
        KeyCode::Char(character) => Key::Char(character),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::F(number) => Key::F(number),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
