//! Where the database's address comes from, and who the user is.

pub mod file;

use std::path::PathBuf;

use etcetera::BaseStrategy;

use crate::eventsourcing::{Error, ErrorCode, Result};
use crate::store::{Address, OpenOptions};

/// The variables that name a database when the command line does not, the first one first.
const ADDRESS_VARIABLES: [&str; 2] = ["EBB_DATABASE", "DATABASE_URL"];

/// The variable with the person's own name, for a role or an account that several people share.
const PERSON_VARIABLE: &str = "EBB_PERSON";

fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// The database to use: the one given, or the one in the environment.
///
/// # Errors
/// `Usage` when there is none, and `BadAddress`.
pub fn address(given: Option<&str>) -> Result<Address> {
    let from_environment = || ADDRESS_VARIABLES.into_iter().find_map(variable);
    match given.map(str::to_owned).or_else(from_environment) {
        Some(text) => text.parse(),
        None => Err(Error::new(ErrorCode::Usage, "no database is given").hint(
            "name one: `ebb lab.db`, `ebb -d postgres://host/database log`, or set EBB_DATABASE; \
             `ebb demo` opens an example",
        )),
    }
}

/// The profile that is meant, when the database given, or the one in the environment, is neither an address nor a file that is there, but the
/// name of one in the configuration file.
///
/// # Errors
/// What is wrong with the configuration file.
pub fn profile(given: Option<&str>) -> Result<Option<file::Profile>> {
    let from_environment = || ADDRESS_VARIABLES.into_iter().find_map(variable);
    let Some(name) = given.map(str::to_owned).or_else(from_environment) else {
        return Ok(None);
    };
    let is_address = name.contains([':', '/', '.']) || std::path::Path::new(&name).exists();
    match is_address {
        true => Ok(None),
        false => Ok(file::read()?.profiles.remove(&name)),
    }
}

/// How to open it, for this user.
///
/// # Errors
/// `Io` when the operating system does not say who the user is.
pub fn open_options(read_only: bool) -> Result<OpenOptions> {
    Ok(OpenOptions {
        read_only,
        user: whoami::username().map_err(|error| {
            Error::new(
                ErrorCode::Io,
                format!("the operating system does not say who you are: {error}"),
            )
        })?,
        person: variable(PERSON_VARIABLE),
    })
}

/// The demo's file: in the user's data directory.
///
/// # Errors
/// `Io` when the user has no home directory.
pub fn demo_file() -> Result<PathBuf> {
    let directories = etcetera::choose_base_strategy().map_err(|error| {
        Error::new(
            ErrorCode::Io,
            format!("there is no data directory: {error}"),
        )
        .hint("say where the demo should be: `ebb demo --at FILE`")
    })?;
    Ok(directories.data_dir().join("ebb").join("mad-lab.db"))
}
