//! What the terminal and the operating system send.

use crossterm::event::{
    Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent,
    MouseEventKind,
};
use futures_util::{Stream, StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};

use super::keymap::Key;
use super::layout::Size;
use super::message::{Message, Mouse};
use crate::eventsourcing::{Error, ErrorCode, Result};

/// Keys, changes of the size, and the signals to end; ends when the terminal is gone.
pub(super) fn stream() -> Result<impl Stream<Item = Message>> {
    let events = EventStream::new()
        // An error is a terminal that is gone: nothing more will come from it.
        .take_while(|event| std::future::ready(event.is_ok()))
        .flat_map(|event| stream::iter(event.map(messages).unwrap_or_default()));
    let mut signals = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::hangup()] {
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
