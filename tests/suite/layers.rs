//! The layer rule, and that no test file is forgotten.

use std::path::{Path, PathBuf};

/// What may not be named, and where. A part of a path of `src`, and words.
const RULES: &[(&str, &[&str])] = &[
    (
        "eventsourcing",
        &[
            "sqlx",
            "ratatui",
            "crossterm",
            "tokio",
            "clap",
            "crate::store",
            "crate::tui",
            "crate::cli",
            "crate::config",
            "Utc::now",
            "SystemTime",
        ],
    ),
    (
        "store",
        &[
            "ratatui",
            "crossterm",
            "clap",
            "crate::tui",
            "crate::cli",
            "crate::config",
            "crate::text",
        ],
    ),
    (
        "tui",
        &[
            "crate::store",
            "sqlx",
            "clap",
            "crate::cli",
            "crate::config",
        ],
    ),
    (
        "tui/view",
        &[
            "tokio",
            "crossterm",
            "crate::tui::effects",
            "crate::tui::runtime",
        ],
    ),
    ("tui/model", &PURE),
    ("tui/message", &PURE),
    ("tui/update", &PURE),
    ("tui/effect.rs", &PURE),
    ("tui/keymap", &PURE),
    ("tui/layout", &PURE),
    ("tui/pages", &PURE),
    (
        "cli",
        &[
            "sqlx",
            "ratatui",
            "crate::store::sqlite",
            "crate::store::postgres",
        ],
    ),
];

const PURE: [&str; 6] = [
    "tokio",
    "ratatui",
    "crossterm",
    "sqlx",
    "Instant::now",
    "std::fs",
];

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                found.push(path);
            }
            false => {}
        }
    }
    found
}

/// The words that this file of `src` may not have and has.
fn broken<'a>(file: &str, text: &str, rules: &[(&str, &'a [&'a str])]) -> Vec<&'a str> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    rules
        .iter()
        .filter(|(place, _)| {
            file == format!("{place}.rs")
                || file == *place
                || file.starts_with(&format!("{place}/"))
        })
        .flat_map(|(_, words)| words.iter().copied())
        .filter(|word| {
            code.match_indices(word).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                let after = code[at + word.len()..].chars().next();
                let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                !in_word(before) && !in_word(after)
            })
        })
        .collect()
}

#[test]
fn each_layer_names_only_what_it_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in files(&src) {
        let file = path
            .strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if file == "tui.rs" {
            continue; // It puts the parts of the screens together.
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            broken(&file, &text, RULES),
            Vec::<&str>::new(),
            "in src/{file}"
        );
    }
}

#[test]
fn a_wrong_line_is_found() {
    let found = broken(
        "eventsourcing/row.rs",
        "use sqlx::Row;\n// tokio in a comment\n",
        RULES,
    );
    assert_eq!(found, ["sqlx"]);
    assert_eq!(
        broken("tui/update/rollback.rs", "tokio::spawn(x)", RULES),
        ["tokio"]
    );
    assert_eq!(
        broken("tui/view.rs", "use crate::store;", RULES),
        ["crate::store"]
    );
    assert!(
        broken(
            "store/sqlite.rs",
            "use crate::eventsourcing::store::Backend;",
            RULES
        )
        .is_empty()
    );
}

#[test]
fn no_test_file_is_forgotten() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    for path in files(&suite) {
        if path.ends_with("main.rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let parent = path.parent().unwrap();
        let declared_in = match parent == suite {
            true => suite.join("main.rs"),
            false => parent.with_extension("rs"),
        };
        let text = std::fs::read_to_string(&declared_in).unwrap();
        assert!(
            text.contains(&format!("mod {name};")),
            "{} is not declared in {}",
            path.display(),
            declared_in.display()
        );
    }
}
