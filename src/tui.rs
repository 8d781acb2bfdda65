//! The screens: a state machine.
//!
//! [`update`] takes the [`Model`](model::Model) and a [`Message`](message::Message), changes the model and returns
//! [`Effect`](effect::Effect)s, which are data. The [`runtime`] performs them on tasks of their own and brings their
//! answers back as messages; the [`view`] draws the model. Nothing in the first three knows of tokio, SQL or the
//! terminal, so whatever the database does, a key is answered at once.

pub mod effect;
pub mod field;
pub mod keymap;
pub mod layout;
pub mod message;
pub mod model;
pub mod pages;
pub mod update;

pub mod view;

mod effects;
mod input;
pub mod memory;
pub mod outside;
pub mod picture;
pub mod runtime;
pub mod scrolling;
pub mod terminal;

use std::io::Write;
use std::sync::Arc;

use crate::eventsourcing::{EventStore, Result};

pub use runtime::Settings;

/// Opens the screens on a store, until the user leaves or the terminal goes away.
///
/// # Errors
/// `Io` when the terminal cannot be used; what a rollback failed with that was at work when the user left.
pub async fn run(store: Arc<dyn EventStore>, settings: Settings, mouse: bool) -> Result<()> {
    let mut terminal = terminal::enter(mouse)?;
    let result = runtime::run(
        &mut terminal,
        input::stream()?,
        store,
        settings,
        &mut outside::Outside { mouse },
    )
    .await;
    // Whatever happened: the terminal first, and then what there is to say.
    terminal::leave();
    if let Some(outcome) = result? {
        // Where the terminal is gone there is nobody to tell, and the log has it.
        drop(writeln!(
            std::io::stdout(),
            "{}",
            pages::last_word(&outcome)
        ));
    }
    Ok(())
}
