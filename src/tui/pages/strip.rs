//! When things happened, in one line.

use crate::tui::model::Model;

/// Signs for how much happened, the least first; the first for nothing.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The log's life from left to right, a cell a span, and the cell of the event under the cursor. `None` while it is not known.
#[must_use]
pub fn strip_line(model: &Model) -> Option<(String, Option<usize>)> {
    let strip = model.timeline.strip.as_ref()?;
    let most = strip.counts().max().unwrap_or(0);
    let level = |events: u64| match events {
        0 => LEVELS[0],
        // By the logarithm: a night's import does not make all other nights vanish.
        events => {
            let share = (events as f64).ln_1p() / (most as f64).ln_1p();
            LEVELS[1 + ((share * 6.0).round() as usize).min(6)]
        }
    };
    let line = strip.counts().map(level).collect();
    let selected = model.timeline.selected();
    let at = selected.map(|entry| strip.span_of(entry.event.id));
    Some((line, at))
}
