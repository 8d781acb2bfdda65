//! The address of a database.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::eventsourcing::{Error, ErrorCode};

/// Where a database is. Its `Debug` and its `Display` never show a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A file.
    Sqlite(PathBuf),
    /// A URL as libpq has it, `postgres://user:password@host:port/database?options`; what it leaves out comes
    /// from `PGHOST` and its kin and from `.pgpass`.
    Postgres(String),
}

impl FromStr for Address {
    type Err = Error;

    /// Reads `postgres://…`, `postgresql://…`, `sqlite:FILE`, or the path of a file.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let file = match text.strip_prefix("sqlite:") {
            Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
            None => text,
        };
        if let Some((scheme, _)) = file.split_once("://") {
            return Err(Error::new(
                ErrorCode::BadAddress,
                format!("ebb does not know databases of the kind \"{scheme}\""),
            )
            .hint("give a SQLite file (lab.db) or a PostgreSQL URL (postgres://host/database)"));
        }
        if file.is_empty() {
            return Err(
                Error::new(ErrorCode::BadAddress, "the database's address is empty").hint(
                    "give a SQLite file (lab.db) or a PostgreSQL URL (postgres://host/database)",
                ),
            );
        }
        Ok(Self::Sqlite(PathBuf::from(file)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// The URL with its password left out, wherever libpq would accept one: before the `@`, and as the parameter
/// `password`. Works on text, because a URL that does not parse must not show its password either.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may itself hold an `@`: the last one ends it.
    let place = match place.rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split_once(':').map_or(login, |(user, _)| user);
            format!("{user}@{host}")
        }
        None => place.to_owned(),
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.to_ascii_lowercase().starts_with("password="))
        .collect();
    match kept.is_empty() {
        true => format!("{scheme}://{place}"),
        false => format!("{scheme}://{place}?{}", kept.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (given, shown) in [
            (
                "postgres://tga:s3cret@lab:5433/mad",
                "postgres://tga@lab:5433/mad",
            ),
            ("postgres://tga:s3@cret@lab/mad", "postgres://tga@lab/mad"),
            (
                "postgres://lab/mad?user=tga&password=s3cret",
                "postgres://lab/mad?user=tga",
            ),
            ("postgres://lab/mad?Password=s3cret", "postgres://lab/mad"),
            ("postgresql:///mad", "postgresql:///mad"),
        ] {
            let address: Address = given.parse().expect("an address");
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("Address({shown})"));
        }
    }

    #[test]
    fn an_address_is_a_file_or_a_url() {
        let parse = |text: &str| text.parse::<Address>();
        assert_eq!(parse("lab.db"), Ok(Address::Sqlite("lab.db".into())));
        assert_eq!(parse("sqlite:lab.db"), Ok(Address::Sqlite("lab.db".into())));
        assert_eq!(
            parse("sqlite:///tmp/lab.db"),
            Ok(Address::Sqlite("/tmp/lab.db".into()))
        );
        assert!(parse("mysql://lab/mad").is_err());
        assert!(parse("").is_err());
    }
}
