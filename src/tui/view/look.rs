//! Colours and signs, as the terminal can show them.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::tui::pages::Tone;

/// Which colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// For light text on a dark ground.
    Dark,
    /// For dark text on a light ground.
    Light,
    /// Of the terminal's own 16, which every scheme has made readable.
    #[default]
    Sixteen,
    /// None: bold, faint and reversed alone.
    None,
}

impl Theme {
    /// The theme of this name in the configuration file.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "dark" => Self::Dark,
            "light" => Self::Light,
            "16" => Self::Sixteen,
            "none" => Self::None,
            _ => return None,
        })
    }

    /// What is added, what is removed, what changes. Of the 256 colours that terminals have agreed on.
    fn colours(self) -> Option<[Color; 3]> {
        Some(match self {
            Self::Dark => [
                Color::Indexed(114),
                Color::Indexed(210),
                Color::Indexed(179),
            ],
            Self::Light => [Color::Indexed(28), Color::Indexed(124), Color::Indexed(130)],
            Self::Sixteen => [Color::Green, Color::Red, Color::Yellow],
            Self::None => return None,
        })
    }
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which colours.
    pub theme: Theme,
    /// Whether signs beyond ASCII can be drawn.
    pub unicode: bool,
}

impl Look {
    /// From `NO_COLOR`, which goes before the theme that is chosen, and the locale.
    #[must_use]
    pub fn of_environment(chosen: Option<Theme>) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(variable);
        Self {
            theme: match variable("NO_COLOR") {
                Some(_) => Theme::None,
                None => chosen.unwrap_or_default(),
            },
            unicode: locale.is_some_and(|locale| {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            }),
        }
    }

    /// The style of a tone.
    pub(super) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        let coloured = |at: usize| match self.theme.colours() {
            Some(colours) => style.fg(colours[at]),
            None => style,
        };
        match tone {
            Tone::Plain => style,
            Tone::Strong => style.add_modifier(Modifier::BOLD),
            Tone::Faint => style.add_modifier(Modifier::DIM),
            Tone::Added => coloured(0),
            Tone::Removed => coloured(1),
            Tone::Changed => coloured(2),
            Tone::Warning => coloured(2).add_modifier(Modifier::BOLD),
        }
    }

    /// The style of the header and the footer.
    pub(super) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The style of the line under the cursor.
    pub(super) fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Replaces the signs that the terminal cannot draw.
    pub(super) fn make_fit(self, buffer: &mut Buffer) {
        if self.unicode {
            return;
        }
        for cell in &mut buffer.content {
            let symbol = cell.symbol();
            if !symbol.is_ascii() {
                let fit = ascii(symbol);
                cell.set_symbol(fit);
            }
        }
    }
}

/// The ASCII sign for one beyond it.
fn ascii(symbol: &str) -> &'static str {
    match symbol {
        "→" => ">",
        "←" => "<",
        "↑" => "^",
        "↓" => "v",
        "…" => ".",
        "·" => "|",
        "│" => "|",
        "─" | "–" => "-",
        "┌" => "/",
        "└" => "\\",
        "▌" => ">",
        "•" => "*",
        "▁" => "_",
        "▂" | "▃" => "-",
        "▄" | "▅" => "=",
        "▆" | "▇" => "#",
        "«" => "<",
        "»" => ">",
        "∅" => "_",
        "█" => "#",
        "░" => ".",
        "×" => "x",
        _ => "?",
    }
}
