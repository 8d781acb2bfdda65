//! The loop: messages in, effects out, and the screen drawn when something has changed.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{FutureExt, Stream, StreamExt};
use ratatui::Terminal;
use ratatui::backend::Backend;
use tokio::sync::mpsc;

use super::effect::Effect;
use super::effects::Effects;
use super::keymap::{Action, Context, Key, Keymap};
use super::layout::Size;
use super::message::Message;
use super::model::{Leaving, Model};
use super::outside::Surroundings;
use super::update::{start, update};
use super::view::{self, Look};
use crate::eventsourcing::rollback::RollbackOutcome;
use crate::eventsourcing::{Error, ErrorCode, EventStore, Result};

/// Messages from the terminal that are taken in before the next drawing.
const KEYS_AT_ONCE: usize = 50;

/// What a user can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the terminal can show.
    pub look: Look,
    /// Which key does what.
    pub keymap: Keymap,
    /// Whether the database's name has to be typed before a rollback.
    pub production: bool,
}

/// Runs the screens on any terminal and any input, until the user leaves. Answers with the outcome of a rollback that
/// was waited for before leaving: no screen has told it.
///
/// # Errors
/// `Io` when the terminal cannot be drawn on, or when a task failed in a way that it should not; what such a rollback
/// failed with.
pub async fn run<B: Backend>(
    terminal: &mut Terminal<B>,
    input: impl Stream<Item = Message>,
    store: Arc<dyn EventStore>,
    settings: Settings,
    surroundings: &mut dyn Surroundings,
) -> Result<Option<RollbackOutcome>> {
    let Settings {
        look,
        keymap,
        production,
    } = settings;
    tokio::pin!(input);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let size = terminal.size().map_err(|error| broken(&error))?;
    let size = Size {
        columns: size.width,
        rows: size.height,
    };
    let mut model = Model::new(store.info().clone(), size);
    model.keymap = keymap;
    model.production = production;
    let mut effects = Effects::new(store, answers);
    for effect in start(&mut model) {
        effects.perform(effect);
    }
    let mut input_open = true;
    let mut has_changed = true;
    loop {
        if std::mem::replace(&mut has_changed, true) {
            terminal
                .draw(|frame| view::draw(frame, &model, look))
                .map_err(|error| broken(&error))?;
        }
        // Input first: a key is answered before the database's answers, however many there are. Then the answers; then
        // the ends of tasks, which matter only when one panicked.
        let message = tokio::select! {
            biased;
            message = input.next(), if input_open => match message {
                Some(message) => message,
                None => {
                    input_open = false;
                    Message::Terminate
                }
            },
            Some(message) = answered.recv() => message,
            ended = effects.ended() => {
                ended.map_err(|error| Error::new(ErrorCode::Io, format!("ebb has a fault: {error}"))
                    .hint("please report it; what was written is in the log"))?;
                has_changed = false;
                continue;
            }
        };
        let mut messages = VecDeque::from([message]);
        // Keys that wait already are answered together: whoever holds a key down sees where that leads, and not each step late.
        while messages.len() < KEYS_AT_ONCE
            && input_open
            && let Some(Some(next)) = input.next().now_or_never()
        {
            messages.push_back(next);
        }
        let drawn = model.context_below();
        while let Some(message) = messages.pop_front() {
            if let Message::Key(key) = message
                && is_too_early(&model, drawn, key)
            {
                continue;
            }
            for effect in update(&mut model, message) {
                match effect {
                    // What concerns the terminal is done here: nothing else is written to it meanwhile.
                    Effect::Copy(text) => {
                        messages.push_back(Message::Copied(surroundings.copy(&text)));
                    }
                    Effect::Suspend => {
                        surroundings.suspend()?;
                        // What was drawn before is gone, and has to be for those who remember it. The terminal's own `clear` would ask where the
                        // cursor is, and the answer would go to the thread that reads the keys.
                        terminal
                            .backend_mut()
                            .clear()
                            .map_err(|error| broken(&error))?;
                        terminal.swap_buffers();
                        let size = terminal.size().map_err(|error| broken(&error))?;
                        messages.push_back(Message::Resized(Size {
                            columns: size.width,
                            rows: size.height,
                        }));
                    }
                    effect => effects.perform(effect),
                }
            }
            // What has arrived meanwhile is taken in before the next drawing.
            messages.extend(answered.try_recv());
        }
        if model.leaving == Leaving::Now {
            return model.last_word.transpose();
        }
    }
}

/// Whether a key would confirm something that is not on the screen yet: a plan, or the question before it is carried out.
fn is_too_early(model: &Model, drawn: Context, key: Key) -> bool {
    let context = model.context();
    let confirms = match context {
        Context::Preview => model.keymap.action(context, key) == Some(Action::Proceed),
        Context::Confirm => !matches!(key, Key::Esc | Key::Ctrl(_)),
        _ => false,
    };
    confirms && context != drawn
}

fn broken(error: &impl std::fmt::Display) -> Error {
    Error::new(
        ErrorCode::Io,
        format!("the terminal cannot be drawn on: {error}"),
    )
}
