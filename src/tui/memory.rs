//! A terminal in memory: the screens run on it as on a real one, and whoever looks waits for what is to be seen.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Size};
use tokio::sync::watch;
use unicode_width::UnicodeWidthStr;

/// The program's side: it tells what is on it whenever it has been drawn.
#[derive(Debug)]
pub struct Memory {
    inner: Arc<Mutex<TestBackend>>,
    drawn: watch::Sender<Buffer>,
}

/// The reader's side.
#[derive(Clone, Debug)]
pub struct Screen {
    terminal: Arc<Mutex<TestBackend>>,
    drawn: watch::Receiver<Buffer>,
}

/// A terminal of this size, and who looks at it.
#[must_use]
pub fn terminal(columns: u16, rows: u16) -> (Terminal<Memory>, Screen) {
    let inner = Arc::new(Mutex::new(TestBackend::new(columns, rows)));
    let (drawn, watching) = watch::channel(Buffer::default());
    let screen = Screen {
        terminal: inner.clone(),
        drawn: watching,
    };
    let Ok(terminal) = Terminal::new(Memory { inner, drawn });
    (terminal, screen)
}

/// What is written on a buffer, line by line, without the blanks at the lines' ends.
#[must_use]
pub fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width).map(|cells| {
        let line: String = cells.iter().map(Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Screen {
    /// What is on it now.
    #[must_use]
    pub fn now(&self) -> Buffer {
        self.drawn.borrow().clone()
    }

    /// Waits until what is written on it is so. `None` when the screens have ended and it never was.
    pub async fn until(&self, mut seen: impl FnMut(&str) -> bool) -> Option<Buffer> {
        let mut drawn = self.drawn.clone();
        let found = drawn.wait_for(|buffer| seen(&text(buffer))).await;
        found.ok().map(|buffer| buffer.clone())
    }

    /// Waits until it is drawn again. Whether it was: the screens may have ended.
    pub async fn changes(&mut self) -> bool {
        self.drawn.changed().await.is_ok()
    }

    /// Gives the terminal another size. The program has to be told.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut inner = self.terminal.lock().unwrap_or_else(PoisonError::into_inner);
        inner.resize(columns, rows);
    }
}

/// A wide symbol covers what stood beside it: the test's backend keeps that.
fn blank_covered(buffer: &mut Buffer) {
    let width = usize::from(buffer.area.width).max(1);
    for line in buffer.content.chunks_mut(width) {
        let mut covered = 0;
        for cell in line {
            match covered {
                0 => covered = cell.symbol().width().saturating_sub(1),
                _ => {
                    cell.set_symbol(" ");
                    covered -= 1;
                }
            }
        }
    }
}

impl Memory {
    fn with<T>(&self, work: impl FnOnce(&mut TestBackend) -> T) -> T {
        // Whoever panicked while drawing has shown its panic already.
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Done = Result<(), Infallible>;

impl Backend for Memory {
    type Error = Infallible;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Done {
        self.with(|inner| inner.draw(content))
    }

    fn hide_cursor(&mut self) -> Done {
        self.with(Backend::hide_cursor)
    }

    fn show_cursor(&mut self) -> Done {
        self.with(Backend::show_cursor)
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        self.with(Backend::get_cursor_position)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Done {
        self.with(|inner| inner.set_cursor_position(position))
    }

    fn clear(&mut self) -> Done {
        self.with(Backend::clear)
    }

    fn clear_region(&mut self, region: ClearType) -> Done {
        self.with(|inner| inner.clear_region(region))
    }

    fn size(&self) -> Result<Size, Infallible> {
        self.with(|inner| inner.size())
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        self.with(Backend::window_size)
    }

    fn flush(&mut self) -> Done {
        self.with(Backend::flush)?;
        let mut buffer = self.with(|inner| inner.buffer().clone());
        blank_covered(&mut buffer);
        self.drawn.send_replace(buffer);
        Ok(())
    }
}
