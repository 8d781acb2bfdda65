//! The configuration file: `ebb/config.toml` in the user's configuration directory, or the file that `EBB_CONFIG` names.
//!
//! ```toml
//! theme = "dark"            # dark, light, 16 (the terminal's own colours), none
//! mouse = false
//!
//! [keys]                    # commands by the names that the palette lists
//! roll-back = ["R", "F8"]
//! verify = "x"
//!
//! [profiles.lab]            # `ebb lab`
//! database = "postgres://server/lab"
//! production = true         # the database's name is typed before a rollback
//! read_only = true
//! ```

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::Deserialize;
use toml::Spanned;

use crate::eventsourcing::{Error, ErrorCode, Result, schema};
use crate::tui::keymap::{self, Key, Keymap};
use crate::tui::view::Theme;

/// The variable that names another file.
const FILE_VARIABLE: &str = "EBB_CONFIG";

/// A database with a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its address.
    pub database: String,
    /// Whether its name has to be typed before a rollback.
    #[serde(default)]
    pub production: bool,
    /// Whether nothing may be written.
    #[serde(default)]
    pub read_only: bool,
}

/// What the user has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The colours; `None` when the file does not say.
    pub theme: Option<Theme>,
    /// Whether the mouse is asked for; `None` likewise.
    pub mouse: Option<bool>,
    /// Which key does what.
    pub keymap: Keymap,
    /// Databases by their names.
    pub profiles: BTreeMap<String, Profile>,
}

/// One key, or several.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a key is expected here, like \"R\", or a list of them, like [\"R\", \"f8\"]"
)]
enum Keys {
    One(String),
    Several(Vec<String>),
}

impl Keys {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    theme: Option<Spanned<String>>,
    mouse: Option<bool>,
    keys: BTreeMap<Spanned<String>, Spanned<Keys>>,
    profiles: BTreeMap<String, Profile>,
}

/// Reads the file; where there is none, everything is as it comes.
///
/// # Errors
/// `Usage`, naming the file and the line, for what cannot be meant; `Io` when the file cannot be read.
pub fn read() -> Result<File> {
    let named = super::variable(FILE_VARIABLE).map(PathBuf::from);
    let is_named = named.is_some();
    let own = || {
        let directories = etcetera::choose_base_strategy().ok()?;
        Some(directories.config_dir().join("ebb").join("config.toml"))
    };
    let Some(path) = named.or_else(own) else {
        return Ok(File::default());
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => {
            Ok(File::default())
        }
        Err(error) => Err(Error::new(
            ErrorCode::Io,
            format!("{} cannot be read: {error}", path.display()),
        )),
    }
}

/// Reads the text of the file of this name.
///
/// # Errors
/// `Usage`, as [`read`].
pub fn parse(path: &Path, text: &str) -> Result<File> {
    let refuse = |at: usize, words: String| {
        let line = text[..at.min(text.len())].matches('\n').count() + 1;
        Error::new(
            ErrorCode::Usage,
            format!("{}, line {line}: {words}", path.display()),
        )
    };
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        refuse(at, error.message().trim().replace('\n', "; "))
    })?;
    let mut file = File {
        mouse: raw.mouse,
        profiles: raw.profiles,
        ..File::default()
    };
    if let Some(theme) = raw.theme {
        let found = Theme::parse(theme.get_ref());
        file.theme = Some(found.ok_or_else(|| {
            let words = format!("there is no theme \"{}\"", theme.get_ref());
            refuse(theme.span().start, words).hint("there are dark, light, 16 and none")
        })?);
    }
    let mut places = Vec::new();
    for (name, keys) in &raw.keys {
        let at = name.span().start;
        let parsed = keys.get_ref().names().iter().map(|key| {
            Key::parse(key).ok_or_else(|| {
                refuse(keys.span().start, format!("there is no key \"{key}\""))
                    .hint("keys are written R, ctrl-r, f5, enter, pageup")
            })
        });
        let mut parsed: Vec<Key> = parsed.collect::<Result<_>>()?;
        // Named twice it still means one thing.
        let mut seen = HashSet::new();
        parsed.retain(|key| seen.insert(*key));
        file.keymap
            .rebind(name.get_ref(), &parsed)
            .map_err(|words| {
                let error = refuse(at, words);
                let is_known = keymap::names().any(|known| known == name.get_ref());
                match schema::nearest(name.get_ref(), keymap::names()) {
                    _ if is_known => error.hint("give it one, or leave its line out"),
                    Some(nearest) => error.hint(format!("did you mean \"{nearest}\"?")),
                    None => error.hint("the palette (:) lists the commands by name"),
                }
            })?;
        places.push((name.get_ref().as_str(), at));
    }
    if let Some((key, one, other)) = file.keymap.conflict() {
        let place = places.iter().find(|(name, _)| [one, other].contains(name));
        let at = place.map_or(0, |(_, at)| *at);
        let words = format!("{} would mean both \"{one}\" and \"{other}\"", key.name());
        return Err(refuse(at, words).hint("give one of the two another key"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::keymap::{Action, Context};

    fn read(text: &str) -> Result<File> {
        parse(Path::new("config.toml"), text)
    }

    #[test]
    fn what_the_file_says_holds() {
        let file = read(
            "theme = \"light\"\nmouse = false\n[keys]\nroll-back = [\"f8\"]\n[profiles.lab]\ndatabase = \"lab.db\"\nproduction = true\n",
        );
        let file = file.expect("a file");
        assert_eq!((file.theme, file.mouse), (Some(Theme::Light), Some(false)));
        let action = file.keymap.action(Context::Timeline, Key::F(8));
        assert_eq!(action, Some(Action::RollBack));
        assert!(file.profiles["lab"].production);
        let one = read("[keys]\nroll-back = \"f8\"\nverify = [\"x\", \"x\"]").expect("a file");
        let does = |context, key| one.keymap.action(context, key);
        assert_eq!(does(Context::Timeline, Key::F(8)), Some(Action::RollBack));
        assert_eq!(does(Context::Audit, Key::Char('x')), Some(Action::Verify));
        assert_eq!(read("").expect("an empty file"), File::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, says, hint) in [
            (
                "mouse = true\n\ntheme = \"drak\"",
                "line 3: there is no theme \"drak\"",
                "light",
            ),
            (
                "[keys]\n\nroll-bak = [\"x\"]",
                "line 3: there is no command \"roll-bak\"",
                "\"roll-back\"?",
            ),
            (
                "[keys]\nroll-back = [\"hyper-x\"]",
                "line 2: there is no key \"hyper-x\"",
                "ctrl-r",
            ),
            (
                "[keys]\nroll-back = [\"q\"]",
                "line 2: q would mean both",
                "another key",
            ),
            ("\ncolour = 1", "line 2: unknown field `colour`", ""),
            ("mouse = maybe", "line 1: ", ""),
            (
                "[keys]\nquit = []",
                "line 2: \"quit\" needs a key",
                "leave its line out",
            ),
            (
                "[keys]\nverify = 1",
                "line 2: a key is expected here, like \"R\"",
                "",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.message.contains(says), "{text}: {}", error.message);
            let given = error.hint.unwrap_or_default();
            assert!(given.contains(hint), "{text}: {given}");
        }
    }
}
