//! `ebb demo`: the Mad Lab.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Demo, Global};
use super::output::Output;
use super::{End, print_store, show_store};
use crate::eventsourcing::store::Backend;
use crate::eventsourcing::{Error, ErrorCode, EventStore, Result};
use crate::store::{self, Address, OpenOptions};
use crate::{config, demo};

pub(super) async fn run(global: &Global, args: Demo, output: &Output) -> Result<End> {
    let options = config::open_options(global.read_only)?;
    if global.database.is_some() && args.at.is_some() {
        return Err(
            Error::new(ErrorCode::Usage, "two places are given, by -d and by --at")
                .hint("name one"),
        );
    }
    let store = match (&global.database, args.at) {
        (Some(database), _) => {
            if args.fresh {
                return Err(Error::new(
                    ErrorCode::Usage,
                    "--fresh makes the demo's own file anew, and no other database",
                )
                .hint("leave out -d, or say where the file is with --at"));
            }
            elsewhere(&database.parse()?, &options).await?
        }
        (None, Some(file)) => in_file(&file, args.fresh, &options).await?,
        (None, None) => {
            let file = config::demo_file()?;
            make_directory(&file)?;
            in_file(&file, args.fresh, &options).await?
        }
    };
    if args.no_tui {
        let done = print_store(&*store, output).await;
        store.close().await;
        return done;
    }
    show_store(store, global, output).await
}

/// In a database that was named: it must not hold any events.
async fn elsewhere(address: &Address, options: &OpenOptions) -> Result<Arc<dyn EventStore>> {
    match store::open(address, options).await {
        Ok(store) => {
            let head = store.head().await?;
            let name = store.info().name.clone();
            store.close().await;
            if head > 0 {
                return Err(Error::new(
                    ErrorCode::NotEmpty,
                    format!("{name} already holds {head} events"),
                )
                .hint("nothing was changed; make the demo in an empty database"));
            }
        }
        Err(error)
            if matches!(
                error.code,
                ErrorCode::NoEventStore | ErrorCode::FileNotFound
            ) => {}
        Err(error) => return Err(error),
    }
    make(address, options).await
}

/// In a file of its own: opened as it is when it is there.
async fn in_file(file: &Path, fresh: bool, options: &OpenOptions) -> Result<Arc<dyn EventStore>> {
    let address = Address::Sqlite(file.to_owned());
    let opened = store::open(&address, options).await;
    match opened {
        Ok(store) if !fresh => return Ok(store),
        Ok(store) => {
            // It opened, so it is an event store of ebb's: no other file is ever removed.
            store.close().await;
            for suffix in ["", "-wal", "-shm"] {
                remove(file, suffix)?;
            }
        }
        Err(error) if error.code == ErrorCode::FileNotFound => {}
        Err(error) => return Err(error),
    }
    make(&address, options).await
}

fn remove(file: &Path, suffix: &str) -> Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    let name = PathBuf::from(name);
    match std::fs::remove_file(&name) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::new(
            ErrorCode::Io,
            format!("{} could not be removed: {error}", name.display()),
        )),
        _ => Ok(()),
    }
}

fn make_directory(file: &Path) -> Result<()> {
    let Some(directory) = file.parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        Error::new(
            ErrorCode::Io,
            format!("{} could not be made: {error}", directory.display()),
        )
        .hint("say where the demo should be: `ebb demo --at FILE`")
    })
}

/// Makes the tables, and tells the story.
async fn make(address: &Address, options: &OpenOptions) -> Result<Arc<dyn EventStore>> {
    if options.read_only {
        return Err(Error::new(
            ErrorCode::ReadOnly,
            "the demo cannot be made with --read-only",
        ));
    }
    let backend = match address {
        Address::Sqlite(_) => Backend::Sqlite,
        Address::Postgres(_) => Backend::Postgres,
    };
    let store = store::init(address, options, Some(demo::schema(backend)))
        .await?
        .store;
    demo::tell(&*store).await?;
    Ok(store)
}
