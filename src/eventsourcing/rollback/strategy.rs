//! The two ways to write a rollback.

use std::fmt;
use std::str::FromStr;

use crate::eventsourcing::error::{Error, ErrorCode, Result};

/// How a rollback is written. After either, the tables are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Only what differs: deletes and restores.
    #[default]
    Minimal,
    /// The seed's: every live row deleted, every event effective at the target repeated.
    Replay,
}

impl Strategy {
    /// Its name on the command line and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Replay => "replay",
        }
    }

    /// What it does, in a few words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Minimal => "one event for each row that changes",
            Self::Replay => {
                "every living row deleted, and every event that counts at the target appended again; the tables become the same as by minimal, and the log \
                 grows the more"
            }
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Minimal => Self::Replay,
            Self::Replay => Self::Minimal,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Strategy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "minimal" => Ok(Self::Minimal),
            "replay" => Ok(Self::Replay),
            _ => Err(Error::new(
                ErrorCode::Usage,
                format!("there is no strategy \"{text}\": it is minimal or replay"),
            )),
        }
    }
}
