//! A terminal to which what stays and only moves is not sent again: its lines are scrolled instead, as curses does it. Over SSH the
//! lines of a list that moves by one are most of what a key costs.

use std::io::{self, Write};

use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size};
use unicode_width::UnicodeWidthStr;

/// The distances that are tried, in lines: a cursor at the edge moves a list by one, a mouse's wheel by three.
const DISTANCES: [usize; 3] = [1, 2, 3];

/// Bytes that it takes to go to another place in a line.
const GO_THERE: isize = 8;

/// Bytes of a scroll: the region, the place, the lines, the region again.
const SCROLL: isize = 24;

/// Stands in the copy for what is not known: no character, and nothing that is drawn has it.
const UNKNOWN: &str = "\u{fdd0}";

/// Lines that move, the others staying where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scroll {
    /// The first of the lines among which they move.
    first: usize,
    /// The last of them.
    last: usize,
    /// By how many lines.
    by: usize,
    /// Whether towards the top.
    up: bool,
}

/// Crossterm's backend, with a copy of what the terminal shows.
#[derive(Debug)]
pub struct Scrolling<W: Write> {
    inner: CrosstermBackend<W>,
    /// How large the terminal is.
    size: fn() -> io::Result<Size>,
    /// What is on the terminal.
    shown: Buffer,
    /// Whether the cursor is known to be hidden: it is asked for with every frame.
    is_cursor_hidden: bool,
}

impl<W: Write> Scrolling<W> {
    /// A terminal that is blank, and as large as this says.
    pub fn new(writer: W, size: fn() -> io::Result<Size>) -> Self {
        Self {
            inner: CrosstermBackend::new(writer),
            size,
            shown: Buffer::empty(Rect::ZERO),
            is_cursor_hidden: false,
        }
    }

    /// What the terminal shows is not known, in lines that change and have, or had, a symbol whose width terminals see differently: they are
    /// sent whole.
    fn forget_uncertain_lines(&mut self, wanted: &Buffer) {
        let width = usize::from(wanted.area.width).max(1);
        let lines = self.shown.content.chunks_mut(width);
        for (shown, wanted) in lines.zip(wanted.content.chunks(width)) {
            if shown != wanted && shown.iter().chain(wanted).any(is_uncertain) {
                shown.fill(Cell::new(UNKNOWN));
            }
        }
    }

    /// Moves the lines, on the terminal and in the copy. Deleting and inserting lines within margins is what every terminal can, also those
    /// that know no word for scrolling.
    fn scroll(&mut self, scroll: Scroll) -> io::Result<()> {
        let Scroll {
            first,
            last,
            by,
            up,
        } = scroll;
        let (top, bottom) = (first + 1, last + 1);
        let command = if up { 'M' } else { 'L' };
        write!(
            self.inner,
            "\x1b[{top};{bottom}r\x1b[{top}H\x1b[{by}{command}\x1b[r"
        )?;
        let width = usize::from(self.shown.area.width);
        let lines = &mut self.shown.content[first * width..(last + 1) * width];
        let blank = match up {
            true => {
                lines.rotate_left(by * width);
                let kept = lines.len() - by * width;
                &mut lines[kept..]
            }
            false => {
                lines.rotate_right(by * width);
                &mut lines[..by * width]
            }
        };
        blank.fill(Cell::EMPTY);
        Ok(())
    }
}

impl<W: Write> Backend for Scrolling<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let area = Rect::from((Position::ORIGIN, self.size()?));
        if area != self.shown.area {
            self.shown = Buffer::empty(area);
        }
        let mut wanted = self.shown.clone();
        // Of a terminal that has just become smaller some cells are gone; all is drawn anew then.
        for (x, y, cell) in content.filter(|(x, y, _)| area.contains((*x, *y).into())) {
            wanted[(x, y)] = cell.clone();
        }
        mark_covered(&mut wanted);
        if let Some(scroll) = cheapest(&self.shown, &wanted) {
            self.scroll(scroll)?;
        }
        self.forget_uncertain_lines(&wanted);
        // After each of these the place is said anew, and what the terminal has put beyond is overwritten.
        let changed = self.shown.diff(&wanted);
        for cells in changed.split_inclusive(|(_, _, cell)| is_uncertain(cell)) {
            match cells.split_last() {
                // Where the terminal takes it for a narrower one, what was beside it would stay.
                Some(((x, y, cell), before)) if is_uncertain(cell) => {
                    let mut blank = (*cell).clone();
                    blank.set_symbol(" ");
                    let blanks = (0..columns(cell)).map(|beside| (x + beside, *y, &blank));
                    self.inner.draw(before.iter().copied())?;
                    self.inner.draw(blanks)?;
                    self.inner.draw(std::iter::once((*x, *y, *cell)))?;
                }
                _ => self.inner.draw(cells.iter().copied())?,
            }
        }
        self.shown = wanted;
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_cursor_hidden, true) {
            self.inner.hide_cursor()?;
        }
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.is_cursor_hidden = false;
        // It is asked for when everything is over, and `leave` has shown it: where the terminal is gone a failure would be printed to nobody, which
        // is a panic.
        self.inner.show_cursor().or(Ok(()))
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.inner.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.inner.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    /// Only all of it: nothing else is asked for, and the copy does not know where the cursor is.
    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        if region != ClearType::All {
            return Err(io::Error::other("a part of the terminal is not cleared"));
        }
        self.shown = Buffer::empty(Rect::ZERO);
        self.is_cursor_hidden = false;
        self.inner.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        (self.size)()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.inner)
    }
}

/// Whether terminals disagree on how many columns a cell's symbol covers: an emoji that is put together from several, a flag, and what
/// has marks of its own, are one symbol to some and several to others.
fn is_uncertain(cell: &Cell) -> bool {
    cell.symbol().chars().nth(1).is_some()
}

/// How many columns a cell's symbol covers.
fn columns(cell: &Cell) -> u16 {
    u16::try_from(cell.symbol().width()).map_or(1, |columns| columns.max(1))
}

/// What lies under a wide symbol is not known: terminals differ in what they leave there when it goes. What no symbol covers any more is blank,
/// as nothing else was drawn there.
fn mark_covered(buffer: &mut Buffer) {
    let width = usize::from(buffer.area.width).max(1);
    for line in buffer.content.chunks_mut(width) {
        let mut covered = 0;
        for cell in line {
            if covered > 0 {
                *cell = Cell::new(UNKNOWN);
                covered -= 1;
                continue;
            }
            if cell.symbol() == UNKNOWN {
                *cell = Cell::EMPTY;
            }
            covered = columns(cell) - 1;
        }
    }
}

/// About how many bytes turn a line into another one.
fn cost<'a>(from: impl Iterator<Item = &'a Cell>, to: &[Cell]) -> isize {
    let (mut bytes, mut follows) = (0, false);
    for (from, to) in from.zip(to) {
        let differs = from != to;
        if differs {
            bytes += to.symbol().len().cast_signed() + if follows { 0 } else { GO_THERE };
        }
        follows = differs;
    }
    bytes
}

/// The scroll that saves the most bytes, where one saves any.
fn cheapest(shown: &Buffer, wanted: &Buffer) -> Option<Scroll> {
    let width = usize::from(wanted.area.width).max(1);
    let shown: Vec<&[Cell]> = shown.content.chunks(width).collect();
    let wanted: Vec<&[Cell]> = wanted.content.chunks(width).collect();
    let height = wanted.len();
    let costs = wanted.iter().zip(&shown);
    let stays: Vec<isize> = costs.map(|(to, from)| cost(from.iter(), to)).collect();
    // Where less is to be sent than that, as in most frames, nothing can be saved that is worth looking for.
    if stays.iter().sum::<isize>() <= 4 * SCROLL {
        return None;
    }
    let blank = std::iter::repeat(&Cell::EMPTY);
    let lines = wanted.iter().zip(&stays);
    // What each line saves when it comes in blank: sums over all lines before it, so that those of a region are a difference.
    let blanked = sums(lines.map(|(to, stays)| stays - cost(blank.clone(), to)));
    let mut best: Option<(isize, Scroll)> = None;
    for (by, up) in DISTANCES
        .into_iter()
        .flat_map(|by| [(by, true), (by, false)])
    {
        // What each line saves when it comes from where it was; what has no such place is in no region.
        let moved = sums((0..height).map(|line| {
            let from = match up {
                true => line + by,
                false => line.wrapping_sub(by),
            };
            shown
                .get(from)
                .map_or(0, |from| stays[line] - cost(from.iter(), wanted[line]))
        }));
        for first in 0..height {
            for last in first + by..height {
                // The lines that come in blank are those at the end that the others leave.
                let saved = match up {
                    true => {
                        let kept = last + 1 - by;
                        moved[kept] - moved[first] + blanked[last + 1] - blanked[kept]
                    }
                    false => {
                        let kept = first + by;
                        blanked[kept] - blanked[first] + moved[last + 1] - moved[kept]
                    }
                };
                if saved > SCROLL && best.is_none_or(|(most, _)| saved > most) {
                    let scroll = Scroll {
                        first,
                        last,
                        by,
                        up,
                    };
                    best = Some((saved, scroll));
                }
            }
        }
    }
    best.map(|(_, scroll)| scroll)
}

/// The sums of what comes before each place, and of all.
fn sums(values: impl Iterator<Item = isize>) -> Vec<isize> {
    let mut sum = 0;
    let sums = values.map(|value| {
        sum += value;
        sum
    });
    std::iter::once(0).chain(sums).collect()
}
