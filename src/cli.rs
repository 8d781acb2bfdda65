//! The command line: everything that the screens do to data can be done without them. One file a command.

mod append;
mod args;
mod change;
mod confirm;
mod demo;
mod diff;
mod exit;
mod heap;
mod history;
mod init;
mod log;
mod output;
mod parse;
mod picture;
mod rollback;
mod show;
mod table;
mod verify;
mod waiting;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::config;
use crate::eventsourcing::{Error, ErrorCode, EventStore, Result};
use crate::store::{self, Address};
use crate::tui;
use args::{Args, Command, Global};
use output::Output;

/// Threads beside the main one.
const WORKERS: usize = 1;

/// Reads the arguments, runs the command, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    heap::share_one_arena();
    let args = Args::parse();
    let output = Output::new(args.global.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        // The screens are drawn by the main thread. Each further one has memory of its own, and waits for the database like the others.
        .worker_threads(WORKERS)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ErrorCode::Io, format!("ebb could not start: {error}"));
            return exit::after(Err(error), &output);
        }
    };
    let result = runtime.block_on(run(args, &output));
    exit::after(result, &output)
}

/// How a command ends that did not fail.
enum End {
    /// It is done.
    Done,
    /// Verification found something.
    Found,
    /// A plan was asked for, and it has blockers.
    Blocked,
}

async fn run(args: Args, output: &Output) -> Result<End> {
    let mut global = args.global;
    let mut place = args.place;
    if args.command.is_none() || place.is_none() {
        take_profile(&mut global, &mut place)?;
    }
    let command = match (args.command, place) {
        (Some(_), Some(stray)) => {
            // It may be a URL with a password in it, which an address never shows.
            let stray = stray.parse::<Address>()?;
            return Err(Error::new(
                ErrorCode::Usage,
                format!("\"{stray}\" stands before the command, where only options can stand"),
            )
            .hint("name the database with -d"));
        }
        (Some(command), None) => command,
        (None, place) => return screens(&global, place, output).await,
    };
    match command {
        Command::Demo(demo) => demo::run(&global, demo, output).await,
        Command::Init(init) => init::run(&global, init, output).await,
        Command::Picture(asked) => {
            let store = open(&global, None).await?;
            let done = picture::run(store.clone(), &global, asked).await;
            store.close().await;
            done
        }
        command => {
            let store = open(&global, None).await?;
            let done = on_store(&*store, command, output).await;
            store.close().await;
            done
        }
    }
}

async fn on_store(store: &dyn EventStore, command: Command, output: &Output) -> Result<End> {
    match command {
        Command::Log(log) => log::run(store, log, output).await,
        Command::Show { id } => show::run(store, id, output).await,
        Command::Table(table) => table::run(store, table, output).await,
        Command::History { table, uuid } => history::run(store, &table, &uuid, output).await,
        Command::Create { table, data } => change::create(store, table, &data, output).await,
        Command::Update { table, uuid, data } => {
            change::update(store, table, &uuid, &data, output).await
        }
        Command::Delete { table, uuid } => change::delete(store, table, &uuid, output).await,
        Command::Append { file } => append::run(store, &file, output).await,
        Command::Rollback(rollback) => rollback::rollback(store, rollback, output).await,
        Command::Revert(revert) => rollback::revert(store, revert, output).await,
        Command::Diff { from, to } => diff::run(store, &from, to.as_deref(), output).await,
        Command::Undo(undo) => rollback::undo(store, undo, output).await,
        Command::Redo(redo) => rollback::redo(store, redo, output).await,
        Command::Verify(verify) => verify::run(store, verify, output).await,
        Command::Demo(_) | Command::Init(_) | Command::Picture(_) => {
            unreachable!("these are run before: they make the store, or open the screens on it")
        }
    }
}

/// Replaces the name of a profile by what it stands for.
fn take_profile(global: &mut Global, place: &mut Option<String>) -> Result<()> {
    let given = match place {
        Some(_) => place,
        None => &mut global.database,
    };
    if let Some(profile) = config::profile(given.as_deref())? {
        *given = Some(profile.database);
        global.read_only |= profile.read_only;
        global.production = profile.production;
    }
    Ok(())
}

/// Opens the database that the arguments or the environment name.
async fn open(global: &Global, place: Option<&str>) -> Result<Arc<dyn EventStore>> {
    let address = config::address(global.database.as_deref().or(place))?;
    store::open(&address, &config::open_options(global.read_only)?).await
}

/// `ebb DATABASE`: the screens, or the timeline in words where there is no terminal.
async fn screens(global: &Global, place: Option<String>, output: &Output) -> Result<End> {
    if global.database.is_some() && place.is_some() {
        return Err(Error::new(ErrorCode::Usage, "two databases are given").hint("name one"));
    }
    let store = open(global, place.as_deref()).await?;
    show_store(store, global, output).await
}

/// Opens the screens on a store; prints its timeline where there is no terminal.
async fn show_store(store: Arc<dyn EventStore>, global: &Global, output: &Output) -> Result<End> {
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if is_terminal && !output.is_json() {
        let file = config::file::read()?;
        let settings = tui::Settings {
            look: tui::view::Look::of_environment(file.theme),
            keymap: file.keymap,
            production: global.production,
        };
        let mouse = file.mouse.unwrap_or(true) && !global.no_mouse;
        tui::run(store.clone(), settings, mouse).await?;
        store.close().await;
        return Ok(End::Done);
    }
    let done = print_store(&*store, output).await;
    store.close().await;
    done
}

/// Where the database is, and its timeline.
async fn print_store(store: &dyn EventStore, output: &Output) -> Result<End> {
    let info = store.info();
    output.note(&format!("{} ({})", info.location, info.backend.as_str()))?;
    log::run(store, args::Log::default(), output).await
}

/// Refuses to write where nothing can be written, before anything is asked of the user.
fn check_writable(store: &dyn EventStore) -> Result<()> {
    match &store.info().read_only {
        None => Ok(()),
        Some(reason) => Err(Error::new(
            ErrorCode::ReadOnly,
            format!("nothing can be written to {}: {reason}", store.info().name),
        )),
    }
}
