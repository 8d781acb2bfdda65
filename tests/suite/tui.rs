//! The screens: their transitions, what they look like, a story played on them, and a real terminal.

mod grid;
mod growing;
mod links;
mod long_life;
mod messages;
mod outdated;
pub(crate) mod player;
mod preview;
pub(crate) mod pty;
mod random;
mod reading;
mod screens;
mod scrolling;
mod story;
mod tour;
pub(crate) mod transitions;
