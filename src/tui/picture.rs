//! What stands on a screen as a picture (SVG), so that documentation shows what the program draws.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// A cell's width and height, in pixels.
const CELL: (f32, f32) = (8.4, 18.0);

/// From a line's top to where its letters stand.
const BASE: f32 = 13.5;

/// Around the screen.
const MARGIN: f32 = 10.0;

/// Letters and ground where nothing is said about them.
const INK: &str = "#d5dae3";
const PAPER: &str = "#1b1f27";

/// The terminal's own 16 colours, as this picture has them.
const SIXTEEN: [&str; 16] = [
    "#1b1f27", "#e5737a", "#8cc570", "#d9b25f", "#6aa5e8", "#c58ae0", "#5fc4c0", "#d5dae3",
    "#5c6370", "#f0868d", "#a3d98a", "#e8c67a", "#85b8f2", "#d5a2ec", "#7ad6d2", "#ffffff",
];

/// How a run of cells is drawn.
#[derive(Clone, Debug, PartialEq)]
struct Style {
    ink: String,
    paper: Option<String>,
    is_bold: bool,
    is_faint: bool,
}

/// The picture.
#[must_use]
pub fn svg(buffer: &Buffer) -> String {
    let columns = usize::from(buffer.area.width).max(1);
    let (width, height) = (
        f32::from(buffer.area.width) * CELL.0,
        f32::from(buffer.area.height) * CELL.1,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
         font-family=\"ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n",
        w = width + 2.0 * MARGIN,
        h = height + 2.0 * MARGIN,
    );
    for (line, cells) in buffer.content.chunks(columns).enumerate() {
        let top = MARGIN + line as f32 * CELL.1;
        let mut at = 0;
        for run in cells.chunk_by(|a, b| style(a) == style(b)) {
            draw_run(&mut svg, run, MARGIN + at as f32 * CELL.0, top);
            at += run.len();
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Cells of one style, each of whose letters stands where the terminal has it, whatever the font makes of the others.
fn draw_run(svg: &mut String, run: &[Cell], left: f32, top: f32) {
    let style = style(&run[0]);
    if let Some(paper) = &style.paper {
        svg.push_str(&format!(
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{paper}\"/>\n",
                run.len() as f32 * CELL.0 + 0.1,
                CELL.1 + 0.1
            ),
        );
    }
    let is_blank = |cell: &Cell| cell.symbol().trim().is_empty();
    let mut at = 0;
    // A word of letters that every font has is one text, so that a wider one moves nothing else; other signs are each their own.
    for word in run.chunk_by(|a, b| is_word(a) && is_word(b)) {
        if !word.iter().all(is_blank) {
            let text: String = word.iter().map(Cell::symbol).collect();
            let weight = if style.is_bold {
                " font-weight=\"700\""
            } else {
                ""
            };
            let faint = if style.is_faint {
                " opacity=\"0.6\""
            } else {
                ""
            };
            svg.push_str(&format!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{}\"{weight}{faint} textLength=\"{:.1}\" xml:space=\"preserve\">{}</text>\n",
                    left + at as f32 * CELL.0,
                    top + BASE,
                    style.ink,
                    word.len() as f32 * CELL.0,
                    escaped(&text)
                ),
            );
        }
        at += word.len();
    }
}

fn is_word(cell: &Cell) -> bool {
    cell.symbol().is_ascii() && cell.symbol() != " "
}

fn style(cell: &Cell) -> Style {
    let is_reversed = cell.modifier.contains(Modifier::REVERSED);
    let ink = colour(cell.fg).unwrap_or_else(|| INK.to_owned());
    let paper = colour(cell.bg);
    let (ink, paper) = match is_reversed {
        true => (paper.unwrap_or_else(|| PAPER.to_owned()), Some(ink)),
        false => (ink, paper),
    };
    Style {
        ink,
        paper,
        is_bold: cell.modifier.contains(Modifier::BOLD),
        is_faint: cell.modifier.contains(Modifier::DIM),
    }
}

/// The colour as a picture names it; `None` for the terminal's own.
fn colour(colour: Color) -> Option<String> {
    let named = |at: usize| Some(SIXTEEN[at].to_owned());
    match colour {
        Color::Reset => None,
        Color::Black => named(0),
        Color::Red => named(1),
        Color::Green => named(2),
        Color::Yellow => named(3),
        Color::Blue => named(4),
        Color::Magenta => named(5),
        Color::Cyan => named(6),
        Color::Gray => named(7),
        Color::DarkGray => named(8),
        Color::LightRed => named(9),
        Color::LightGreen => named(10),
        Color::LightYellow => named(11),
        Color::LightBlue => named(12),
        Color::LightMagenta => named(13),
        Color::LightCyan => named(14),
        Color::White => named(15),
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Indexed(index @ 0..=15) => named(usize::from(index)),
        // The cube of six steps for each colour, and then the greys, as xterm has them.
        Color::Indexed(index @ 16..=231) => {
            let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let at = index - 16;
            let (red, green, blue) = (step(at / 36), step(at / 6 % 6), step(at % 6));
            Some(format!("#{red:02x}{green:02x}{blue:02x}"))
        }
        Color::Indexed(index) => {
            let grey = 8 + 10 * (index - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
