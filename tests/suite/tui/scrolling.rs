//! What a terminal shows is what was drawn, whichever way it was sent; and what only moves is not sent again.

use std::cell::RefCell;
use std::io::{self, Write};
use std::num::NonZero;
use std::rc::Rc;

use ebbtide::tui::scrolling::Scrolling;
use proptest::prelude::*;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

const WIDTH: u16 = 24;
const HEIGHT: u16 = 12;
const AREA: Rect = Rect::new(0, 0, WIDTH, HEIGHT);

/// What was written, for whoever looks while the terminal has the writer.
#[derive(Clone, Default)]
struct Sent(Rc<RefCell<Vec<u8>>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn scrolling(sent: Sent) -> Scrolling<Sent> {
    Scrolling::new(sent, || Ok(AREA.as_size()))
}

/// A terminal with a program's side and a reader's side.
struct Pair<B: Backend> {
    terminal: Terminal<B>,
    sent: Sent,
    reader: vt100::Parser,
}

impl<B: Backend<Error = io::Error>> Pair<B> {
    fn new(backend: fn(Sent) -> B) -> Self {
        let sent = Sent::default();
        let options = TerminalOptions {
            viewport: Viewport::Fixed(AREA),
        };
        let terminal = Terminal::with_options(backend(sent.clone()), options).unwrap();
        let (rows, columns) = (HEIGHT, WIDTH);
        let size = |cells: u16| NonZero::new(cells).unwrap();
        Self {
            terminal,
            sent,
            reader: vt100::Parser::new(size(rows), size(columns), 0),
        }
    }

    /// Draws, and says how many bytes that took.
    fn draw(&mut self, lines: &[Line]) -> usize {
        let draw = |frame: &mut Frame<'_>| put(frame.buffer_mut(), lines);
        self.terminal.draw(draw).unwrap();
        let bytes = std::mem::take(&mut *self.sent.0.borrow_mut());
        self.reader.process(&bytes);
        bytes.len()
    }

    /// Panics where the reader does not see these lines.
    fn check(&self, lines: &[Line]) {
        let mut drawn = Buffer::empty(AREA);
        put(&mut drawn, lines);
        for position in AREA.positions() {
            let seen = self.reader.screen().cell(position.y, position.x).unwrap();
            let cell = &drawn[position];
            let symbol = |text: &str| text.trim_end().chars().next();
            let colour = |colour: Color| match colour {
                Color::Red => vt100::Color::Idx(1),
                Color::Blue => vt100::Color::Idx(4),
                _ => vt100::Color::Default,
            };
            let is_inverse = cell.modifier.contains(Modifier::REVERSED);
            let wanted = symbol(cell.symbol());
            // Nobody sees which colour a blank would be written in.
            let written = wanted.is_some() || is_inverse;
            let seen_in = |colour| {
                if written {
                    colour
                } else {
                    vt100::Color::Default
                }
            };
            assert_eq!(
                (
                    symbol(seen.contents()),
                    seen_in(seen.fgcolor()),
                    seen.bgcolor(),
                    seen.inverse()
                ),
                (
                    wanted,
                    seen_in(colour(cell.fg)),
                    colour(cell.bg),
                    is_inverse
                ),
                "at {position}, of\n{}\nseen:\n{}",
                lines
                    .iter()
                    .map(|line| format!("{line:?}\n"))
                    .collect::<String>(),
                self.reader.screen().contents(),
            );
        }
    }
}

/// Leaves room at the right for symbols that the reader takes for wider ones.
fn put(buffer: &mut Buffer, lines: &[Line]) {
    for (y, line) in (0..HEIGHT).zip(lines) {
        let room = usize::from(WIDTH - line.at - 2);
        buffer.set_stringn(line.at, y, &line.text, room, line.style());
    }
}

#[derive(Clone, Debug)]
struct Line {
    at: u16,
    text: String,
    tone: u8,
}

impl Line {
    fn style(&self) -> Style {
        match self.tone {
            0 => Style::new(),
            1 => Style::new().fg(Color::Red),
            2 => Style::new().bg(Color::Blue).add_modifier(Modifier::BOLD),
            _ => Style::new().add_modifier(Modifier::REVERSED),
        }
    }
}

fn a_line() -> impl Strategy<Value = Line> {
    let piece = prop_oneof![
        5 => "[a-z #:0-9]{0,6}",
        1 => Just("シム".to_owned()),
        1 => Just("e\u{301}".to_owned()),
        1 => Just("👩\u{200d}🔬".to_owned()),
    ];
    let text = prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat());
    (0..3u16, text, 0..4u8).prop_map(|(at, text, tone)| Line { at, text, tone })
}

/// What happens between two frames.
#[derive(Clone, Debug)]
enum Step {
    /// Some lines move, and others come.
    Scroll {
        first: usize,
        last: usize,
        by: usize,
        up: bool,
        new: Vec<Line>,
    },
    /// A line becomes another one.
    Change(usize, Line),
    /// All do.
    Anew(Vec<Line>),
    /// The terminal lost what it showed.
    Lost,
}

fn a_step() -> impl Strategy<Value = Step> {
    let height = usize::from(HEIGHT);
    let screen = || prop::collection::vec(a_line(), height);
    prop_oneof![
        6 => (0..height, 0..height, 1..5usize, any::<bool>(), screen()).prop_map(
            |(a, b, by, up, new)| Step::Scroll { first: a.min(b), last: a.max(b), by, up, new }
        ),
        3 => (0..height, a_line()).prop_map(|(at, line)| Step::Change(at, line)),
        1 => screen().prop_map(Step::Anew),
        1 => Just(Step::Lost),
    ]
}

fn apply(lines: &mut Vec<Line>, step: Step) {
    match step {
        Step::Scroll {
            first,
            last,
            by,
            up,
            new,
        } => {
            let region = &mut lines[first..=last];
            let by = by.min(region.len());
            match up {
                true => region.rotate_left(by),
                false => region.rotate_right(by),
            }
            let kept = region.len() - by;
            let come = match up {
                true => &mut region[kept..],
                false => &mut region[..by],
            };
            come.clone_from_slice(&new[..by]);
        }
        Step::Change(at, line) => lines[at] = line,
        Step::Anew(all) => *lines = all,
        Step::Lost => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_sees_what_was_drawn(
        first in prop::collection::vec(a_line(), usize::from(HEIGHT)),
        steps in prop::collection::vec(a_step(), 1..12),
    ) {
        let mut few = Pair::new(scrolling);
        let mut lines = first;
        few.draw(&lines);
        for step in steps {
            if matches!(step, Step::Lost) {
                few.reader.process(b"\x1b[Hwhat a shell has written meanwhile\x1b[2J");
                few.terminal.backend_mut().clear().unwrap();
                few.terminal.swap_buffers();
            }
            apply(&mut lines, step.clone());
            few.draw(&lines);
            few.check(&lines);
        }
    }
}

#[test]
fn lines_that_move_are_not_sent_again() {
    let line = |number: usize| Line {
        at: 0,
        text: format!("{:>22}", number * 7_919_000_003),
        tone: 0,
    };
    let mut few = Pair::new(scrolling);
    let mut plain = Pair::new(CrosstermBackend::new);
    for top in [1, 2, 5, 4] {
        let mut lines: Vec<Line> = (top..top + 12).map(line).collect();
        // A header and a footer stay.
        (lines[0], lines[11]) = (line(0), line(99));
        let (sent, all) = (few.draw(&lines), plain.draw(&lines));
        if top > 1 {
            assert!(
                sent * 2 < all,
                "{sent} bytes of {all} for the lines from {top}"
            );
        }
        few.check(&lines);
    }
}
