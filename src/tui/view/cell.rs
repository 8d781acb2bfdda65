//! One value over the whole screen, and the drawing of numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::text::Span;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::{Look, put};
use crate::text::{clipped, visible, width as cells};
use crate::tui::model::{Cell, Plot};
use crate::tui::pages::{self, Tone};

pub(super) fn draw(buffer: &mut Buffer, area: Rect, cell: &Cell, look: Look) {
    let width = usize::from(area.width);
    let head = pages::cell_head(cell, width);
    for (at, line) in head.iter().enumerate() {
        put(buffer, area, at, &line.text, look.style(line.tone));
    }
    let below = |area: Rect, lines: usize| {
        let lines = u16::try_from(lines).unwrap_or(u16::MAX).min(area.height);
        Rect {
            y: area.y + lines,
            height: area.height - lines,
            ..area
        }
    };
    let mut rest = below(area, head.len());
    if let (true, Some(plot)) = (cell.is_plotted, &cell.plot) {
        let height = pages::plot_height(usize::from(rest.height));
        let place = Rect {
            height: u16::try_from(height).unwrap_or(rest.height),
            ..rest
        };
        draw_plot(buffer, place, plot, look);
        rest = below(rest, height);
    }
    let nodes = &cell.nodes;
    let shown = nodes.iter().enumerate().skip(cell.top);
    for (line, (at, node)) in shown.take(usize::from(rest.height)).enumerate() {
        let sign = match node.folded {
            Some(true) => "+ ",
            Some(false) => "- ",
            None => "  ",
        };
        let sign = if cell.value.is_string() { "" } else { sign };
        let text = format!(
            "{sign}{}{}",
            "  ".repeat(node.depth.min(width / 4)),
            node.text
        );
        let is_found = !cell.search.is_empty()
            && node
                .text
                .to_lowercase()
                .contains(&cell.search.to_lowercase());
        let style = match (at == cell.cursor, is_found) {
            (true, _) => look.cursor(),
            (false, true) => look.style(Tone::Changed),
            (false, false) => look.style(Tone::Plain),
        };
        put(buffer, rest, line, &clipped(&text, width), style);
        if at == cell.cursor && area.x > 0 {
            let margin = Rect {
                x: area.x - 1,
                width: 1,
                ..rest
            };
            put(buffer, margin, line, "▌", look.cursor());
        }
    }
}

/// A drawing of so few lines has none to spare for the names of its axes.
const FEW_LINES: u16 = 6;

/// Units of what is drawn from the right to the left.
const RUNS_LEFT: [&str; 4] = ["ppm", "cm-1", "cm⁻¹", "1/cm"];

/// Numbers beyond this are drawn smaller: their differences, and these times the cells of a screen, would be no numbers any more.
const LARGE: f64 = 1e290;

/// How much smaller; as a power of two it takes no digit away.
const SMALLER: f64 = 1.0 / (1u128 << 100) as f64;

/// The least and the largest of some numbers, with room between them, and by how much they are to be multiplied to be drawn.
fn extent(values: impl Iterator<Item = f64>) -> ([f64; 2], f64) {
    let (least, most) = values
        .filter(|value| value.is_finite())
        .fold((f64::MAX, f64::MIN), |(a, b), value| {
            (a.min(value), b.max(value))
        });
    let scale = match least.abs().max(most.abs()) > LARGE {
        true => SMALLER,
        false => 1.0,
    };
    let (least, most) = (scale * least, scale * most);
    match least < most {
        true => ([least, most], scale),
        // One value only: a line in the middle.
        false => {
            let room = (least.abs() / 2.0).max(1.0);
            ([least - room, least + room], scale)
        }
    }
}

fn draw_plot(buffer: &mut Buffer, area: Rect, plot: &Plot, look: Look) {
    // Shifts and wavenumbers run to the left, as chemists draw them.
    let runs_left = RUNS_LEFT.iter().any(|unit| plot.x_name.contains(unit));
    let sign = if runs_left { -1.0 } else { 1.0 };
    let points = || plot.runs.iter().flatten();
    let (x, x_scale) = extent(points().map(|(x, _)| sign * x));
    let (y, y_scale) = extent(points().map(|(_, y)| *y));
    let x_scale = sign * x_scale;
    let drawn = |(x, y): &(f64, f64)| (x_scale * x, y_scale * y);
    let runs: Vec<Vec<(f64, f64)>> = plot
        .runs
        .iter()
        .map(|run| run.iter().map(drawn).collect())
        .collect();
    let axis = |bounds: [f64; 2], scale: f64| {
        let labels = [bounds[0], (bounds[0] + bounds[1]) / 2.0, bounds[1]];
        let labels = pages::told_apart(labels.map(|label| label / scale));
        Axis::default()
            .style(look.style(Tone::Faint))
            .bounds(bounds)
            .labels(labels.map(Span::raw))
    };
    let dataset = |run| {
        Dataset::default()
            .marker(if look.unicode {
                Marker::Braille
            } else {
                Marker::Dot
            })
            .graph_type(GraphType::Line)
            .style(look.style(Tone::Added))
            .data(run)
    };
    // In lines of their own: within the drawing the names of the axes would cover its ends.
    let names = u16::from(area.height > FEW_LINES);
    let last = usize::from(area.height.saturating_sub(1));
    if names > 0 {
        let style = look.style(Tone::Faint);
        put(buffer, area, 0, &visible(&plot.y_name), style);
        let x_name = visible(&plot.x_name);
        let indent = usize::from(area.width).saturating_sub(cells(&x_name));
        put(
            buffer,
            area,
            last,
            &format!("{}{x_name}", " ".repeat(indent)),
            style,
        );
    }
    let inside = Rect {
        y: area.y + names,
        height: area.height - 2 * names,
        ..area
    };
    Chart::new(runs.iter().map(|run| dataset(run)).collect())
        .x_axis(axis(x, x_scale))
        .y_axis(axis(y, y_scale))
        .legend_position(None)
        .render(inside, buffer);
}
