//! What the screens cost in a real pseudo-terminal of 80×24: the start, each key, memory, and what is sent; beside `less` on a
//! file of as many lines, and `cat`, which only sends back what it gets. Prints a table.
//!
//! `scripts/bench screens [EVENTS] [DIRECTORY]` runs it, on SQLite and on a PostgreSQL; without EBB_TEST_POSTGRES, on SQLite alone.
//! A directory that is given keeps the files with the logs, and the next run takes those that are there.

#[path = "../common.rs"]
#[allow(dead_code, reason = "the other benchmarks use the rest")]
mod common;
#[path = "../log.rs"]
mod log;
mod process;
mod report;
mod session;
mod wide;
#[path = "../work.rs"]
#[allow(dead_code, reason = "the benchmark of appending uses the rest")]
mod work;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Outcome, Server, options};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::store::{self, Address};
use portable_pty::CommandBuilder;
use session::{Answer, Session};
use vt100::Screen;

/// How often the start is measured.
const STARTS: usize = 10;

/// How long nothing may come until everything has been read at the start. No part of what is measured.
const SETTLED: Duration = Duration::from_millis(500);

/// How long it is left alone.
const IDLE: Duration = Duration::from_secs(10);

/// The log beside which the memory is seen not to grow. The keys go so far.
const SMALL: usize = wide::IN_SIGHT;

const INTERRUPT_TWICE: &str = "\x03\x03";
const DOWN: &str = "\x1b[B";
const KEYS: [(&str, &str, usize); 3] = [
    ("Down", DOWN, 500),
    ("PgDn", "\x1b[6~", 200),
    ("Up", "\x1b[A", 100),
];

/// More keys than this that do nothing are no accident.
const UNANSWERED: usize = 20;

/// How often the yardsticks' keys are pressed.
const YARDSTICK_KEYS: usize = 500;

fn main() -> Outcome<()> {
    // `cargo bench` adds an option of its own.
    let mut given = std::env::args().skip(1).filter(|given| given != "--bench");
    let events = given
        .next()
        .map_or(Ok(1_000_000), |events| events.parse())?;
    if events < SMALL {
        return Err(format!("with fewer than {SMALL} events the keys come to the end").into());
    }
    let temporary = tempfile::tempdir()?;
    let directory = given
        .next()
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&directory)?;
    report::heading();
    let mut sizes = vec![events, SMALL];
    sizes.dedup();
    for size in &sizes {
        let file = in_file(&directory, *size)?;
        let variant = format!("SQLite, {size} events");
        screens(&file.to_string_lossy(), &variant, *size)?;
    }
    let facts = match std::env::var_os("EBB_TEST_POSTGRES") {
        None => format!("{} cores.", std::thread::available_parallelism()?),
        Some(_) => on_postgres(&sizes)?,
    };
    pager(temporary.path(), events)?;
    echo()?;
    println!("\n{facts}");
    Ok(())
}

/// The log in a file.
fn in_file(directory: &Path, size: usize) -> Outcome<PathBuf> {
    let file = directory.join(format!("screens-{size}.db"));
    if !file.exists() {
        // What a run that was ended left half made must not be taken for a log.
        let unfinished = directory.join(format!("screens-{size}.unfinished.db"));
        for rest in ["", "-wal", "-shm"] {
            let rest = format!("{}{rest}", unfinished.display());
            if Path::new(&rest).exists() {
                std::fs::remove_file(rest)?;
            }
        }
        tokio::runtime::Runtime::new()?.block_on(async {
            let schema = wide::schema(Backend::Sqlite);
            let work = wide::events(size);
            let store = log::in_file(&unfinished, &schema, &work, wide::IN_SIGHT).await?;
            store.close().await;
            Outcome::Ok(())
        })?;
        std::fs::rename(unfinished, &file)?;
    }
    Ok(file)
}

fn on_postgres(sizes: &[usize]) -> Outcome<String> {
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(Server::new())?;
    for size in sizes {
        let url = server.at("screens");
        runtime.block_on(async {
            server.create("screens", "template0").await?;
            let schema = wide::schema(Backend::Postgres);
            let address = Address::Postgres(url.clone());
            let store = store::init(&address, &options(), Some(&schema))
                .await?
                .store;
            log::fill(&*store, &wide::events(*size), wide::IN_SIGHT).await?;
            store.close().await;
            Outcome::Ok(())
        })?;
        screens(&url, &format!("PostgreSQL, {size} events"), *size)?;
    }
    runtime.block_on(server.facts())
}

/// The line that the cursor is on, and where it is.
fn cursor_line(screen: &Screen) -> Option<String> {
    let (_, columns) = screen.size();
    let lines = screen.rows(0, columns.get()).enumerate();
    let mut marked = lines.filter(|(_, line)| line.contains('▌'));
    marked.next().map(|(at, line)| format!("{at} {line}"))
}

/// Everything that is measured of the screens on one database.
fn screens(database: &str, variant: &str, newest: usize) -> Outcome<()> {
    let newest = format!("#{newest} ");
    let (mut first, mut shown, mut complete) = (Vec::new(), Vec::new(), Vec::new());
    let mut session = loop {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_ebb"));
        command.arg(database);
        let mut session = Session::start(command)?;
        let began = session.started;
        let byte = session.until("the first byte", |_| true)?;
        let event = session.until("the newest event", |screen| {
            cursor_line(screen).is_some_and(|line| line.contains(&newest))
        })?;
        first.push(byte - began);
        shown.push(event - began);
        complete.push(session.until_quiet(SETTLED)?.unwrap_or(event) - began);
        if first.len() == STARTS {
            break session;
        }
        session.end("q")?;
    };
    report::times("start to the first byte", variant, first.into_iter());
    report::times("start to the newest event", variant, shown.into_iter());
    report::times(
        "start to the last byte, everything counted",
        variant,
        complete.into_iter(),
    );
    let process = session.process()?;
    report::memory(
        "resident after the start",
        variant,
        &process::memory(process)?,
    );
    keys(&mut session, "the timeline", variant)?;
    report::memory(
        "resident after the timeline's keys",
        variant,
        &process::memory(process)?,
    );
    open_table(&mut session)?;
    keys(&mut session, "a table's rows", variant)?;
    report::memory(
        "resident after the table's keys",
        variant,
        &process::memory(process)?,
    );
    idle(&mut session, variant)?;
    // Among a table's rows q goes back.
    session.end(INTERRUPT_TWICE)
}

/// To the rows of the wide table.
fn open_table(session: &mut Session) -> Outcome<()> {
    session.press("2")?;
    session.until("the list of tables", |screen| {
        screen.contents().contains(wide::TABLE)
    })?;
    session.until_quiet(SETTLED)?;
    while !cursor_line(session.screen()).is_some_and(|line| line.contains(wide::TABLE)) {
        if session.answer(DOWN, cursor_line)?.is_none() {
            return Err(session.says("the wide table is not in the list"));
        }
    }
    if session.answer("\r", cursor_line)?.is_none() {
        return Err(session.says("the wide table's rows never came"));
    }
    session.until_quiet(SETTLED)?;
    Ok(())
}

fn keys(session: &mut Session, place: &str, variant: &str) -> Outcome<()> {
    for (name, key, count) in KEYS {
        let what = format!("{name} in {place}");
        press(session, &what, variant, key, count, cursor_line)?;
    }
    Ok(())
}

/// Presses a key until it has been answered so often, and each time when what came before is over.
fn press(
    session: &mut Session,
    what: &str,
    variant: &str,
    key: &str,
    count: usize,
    place: fn(&Screen) -> Option<String>,
) -> Outcome<()> {
    let (mut answers, mut unanswered) = (Vec::new(), 0);
    while answers.len() < count {
        match session.answer(key, place)? {
            Some(answer) => answers.push(answer),
            None => unanswered += 1,
        }
        if unanswered > UNANSWERED {
            return Err(session.says(&format!("{what} is not answered")));
        }
    }
    answered(what, variant, &answers);
    if unanswered > 0 {
        println!(
            "| {what}: keys that did nothing | {variant} | {unanswered} of {} | | |",
            count + unanswered
        );
    }
    Ok(())
}

fn answered(what: &str, variant: &str, answers: &[Answer]) {
    let shown = answers.iter().map(|answer| answer.shown);
    report::times(&format!("{what}: the cursor moved"), variant, shown);
    let complete = answers.iter().map(|answer| answer.complete);
    report::times(&format!("{what}: the last byte"), variant, complete);
    let bytes = answers.iter().map(|answer| answer.bytes);
    report::bytes(&format!("{what}: sent"), variant, bytes);
}

/// Leaves it alone.
fn idle(session: &mut Session, variant: &str) -> Outcome<()> {
    let process = session.process()?;
    let (bytes, processor) = (session.bytes, process::processor_time(process)?);
    let end = Instant::now() + IDLE;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            break;
        }
        session.take(rest)?;
    }
    let processor = process::processor_time(process)? - processor;
    report::idle(variant, IDLE, session.bytes - bytes, processor);
    Ok(())
}

/// A pager on a file of as many lines as there are events, where there is one.
fn pager(directory: &Path, lines: usize) -> Outcome<()> {
    const VARIANT: &str = "`less`";
    let mut text = String::new();
    for line in 1..=lines {
        writeln!(
            text,
            " #{line:<8} 02-17 03:09:48 + molecule  {:08x} smiles \"c1ccccc1[{line}]\"",
            line * 2_654_435_761 % (1 << 32)
        )?;
    }
    let file = directory.join("lines.txt");
    std::fs::write(&file, text)?;
    let (mut first, mut shown) = (Vec::new(), Vec::new());
    let top = |screen: &Screen| screen.rows(0, 80).next();
    let mut session = loop {
        let mut command = CommandBuilder::new("less");
        command.arg(&file);
        let Ok(mut session) = Session::start(command) else {
            println!("| `less` | not installed | | | |");
            return Ok(());
        };
        let began = session.started;
        first.push(session.until("the first byte", |_| true)? - began);
        let seen = session.until("the lines", |screen| {
            screen.contents().contains("#22 ") && screen.contents().contains("#1 ")
        });
        shown.push(seen? - began);
        session.until_quiet(SETTLED)?;
        if first.len() == STARTS {
            break session;
        }
        session.end("q")?;
    };
    report::times("start to the first byte", VARIANT, first.into_iter());
    report::times("start to the first lines", VARIANT, shown.into_iter());
    // It takes an arrow only in the form that terminals send after it has asked for that.
    press(&mut session, "j", VARIANT, "j", YARDSTICK_KEYS, top)?;
    let process = session.process()?;
    report::memory("resident", VARIANT, &process::memory(process)?);
    idle(&mut session, VARIANT)?;
    session.end("q")
}

/// What a key takes to a program that sends it back, and from there.
fn echo() -> Outcome<()> {
    let mut command = CommandBuilder::new("sh");
    command.args(["-c", "stty raw -echo; printf '!'; exec cat"]);
    let mut session = Session::start(command)?;
    session.until("the program", |screen| screen.contents().contains('!'))?;
    let place = |screen: &Screen| Some(format!("{:?}", screen.cursor_position()));
    press(
        &mut session,
        "x sent back",
        "`cat`",
        "x",
        YARDSTICK_KEYS,
        place,
    )
}
