//! A key, and its name.

/// A key, as people press it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A character, with shift already applied.
    Char(char),
    /// A character with Ctrl.
    Ctrl(char),
    /// A function key.
    F(u8),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Tab.
    Tab,
    /// Tab with shift.
    BackTab,
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// The arrow to the left.
    Left,
    /// The arrow to the right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

/// The keys that have a name: as the configuration file has it, and as the screens show it.
const NAMED: [(Key, &str, &str); 16] = [
    (Key::Char(' '), "space", "Space"),
    (Key::Enter, "enter", "Enter"),
    (Key::Esc, "esc", "Esc"),
    (Key::Backspace, "backspace", "Backspace"),
    (Key::Delete, "delete", "Del"),
    (Key::Tab, "tab", "Tab"),
    (Key::BackTab, "shift-tab", "Shift-Tab"),
    (Key::Up, "up", "↑"),
    (Key::Down, "down", "↓"),
    (Key::Left, "left", "←"),
    (Key::Right, "right", "→"),
    (Key::PageUp, "pageup", "PgUp"),
    (Key::PageDown, "pagedown", "PgDn"),
    (Key::Home, "home", "Home"),
    (Key::End, "end", "End"),
    (Key::Char('-'), "minus", "-"),
];

impl Key {
    /// Its name on the screens.
    #[must_use]
    pub fn name(self) -> String {
        match (NAMED.iter().find(|(key, ..)| *key == self), self) {
            (Some((_, _, shown)), _) => (*shown).to_owned(),
            (None, Self::Char(character)) => character.to_string(),
            (None, Self::Ctrl(character)) => format!("Ctrl-{}", character.to_ascii_uppercase()),
            (None, Self::F(number)) => format!("F{number}"),
            (None, other) => format!("{other:?}"),
        }
    }

    /// The key of this name in the configuration file: `R`, `ctrl-r`, `f5`, `enter`. `None` when there is no such key.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut characters = name.chars();
        if let (Some(only), None) = (characters.next(), characters.next()) {
            return Some(Self::Char(only));
        }
        let lower = name.to_ascii_lowercase();
        if let Some((key, ..)) = NAMED.iter().find(|(_, named, _)| *named == lower) {
            return Some(*key);
        }
        if let Some(number) = lower.strip_prefix('f') {
            return number
                .parse()
                .ok()
                .filter(|n| (1..=12).contains(n))
                .map(Self::F);
        }
        let mut rest = lower.strip_prefix("ctrl-")?.chars();
        match (rest.next(), rest.next()) {
            (Some(only), None) => Some(Self::Ctrl(only)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_name() {
        for (name, key) in [
            ("R", Key::Char('R')),
            ("é", Key::Char('é')),
            ("Ctrl-R", Key::Ctrl('r')),
            ("f5", Key::F(5)),
            ("Shift-Tab", Key::BackTab),
            ("space", Key::Char(' ')),
        ] {
            assert_eq!(Key::parse(name), Some(key), "{name}");
        }
        for name in ["", "f13", "ctrl-", "ctrl-ab", "hyper-x"] {
            assert_eq!(Key::parse(name), None, "{name}");
        }
    }
}
