//! The program itself in a real pseudo-terminal: it starts, draws, rolls back, and leaves the terminal as it was.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ebbtide::eventsourcing::store::Backend;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::support::{Database, create, id, run};

/// Longer than anything takes: only a test that would hang forever ends by it.
const PATIENCE: Duration = Duration::from_secs(60);

const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(80).unwrap();

/// The screen as the terminal's end sees it, and whether the program has closed it.
struct Screen {
    parser: vt100::Parser,
    closed: bool,
    /// Whether nobody looks at it any more.
    unplugged: bool,
}

pub(crate) struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keyboard: Option<Box<dyn Write + Send>>,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    termios: String,
}

impl Session {
    fn start(database: &str) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_ebb"));
        command.arg(database);
        Self::run(command)
    }

    /// This command, at a terminal.
    pub(crate) fn of(command: &std::process::Command) -> Self {
        let mut at_terminal = CommandBuilder::new(command.get_program());
        at_terminal.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => at_terminal.env(name, value),
                None => at_terminal.env_remove(name),
            }
        }
        Self::run(at_terminal)
    }

    fn run(mut command: CommandBuilder) -> Self {
        let size = PtySize {
            rows: ROWS.get(),
            cols: COLUMNS.get(),
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        let termios = format!("{:?}", pair.master.get_termios());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new((
            Mutex::new(Screen {
                parser: vt100::Parser::new(ROWS, COLUMNS, 0),
                closed: false,
                unplugged: false,
            }),
            Condvar::new(),
        ));
        let mut output = pair.master.try_clone_reader().unwrap();
        let shared = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends, and with it the last hold on the terminal, when the program has or when it is unplugged.
            loop {
                let read = output.read(&mut bytes).unwrap_or(0);
                let (screen, changed) = &*shared;
                let mut screen = screen.lock().unwrap();
                screen.parser.process(&bytes[..read]);
                screen.closed = read == 0;
                changed.notify_all();
                if read == 0 || screen.unplugged {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard: Some(pair.master.take_writer().unwrap()),
            master: Some(pair.master),
            screen,
            termios,
        }
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        let mut screen = self.screen.0.lock().unwrap();
        let (rows_there, columns_there) =
            (NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap());
        screen
            .parser
            .screen_mut()
            .set_size(rows_there, columns_there);
        let size = PtySize {
            rows,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        self.master.as_ref().unwrap().resize(size).unwrap();
    }

    pub(crate) fn press(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    fn wait(&self, what: &str, seen: impl Fn(&Screen) -> bool) {
        let (screen, changed) = &*self.screen;
        let screen = screen.lock().unwrap();
        let (screen, waited) = changed
            .wait_timeout_while(screen, PATIENCE, |screen| !seen(screen))
            .unwrap();
        assert!(
            !waited.timed_out(),
            "{what} never came:\n{}",
            screen.parser.screen().contents()
        );
    }

    pub(crate) fn see(&self, text: &str) {
        self.wait(text, |screen| {
            screen.parser.screen().contents().contains(text)
        });
    }

    /// Waits for the program's end, and returns its exit code.
    pub(crate) fn end(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(began.elapsed() < PATIENCE, "the program does not end");
            std::thread::yield_now();
        }
    }

    /// The alternate screen is left, the cursor shown, and the line discipline as it was.
    fn assert_terminal_restored(&self) {
        self.wait("the end of the output", |screen| {
            screen.closed || !screen.parser.screen().alternate_screen()
        });
        let master = self.master.as_ref().unwrap();
        assert_eq!(
            format!("{:?}", master.get_termios()),
            self.termios,
            "termios"
        );
        let screen = self.screen.0.lock().unwrap();
        let screen = screen.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
    }

    fn signal(&self, name: &str) {
        let process = self.child.process_id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args([name, &process])
            .status()
            .unwrap();
        assert!(sent.success());
    }
}

fn mad_lab() -> Database {
    run(Database::mad_lab(Backend::Sqlite))
}

#[test]
fn the_program_draws_rolls_back_and_leaves_the_terminal_as_it_was() {
    let lab = mad_lab();
    let mut session = Session::start(&lab.argument());
    session.see("18 events · 16 rows");
    session.wait("the alternate screen", |screen| {
        screen.parser.screen().alternate_screen()
    });
    session.see("#18 create molecule");
    session.press("jjj");
    session.see("#15 create experiment");
    session.press("R");
    session.see("just before #15");
    session.press("\r");
    session.see("type 15 and");
    session.press("15\r");
    session.see("6 events appended, #19 to #24");
    session.see("24 events · 12 rows");
    session.press("q");
    session.see("[1 Timeline]");
    session.press("q");
    assert_eq!(session.end(), 0);
    session.assert_terminal_restored();
    run(async {
        assert_eq!(lab.rows().await.len(), 12);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_signal_to_end_restores_the_terminal() {
    for name in ["-TERM", "-HUP", "-INT", "-QUIT"] {
        let lab = mad_lab();
        let mut session = Session::start(&lab.argument());
        session.see("18 events · 16 rows");
        session.signal(name);
        assert_eq!(session.end(), 0, "{name}");
        session.assert_terminal_restored();
    }
}

/// A signal in the middle of a rollback: it is stopped or it is done, and never half done.
#[test]
fn a_signal_in_the_middle_of_a_rollback_leaves_all_of_it_or_nothing() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        run(async {
            let lab = Database::mad_lab(backend).await;
            let fragments = (1..=12_000).map(|n| {
                create(
                    "fragment",
                    id(n),
                    serde_json::json!({"smiles": format!("F{n}")}),
                )
            });
            lab.append(fragments.collect()).await;
            let mut session = Session::start(&lab.argument());
            session.see("12018 events");
            session.press(":19\r");
            session.see("#19 create fragment");
            session.press("R");
            session.see("before #19");
            session.press("\r");
            session.see("type 19 and");
            session.press("19\r");
            session.wait("the rollback at work", |screen| {
                let shown = screen.parser.screen().contents();
                shown.contains(" steps") || shown.contains("Done:")
            });
            session.signal("-TERM");
            let code = session.end();
            session.assert_terminal_restored();
            let left = lab.rows().await.len();
            assert!([16, 16 + 12_000].contains(&left), "{left} rows");
            // That it was stopped is told, and is no success.
            assert_eq!(code == 0, left == 16, "exit code {code}, {left} rows");
            lab.assert_no_drift().await;
        });
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_the_shell_wakes_it() {
    let lab = mad_lab();
    let mut shell = CommandBuilder::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]);
    shell.env("PS1", "shell> ");
    let mut session = Session::run(shell);
    session.see("shell> ");
    session.press(&format!(
        "{} {}\r",
        env!("CARGO_BIN_EXE_ebb"),
        lab.argument()
    ));
    session.see("18 events · 16 rows");
    session.press("jj");
    session.see("#16 create data_unit");
    session.press("\x1a");
    session.see("Stopped");
    session.press("fg\r");
    session.see("#16 create data_unit");
    session.press("k");
    session.see("#17 create xy_data");
    session.press("q");
    // Typed before the shell asks, it would go to the program, which reads until its end.
    session.wait("the shell's next question", |screen| {
        let screen = screen.parser.screen();
        !screen.alternate_screen() && screen.contents().trim_end().ends_with("shell>")
    });
    session.press("exit\r");
    assert_eq!(session.end(), 0);
}

#[test]
fn many_keys_in_one_piece_are_all_answered() {
    let lab = mad_lab();
    for (keys, times) in [("j", 1500), ("\x1b[6~", 400)] {
        let mut session = Session::start(&lab.argument());
        session.see("18 events · 16 rows");
        session.press(&format!("{}q", keys.repeat(times)));
        assert_eq!(session.end(), 0);
        session.assert_terminal_restored();
    }
}

#[test]
fn a_storm_of_sizes_ends_with_the_last_one() {
    let lab = mad_lab();
    let mut session = Session::start(&lab.argument());
    session.see("18 events · 16 rows");
    for turn in 0..200_u16 {
        session.resize(40 + turn * 7 % 120, 10 + turn * 5 % 50);
    }
    session.resize(100, 30);
    session.wait("the footer in the last line", |screen| {
        let rows: Vec<String> = screen.parser.screen().rows(0, 100).collect();
        rows.len() == 30
            && rows[29].contains("? help  q quit")
            && rows[3].contains("#18")
            && rows[0].contains("16 rows")
    });
    session.press("q");
    assert_eq!(session.end(), 0);
    session.assert_terminal_restored();
}

#[test]
fn a_terminal_that_vanishes_ends_the_program() {
    let lab = mad_lab();
    let mut session = Session::start(&lab.argument());
    session.see("18 events · 16 rows");
    session.screen.0.lock().unwrap().unplugged = true;
    // The answer to one more key is what the reader wakes up by.
    session.press("?");
    session.keyboard = None;
    session.master = None;
    session.end();
}

/// What tells this test binary to panic with the terminal taken.
const PANIC: &str = "EBB_TEST_PANIC";

#[test]
fn panics_with_the_terminal_taken_when_asked() {
    if std::env::var_os(PANIC).is_some() {
        let mut terminal = ebbtide::tui::terminal::enter(true).unwrap();
        terminal
            .draw(|frame| frame.render_widget("drawn", frame.area()))
            .unwrap();
        panic!("as it was asked to");
    }
}

#[test]
fn a_panic_restores_the_terminal_before_it_says_anything() {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "tui::pty::panics_with_the_terminal_taken_when_asked",
        "--nocapture",
    ]);
    command.env(PANIC, "1");
    let mut session = Session::run(command);
    // On the main screen, where it stays: the alternate one has been left by then.
    session.see("as it was asked to");
    session.end();
    session.assert_terminal_restored();
}
