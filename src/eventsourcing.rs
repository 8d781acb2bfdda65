//! The event-sourcing module: the domain, without SQL, terminal or clock.
//!
//! Clients never write to the tables. They append [events](event) to a log; each is applied to its
//! [row] in the same transaction. Tables can therefore be taken [back](rollback) to any
//! moment, and a rollback is itself recorded as events: the log only grows, and [`history`] tells which
//! events are effective. A database that can hold such a log satisfies the trait [`EventStore`].

pub mod activity;
pub mod between;
pub mod bursts;
pub mod diff;
pub mod difference;
pub mod error;
pub mod event;
pub mod export;
pub mod filter;
pub mod history;
pub mod inspect;
pub mod needle;
pub mod ranges;
pub mod rollback;
pub mod row;
pub mod rows;
pub mod schema;
pub mod scope;
pub mod selection;
pub mod states;
pub mod store;
pub mod strip;
pub mod timeline;
pub mod timestamp;
pub mod unfit;
pub mod value;
pub mod verify;

pub use error::{Error, ErrorCode, Result};
pub use event::{Event, EventId, EventKind, NewEvent, Row, RowKey};
pub use store::EventStore;
