//! How the screen is divided, in cells: the update has to know it to keep the cursor in sight, the view to draw.

/// The smallest screen that works.
pub const SMALLEST: (u16, u16) = (60, 16);

/// From this width on there is room for an event beside the list.
const WIDE: u16 = 110;

/// A screen's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Cells in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl Size {
    /// Whether it is large enough for anything.
    #[must_use]
    pub fn is_enough(self) -> bool {
        self.columns >= SMALLEST.0 && self.rows >= SMALLEST.1
    }

    /// Whether an event stands beside the list, not below it.
    #[must_use]
    pub fn is_wide(self) -> bool {
        self.columns >= WIDE
    }

    /// Lines between the two of the header and the one of the footer.
    #[must_use]
    pub fn content(self) -> usize {
        usize::from(self.rows.saturating_sub(3)).max(1)
    }

    /// Lines of the strip that shows when things happened: none where there is little room.
    #[must_use]
    pub fn strip(self) -> usize {
        usize::from(self.rows >= 20)
    }

    /// Lines of the list of events, under the strip and, where there is one, the filter's line.
    #[must_use]
    pub fn timeline(self, filtered: bool) -> usize {
        let room = self.content() - self.strip() - usize::from(filtered);
        match self.is_wide() {
            true => room,
            false => (room * 11 / 20).max(3),
        }
    }

    /// Cells of the event's lines when it stands beside the list, or below it.
    #[must_use]
    pub fn detail_width(self) -> usize {
        match self.is_wide() {
            true => usize::from(self.columns) - self.timeline_width() - 2,
            false => usize::from(self.columns).saturating_sub(2),
        }
    }

    /// Cells of the list of events.
    #[must_use]
    pub fn timeline_width(self) -> usize {
        match self.is_wide() {
            true => usize::from(self.columns) * 3 / 5,
            false => usize::from(self.columns),
        }
    }

    /// Rows of a table: under its name and its columns' names.
    #[must_use]
    pub fn grid(self) -> usize {
        self.content().saturating_sub(2).max(1)
    }

    /// Cells of a page's lines.
    #[must_use]
    pub fn page_width(self) -> usize {
        usize::from(self.columns).saturating_sub(2)
    }
}

/// The first line to show, so that the cursor is among `height` lines and as little moves as can be.
#[must_use]
pub fn scrolled(top: usize, cursor: usize, height: usize) -> usize {
    if cursor < top {
        cursor
    } else if cursor >= top + height {
        cursor + 1 - height
    } else {
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_in_sight_and_little_moves() {
        assert_eq!(scrolled(5, 5, 10), 5);
        assert_eq!(scrolled(5, 14, 10), 5);
        assert_eq!(scrolled(5, 15, 10), 6);
        assert_eq!(scrolled(5, 2, 10), 2);
    }
}
