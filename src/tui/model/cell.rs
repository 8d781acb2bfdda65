//! One value over the whole screen.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

/// One line of a JSON value that is unfolded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is: keys and places, as a JSON pointer.
    pub pointer: String,
    /// How deep.
    pub depth: usize,
    /// What it says.
    pub text: String,
    /// Whether it is folded; `None` when there is nothing to fold.
    pub folded: Option<bool>,
}

/// One value over the whole screen.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What it is of: `experiment.metadata of 0e0e76e9`.
    pub title: String,
    /// The column.
    pub column: String,
    /// The row, where its table has a key.
    pub row: Option<Uuid>,
    /// The value.
    pub value: Value,
    /// The same column's value now, where the past is shown and it differs.
    pub now: Option<Value>,
    /// Whether the past is shown and the row is not there any more.
    pub is_gone: bool,
    /// Its lines, as far as they are not folded.
    pub nodes: Vec<Node>,
    /// The parts that are folded, as JSON pointers.
    pub folded: BTreeSet<String>,
    /// The line under the cursor.
    pub cursor: usize,
    /// The first line shown.
    pub top: usize,
    /// What is searched for.
    pub search: String,
    /// The numbers that can be drawn, against which others, each with its column's name.
    pub plot: Option<Plot>,
    /// Whether they are drawn.
    pub is_plotted: bool,
    /// What has become of it since it was read.
    pub news: Option<News>,
    /// Whether it was asked for anew: what is read next takes its place.
    pub is_asked_anew: bool,
}

/// What has become of a value since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is another one.
    Changed,
    /// Its row is not there any more.
    Gone,
}

/// Numbers to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The name of what runs to the right: a column, or `place`.
    pub x_name: String,
    /// The name of what runs upwards.
    pub y_name: String,
    /// The points, in runs: between two of them a value is missing.
    pub runs: Vec<Vec<(f64, f64)>>,
    /// What one would expect to be drawn and is not, in words.
    pub note: Option<String>,
}
