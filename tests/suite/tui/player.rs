//! Plays keys through the real runtime and watches the screen. Waits for what is to be seen, never for a time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ebbtide::eventsourcing::EventStore;
use ebbtide::tui::Settings;
use ebbtide::tui::keymap::{Key, Keymap};
use ebbtide::tui::layout::Size;
use ebbtide::tui::message::Message;
use ebbtide::tui::outside::Surroundings;
use ebbtide::tui::runtime;
use ebbtide::tui::view::{Look, Theme};
use futures_util::stream;
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::Position;
use tokio::sync::{mpsc, watch};

/// Longer than anything takes: only a test that would hang forever ends by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal in memory that tells what is on it whenever it has been drawn.
struct Watched {
    inner: Arc<Mutex<TestBackend>>,
    screen: watch::Sender<String>,
}

/// What is on a terminal in memory, line by line.
pub(crate) fn text(backend: &TestBackend) -> String {
    let buffer = backend.buffer();
    let width = usize::from(buffer.area.width);
    let lines: Vec<String> = buffer
        .content
        .chunks(width)
        .map(|cells| {
            let line: String = cells.iter().map(Cell::symbol).collect();
            line.trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

type Done = Result<(), core::convert::Infallible>;

impl Backend for Watched {
    type Error = core::convert::Infallible;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Done {
        self.inner.lock().unwrap().draw(content)
    }

    fn hide_cursor(&mut self) -> Done {
        self.inner.lock().unwrap().hide_cursor()
    }

    fn show_cursor(&mut self) -> Done {
        self.inner.lock().unwrap().show_cursor()
    }

    fn get_cursor_position(&mut self) -> Result<Position, Self::Error> {
        self.inner.lock().unwrap().get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Done {
        self.inner.lock().unwrap().set_cursor_position(position)
    }

    fn clear(&mut self) -> Done {
        self.inner.lock().unwrap().clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> Done {
        self.inner.lock().unwrap().clear_region(clear_type)
    }

    fn size(&self) -> Result<ratatui::layout::Size, Self::Error> {
        self.inner.lock().unwrap().size()
    }

    fn window_size(&mut self) -> Result<WindowSize, Self::Error> {
        self.inner.lock().unwrap().window_size()
    }

    fn flush(&mut self) -> Done {
        let mut inner = self.inner.lock().unwrap();
        inner.flush()?;
        self.screen.send_replace(text(&inner));
        Ok(())
    }
}

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
    terminal: Arc<Mutex<TestBackend>>,
    keys: mpsc::UnboundedSender<Message>,
    screen: watch::Receiver<String>,
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
    let inner = Arc::new(Mutex::new(TestBackend::new(columns, rows)));
    let (screen, watching) = watch::channel(String::new());
    let mut terminal = Terminal::new(Watched {
        inner: inner.clone(),
        screen,
    })
    .unwrap();
    let (keys, pressed) = mpsc::unbounded_channel();
    let input = stream::unfold(pressed, |mut pressed| async move {
        let message = pressed.recv().await?;
        Some((message, pressed))
    });
    let player = Player {
        terminal: inner,
        keys,
        screen: watching,
    };
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

    pub(crate) fn send(&self, message: Message) {
        self.keys.send(message).unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.terminal.lock().unwrap().resize(columns, rows);
        self.send(Message::Resized(Size { columns, rows }));
    }

    /// Waits until all of these are on the screen, and returns it.
    pub(crate) async fn see(&mut self, wanted: &[&str]) -> String {
        let seen = |screen: &String| wanted.iter().all(|text| screen.contains(text));
        self.wait(&format!("{wanted:?}"), seen).await
    }

    /// The same, and until nothing on it is being read any more.
    pub(crate) async fn see_settled(&mut self, wanted: &[&str]) -> String {
        let unsettled = [
            "reading…",
            "searching",
            "until this one",
            "counting…",
            "making the plan",
            "\n     …",
        ];
        let seen = |screen: &String| {
            let header = screen.lines().next().unwrap_or_default();
            wanted.iter().all(|text| screen.contains(text))
                && !header.contains('…')
                && !unsettled.iter().any(|text| screen.contains(text))
        };
        self.wait(&format!("{wanted:?}, settled,"), seen).await
    }

    /// Waits until the screen has so many lines.
    pub(crate) async fn see_lines(&mut self, lines: usize) -> String {
        let seen = |screen: &String| screen.split('\n').count() == lines;
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
            while !self.screen.borrow_and_update().contains(wanted) {
                self.keys.send(Message::Key(key)).unwrap();
                self.screen.changed().await.unwrap();
            }
        };
        let ended = tokio::time::timeout(PATIENCE, pressing).await;
        assert!(
            ended.is_ok(),
            "{wanted:?} never came:\n{}",
            *self.screen.borrow()
        );
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

    async fn wait(&mut self, what: &str, seen: impl FnMut(&String) -> bool) -> String {
        let mut watching = self.screen.clone();
        let waiting = watching.wait_for(seen);
        let found = match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(screen)) => Some(screen.to_owned()),
            _ => None,
        };
        match found {
            Some(screen) => screen,
            None => panic!("{what} never came:\n{}", *self.screen.borrow()),
        }
    }
}
