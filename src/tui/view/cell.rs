//! One value over the whole screen, and the drawing of numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::{Look, put};
use crate::text::clipped;
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

/// Units of what is drawn from the right to the left.
const RUNS_LEFT: [&str; 4] = ["ppm", "cm-1", "cm⁻¹", "1/cm"];

fn draw_plot(buffer: &mut Buffer, area: Rect, plot: &Plot, look: Look) {
    let bounds = |points: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(of).filter(|value| value.is_finite());
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(a, b), value| {
            (a.min(value), b.max(value))
        });
        match least < most {
            true => [least, most],
            // One value only: a line in the middle.
            false => [least - 1.0, least + 1.0],
        }
    };
    // Shifts and wavenumbers run to the left, as chemists draw them.
    let runs_left = RUNS_LEFT.iter().any(|unit| plot.x_name.contains(unit));
    let sign = if runs_left { -1.0 } else { 1.0 };
    let points: Vec<(f64, f64)> = plot.points.iter().map(|(x, y)| (sign * x, *y)).collect();
    let bounds = |of: fn(&(f64, f64)) -> f64| bounds(&points, of);
    let (x, y) = (bounds(|point| point.0), bounds(|point| point.1));
    let axis = |name: &str, bounds: [f64; 2], sign: f64| {
        let labels = [bounds[0], (bounds[0] + bounds[1]) / 2.0, bounds[1]];
        Axis::default()
            .title(Text::from(crate::text::visible(name)))
            .style(look.style(Tone::Faint))
            .bounds(bounds)
            .labels(labels.map(|label| Span::raw(pages::short(sign * label))))
    };
    let dataset = Dataset::default()
        .marker(if look.unicode {
            Marker::Braille
        } else {
            Marker::Dot
        })
        .graph_type(GraphType::Line)
        .style(look.style(Tone::Added))
        .data(&points);
    Chart::new(vec![dataset])
        .x_axis(axis(&plot.x_name, x, sign))
        .y_axis(axis(&plot.y_name, y, 1.0))
        .legend_position(None)
        .render(area, buffer);
}
