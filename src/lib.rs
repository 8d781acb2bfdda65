//! Event sourcing for databases in which nothing is ever overwritten, and a terminal for it.
//!
//! | module | what it is |
//! |---|---|
//! | [`eventsourcing`] | the domain: events, rows, history, rollback, and the trait a store satisfies |
//! | [`store`] | that trait on SQLite and on PostgreSQL: SQL ↔ domain, nothing else |
//! | [`demo`] | the Mad Lab database: its tables and its story |
//! | `cli` | the command line (feature `terminal`) |
//! | `tui` | the screens (feature `terminal`) |
//!
//! The layer rule: `main → cli, tui → eventsourcing ← store`. The screens never name a store's type, a
//! store never names the terminal, the domain names neither. A test reads the `use` lines.

pub mod demo;
pub mod eventsourcing;
pub mod store;

#[cfg(feature = "terminal")]
pub mod cli;
#[cfg(feature = "terminal")]
pub mod config;
#[cfg(feature = "terminal")]
pub mod text;
#[cfg(feature = "terminal")]
pub mod tui;
