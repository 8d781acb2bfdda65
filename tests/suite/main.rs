//! Every integration test, in one binary: each one more would link the whole library again.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on says why by panicking"
)]

mod cli;
mod contract;
mod faults;
mod histories;
mod killed;
mod layers;
mod legacy;
mod postgres;
mod sqlite;
mod story;
mod support;
mod tui;
