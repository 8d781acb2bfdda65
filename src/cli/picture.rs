//! `ebb picture`: plays keys on the screens, and writes what is on them then to a file. For the documentation; hidden from help.

use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;

use super::args::Picture;
use super::{End, Global};
use crate::eventsourcing::{Error, ErrorCode, EventStore, Result};
use crate::tui::keymap::{Key, Keymap};
use crate::tui::memory::{self, Screen};
use crate::tui::message::Message;
use crate::tui::outside::Surroundings;
use crate::tui::view::{Look, Theme};
use crate::tui::{Settings, picture, runtime};

/// What is waited for comes within this time, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// One step of what is played.
enum Step {
    Press(Key),
    Type(String),
    Await(String),
}

fn step(text: &str) -> Result<Step> {
    if let Some(text) = text.strip_prefix("type:") {
        return Ok(Step::Type(text.to_owned()));
    }
    if let Some(text) = text.strip_prefix("await:") {
        return Ok(Step::Await(text.to_owned()));
    }
    Key::parse(text).map(Step::Press).ok_or_else(|| {
        Error::new(ErrorCode::Usage, format!("there is no key {text}"))
            .hint("a step is a key (Enter, ctrl-c, R), type:TEXT, or await:TEXT, which is on the screen before the next step")
    })
}

pub(super) async fn run(
    store: std::sync::Arc<dyn EventStore>,
    global: &Global,
    asked: Picture,
) -> Result<End> {
    let steps = asked.steps.iter().map(|text| step(text));
    let steps: Vec<Step> = steps.collect::<Result<_>>()?;
    // The database's own name is easily typed there.
    let is_other = std::fs::read(&asked.file).is_ok_and(|there| !there.starts_with(b"<svg "));
    if is_other {
        let file = asked.file.display();
        return Err(Error::new(
            ErrorCode::Usage,
            format!("{file} is there, and is no picture"),
        )
        .hint("name a file that is not there yet, or a picture to be drawn anew"));
    }
    let (mut terminal, screen) = memory::terminal(asked.columns, asked.rows);
    let (keys, mut pressed) = mpsc::unbounded_channel();
    let input = stream::poll_fn(move |context| pressed.poll_recv(context));
    let settings = Settings {
        look: Look {
            theme: Theme::Dark,
            unicode: true,
        },
        keymap: Keymap::default(),
        production: global.production,
    };
    let playing = async move {
        let played = play(&steps, &screen, &keys).await;
        // The screens end when there is nobody who presses keys.
        drop(keys);
        played
    };
    let mut nowhere = Nowhere;
    let running = runtime::run(&mut terminal, input, store, settings, &mut nowhere);
    let (ended, played) = tokio::join!(running, playing);
    ended?;
    std::fs::write(&asked.file, played?).map_err(|error| {
        let file = asked.file.display();
        Error::new(ErrorCode::Io, format!("{file} cannot be written: {error}"))
            .hint("name a file in a directory that you may write to")
    })?;
    Ok(End::Done)
}

/// The picture after all steps.
async fn play(
    steps: &[Step],
    screen: &Screen,
    keys: &mpsc::UnboundedSender<Message>,
) -> Result<String> {
    // Screens that have ended take no keys; what is waited for does not come then.
    let press = |key| drop(keys.send(Message::Key(key)));
    for step in steps {
        match step {
            Step::Press(key) => press(*key),
            Step::Type(text) => text.chars().for_each(|letter| press(Key::Char(letter))),
            Step::Await(text) => {
                let seen = screen.until(|shown| shown.contains(text.as_str()));
                let seen = tokio::time::timeout(PATIENCE, seen).await;
                if !matches!(seen, Ok(Some(_))) {
                    return Err(Error::new(
                        ErrorCode::Usage,
                        format!("\"{text}\" was never on the screen"),
                    )
                    .hint("await: is for what the keys before it lead to")
                    .details(memory::text(&screen.now())));
                }
            }
        }
    }
    Ok(picture::svg(&screen.now()))
}

/// A picture has no clipboard and no shell.
struct Nowhere;

impl Surroundings for Nowhere {
    fn copy(&mut self, _text: &str) -> Result<String> {
        Err(Error::new(ErrorCode::Io, "a picture has no clipboard"))
    }

    fn suspend(&mut self) -> Result<()> {
        Ok(())
    }
}
