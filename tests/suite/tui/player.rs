//! Plays keys through the real runtime and watches the screen. Waits for what is to be seen, never for a time.

use std::sync::Arc;
use std::time::Duration;

use ebbtide::eventsourcing::EventStore;
use ebbtide::tui::Settings;
use ebbtide::tui::keymap::{Key, Keymap};
use ebbtide::tui::layout::Size;
use ebbtide::tui::memory::{self, Screen};
use ebbtide::tui::message::Message;
use ebbtide::tui::outside::Surroundings;
use ebbtide::tui::runtime;
use ebbtide::tui::view::{Look, Theme};
use futures_util::stream;
use ratatui::buffer::Buffer;
use tokio::sync::mpsc;

/// Longer than anything takes: only a test that would hang forever ends by it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A clipboard that says what it is given.
struct Elsewhere;

impl Surroundings for Elsewhere {
    fn copy(&mut self, text: &str) -> ebbtide::eventsourcing::Result<String> {
        Ok(format!("Copied: {text}"))
    }

    fn suspend(&mut self) -> ebbtide::eventsourcing::Result<()> {
        Ok(())
    }
}

/// The one who sits there.
pub(crate) struct Player {
    /// How the terminal looks.
    pub(crate) look: Look,
    keys: mpsc::UnboundedSender<Message>,
    screen: Screen,
}

/// How the terminal of a test looks.
pub(crate) const LOOK: Look = Look {
    theme: Theme::Sixteen,
    unicode: true,
};

/// Plays on a store, at this size, until the player has left.
pub(crate) async fn play<F: Future<Output = ()>>(
    store: Arc<dyn EventStore>,
    (columns, rows): (u16, u16),
    look: Look,
    script: impl FnOnce(Player) -> F,
) {
    let (mut terminal, screen) = memory::terminal(columns, rows);
    let (keys, mut pressed) = mpsc::unbounded_channel();
    let input = stream::poll_fn(move |context| pressed.poll_recv(context));
    let player = Player { look, keys, screen };
    let settings = Settings {
        look,
        keymap: Keymap::default(),
        production: false,
    };
    let mut surroundings = Elsewhere;
    let running = runtime::run(&mut terminal, input, store, settings, &mut surroundings);
    let (ended, ()) = tokio::join!(running, script(player));
    ended.unwrap();
}

impl Player {
    pub(crate) fn press(&self, key: Key) {
        self.keys.send(Message::Key(key)).unwrap();
    }

    pub(crate) fn type_text(&self, text: &str) {
        text.chars()
            .for_each(|character| self.press(Key::Char(character)));
    }

    /// Goes to an event of the timeline, and waits until the cursor is there.
    pub(crate) async fn go_to(&mut self, event: i64) {
        self.press(Key::Char(':'));
        self.type_text(&event.to_string());
        self.press(Key::Enter);
        self.see(&[&format!("▌ #{event} ")]).await;
    }

    pub(crate) fn send(&self, message: Message) {
        self.keys.send(message).unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.screen.resize(columns, rows);
        self.send(Message::Resized(Size { columns, rows }));
    }

    /// Waits until all of these are on the screen, and returns it.
    pub(crate) async fn see(&mut self, wanted: &[&str]) -> String {
        let seen = |screen: &str| wanted.iter().all(|text| screen.contains(text));
        self.wait(&format!("{wanted:?}"), seen).await
    }

    /// The same, and until nothing on it is being read any more.
    pub(crate) async fn see_settled(&mut self, wanted: &[&str]) -> Buffer {
        let unsettled = [
            "reading…",
            "searching",
            "until this one",
            "counting…",
            "making the plan",
            "\n     …",
        ];
        let seen = |screen: &str| {
            let header = screen.lines().next().unwrap_or_default();
            wanted.iter().all(|text| screen.contains(text))
                && !header.contains('…')
                && !unsettled.iter().any(|text| screen.contains(text))
                // The rows that name a row are counted.
                && !screen.lines().any(|line| line.ends_with("_id  …"))
        };
        self.wait_for(&format!("{wanted:?}, settled,"), seen).await
    }

    /// Waits until the screen has so many lines.
    pub(crate) async fn see_lines(&mut self, lines: usize) -> String {
        let seen = |screen: &str| screen.split('\n').count() == lines;
        self.wait(&format!("{lines} lines"), seen).await
    }

    /// Waits until this is no longer on the screen.
    pub(crate) async fn see_no(&mut self, gone: &str) -> String {
        self.wait(&format!("no {gone:?}"), |screen| !screen.contains(gone))
            .await
    }

    /// Presses a key again and again, as long as it takes until this is on the screen.
    pub(crate) async fn press_until(&mut self, key: Key, wanted: &str) {
        let pressing = async {
            while !self.text().contains(wanted) {
                self.keys.send(Message::Key(key)).unwrap();
                assert!(self.screen.changes().await, "the screens have ended");
            }
        };
        let ended = tokio::time::timeout(PATIENCE, pressing).await;
        assert!(ended.is_ok(), "{wanted:?} never came:\n{}", self.text());
    }

    /// What is written on the screen now.
    fn text(&self) -> String {
        memory::text(&self.screen.now())
    }

    /// Waits until the footer stands in the last of so many lines.
    pub(crate) async fn see_footer_in(&mut self, rows: u16) -> String {
        let last = usize::from(rows) - 1;
        self.wait("the footer", |screen| {
            screen
                .lines()
                .nth(last)
                .is_some_and(|line| line.contains("? help"))
        })
        .await
    }

    async fn wait(&mut self, what: &str, seen: impl FnMut(&str) -> bool) -> String {
        memory::text(&self.wait_for(what, seen).await)
    }

    /// Waits until what is written on the screen is so, and returns it with its colours.
    async fn wait_for(&mut self, what: &str, seen: impl FnMut(&str) -> bool) -> Buffer {
        match tokio::time::timeout(PATIENCE, self.screen.until(seen)).await {
            Ok(Some(screen)) => screen,
            _ => panic!("{what} never came:\n{}", self.text()),
        }
    }
}
