//! Colours and signs, as the terminal can show them.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::tui::pages::Tone;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether there are colours.
    pub colours: bool,
    /// Whether signs beyond ASCII can be drawn.
    pub unicode: bool,
}

impl Look {
    /// From `NO_COLOR` and the locale.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(variable);
        Self {
            colours: variable("NO_COLOR").is_none(),
            unicode: locale.is_some_and(|locale| {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            }),
        }
    }

    /// The style of a tone: of the 16 colours that every scheme has made readable.
    pub(super) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        let coloured = |colour| {
            if self.colours {
                style.fg(colour)
            } else {
                style
            }
        };
        match tone {
            Tone::Plain => style,
            Tone::Strong => style.add_modifier(Modifier::BOLD),
            Tone::Faint => style.add_modifier(Modifier::DIM),
            Tone::Added => coloured(Color::Green),
            Tone::Removed => coloured(Color::Red),
            Tone::Changed => coloured(Color::Yellow),
            Tone::Warning => coloured(Color::Yellow).add_modifier(Modifier::BOLD),
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
        "┌" | "└" => "+",
        "▌" => ">",
        "«" => "<",
        "»" => ">",
        "∅" => "0",
        "█" => "#",
        "░" => ".",
        "×" => "x",
        _ => "?",
    }
}
