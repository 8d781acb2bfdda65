//! A program in a pseudo-terminal of 80×24, whose every byte is noted with the moment at which it came.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::common::Outcome;

const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(80).unwrap();

/// Longer than anything takes: what has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A key that has not been answered by then is one that did nothing: nobody waits longer before pressing it again.
const KEY_PATIENCE: Duration = Duration::from_secs(2);

/// Where nothing has come for so long after a key, its answer is over. It is not part of what is measured: that ends with
/// the last byte.
const QUIET: Duration = Duration::from_millis(60);

/// What one read from the terminal brought.
struct Chunk {
    at: Instant,
    bytes: Vec<u8>,
}

/// A program at work.
pub(crate) struct Session {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    output: Receiver<Chunk>,
    parser: vt100::Parser,
    /// The terminal is there until it is let go.
    _master: Box<dyn MasterPty + Send>,
    pub(crate) started: Instant,
    /// When the last of what has come came.
    last: Option<Instant>,
    /// What has come so far.
    pub(crate) bytes: usize,
}

/// How a key was answered.
pub(crate) struct Answer {
    /// From writing the key to the read after which the screen has the cursor somewhere else.
    pub(crate) shown: Duration,
    /// From writing the key to the last byte of all that it leads to.
    pub(crate) complete: Duration,
    pub(crate) bytes: usize,
}

impl Session {
    pub(crate) fn start(mut command: CommandBuilder) -> Outcome<Self> {
        let pair = native_pty_system().openpty(PtySize {
            rows: ROWS.get(),
            cols: COLUMNS.get(),
            pixel_width: 0,
            pixel_height: 0,
        })?;
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR", "COLORTERM", "LESS"] {
            command.env_remove(name);
        }
        let mut reader = pair.master.try_clone_reader()?;
        let keyboard = pair.master.take_writer()?;
        let (sender, output) = mpsc::channel();
        // The thread ends when the program and with it the terminal's other side has.
        std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                let chunk = Chunk {
                    at: Instant::now(),
                    bytes: bytes[..read].to_vec(),
                };
                if sender.send(chunk).is_err() {
                    return;
                }
            }
        });
        let started = Instant::now();
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        Ok(Self {
            child,
            keyboard,
            output,
            parser: vt100::Parser::new(ROWS, COLUMNS, 0),
            _master: pair.master,
            started,
            last: None,
            bytes: 0,
        })
    }

    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    pub(crate) fn process(&self) -> Outcome<u32> {
        Ok(self.child.process_id().ok_or("the program has ended")?)
    }

    /// Takes what comes next, and says when it came; `None` when nothing has come for so long.
    pub(crate) fn take(&mut self, patience: Duration) -> Outcome<Option<Instant>> {
        match self.output.recv_timeout(patience) {
            Ok(chunk) => {
                self.parser.process(&chunk.bytes);
                self.bytes += chunk.bytes.len();
                self.last = Some(chunk.at);
                Ok(Some(chunk.at))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.says("the program has ended")),
        }
    }

    /// Takes what comes until the screen is so, and says when the read came after which it was seen to be so.
    pub(crate) fn until(
        &mut self,
        what: &str,
        seen: impl Fn(&vt100::Screen) -> bool,
    ) -> Outcome<Instant> {
        loop {
            // What has come last may have made it so already.
            if let Some(at) = self.last.filter(|_| seen(self.screen())) {
                return Ok(at);
            }
            if self.take(PATIENCE)?.is_none() {
                return Err(self.says(&format!("{what} never came")));
            }
        }
    }

    /// Takes what comes until nothing has come for so long, and says when the last of it came.
    pub(crate) fn until_quiet(&mut self, quiet: Duration) -> Outcome<Option<Instant>> {
        let mut last = None;
        while let Some(at) = self.take(quiet)? {
            last = Some(at);
        }
        Ok(last)
    }

    pub(crate) fn press(&mut self, key: &str) -> Outcome<Instant> {
        let at = Instant::now();
        self.keyboard.write_all(key.as_bytes())?;
        self.keyboard.flush()?;
        Ok(at)
    }

    /// Presses a key that moves the cursor, and takes all that comes of it; `None` when the cursor stays. `place` is where the
    /// cursor is, and on what.
    pub(crate) fn answer(
        &mut self,
        key: &str,
        place: fn(&vt100::Screen) -> Option<String>,
    ) -> Outcome<Option<Answer>> {
        let before = place(self.screen());
        let bytes = self.bytes;
        let pressed = self.press(key)?;
        let mut shown = None;
        while shown.is_none() {
            let rest = KEY_PATIENCE.saturating_sub(pressed.elapsed());
            let Some(at) = self.take(rest)? else {
                return Ok(None);
            };
            let now = place(self.screen());
            shown = Some(at).filter(|_| now.is_some() && now != before);
        }
        let last = self.until_quiet(QUIET)?;
        Ok(shown.map(|shown| Answer {
            shown: shown - pressed,
            complete: last.unwrap_or(shown) - pressed,
            bytes: self.bytes - bytes,
        }))
    }

    /// Presses the key that ends it, and waits for its end.
    pub(crate) fn end(mut self, key: &str) -> Outcome<()> {
        self.press(key)?;
        self.child.wait()?;
        Ok(())
    }

    /// A failure, with what is on the screen.
    pub(crate) fn says(&self, what: &str) -> crate::common::Failure {
        format!("{what}:\n{}", self.screen().contents()).into()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has ended already, or it is to.
        drop(self.child.kill());
    }
}
