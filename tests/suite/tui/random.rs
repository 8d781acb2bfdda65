//! Whoever leans on the keyboard: no key, in no order, on no screen, makes the program fail, and nothing is written that was not confirmed.

use ebbtide::eventsourcing::store::Backend;
use ebbtide::tui::keymap::Key;
use ebbtide::tui::message::{Message, Mouse};
use proptest::prelude::Rng;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::player::{LOOK, Player, play};
use crate::support::{Database, run};

/// A number below this one, from the runner's generator, so that a run can be repeated.
fn below(runner: &mut TestRunner, bound: usize) -> usize {
    usize::try_from(runner.rng().next_u64() % bound as u64).unwrap()
}

/// Keys in one go; then everything that they have asked for is waited for.
const AT_ONCE: usize = 20;
const TIMES: usize = 500;

/// Sizes that tell themselves apart by their lines.
const SIZES: [(u16, u16); 5] = [(80, 24), (60, 16), (120, 40), (59, 17), (200, 60)];

/// Every key, those that move and open more often. Without digits nothing can be confirmed.
fn any_key(runner: &mut TestRunner) -> Key {
    const NAMED: [Key; 17] = [
        Key::Enter,
        Key::Enter,
        Key::Enter,
        Key::Esc,
        Key::Backspace,
        Key::Delete,
        Key::Tab,
        Key::BackTab,
        Key::Up,
        Key::Down,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
    ];
    const CHARACTERS: &str = " !\"'()*+,-./:;<=>?@[]^_`{|}~aäbcdefghijklmnoprstuvwxyzGNRRTTUVY分👩‍🔬";
    match below(runner, 3) {
        0 => NAMED[below(runner, NAMED.len())],
        1 => Key::Ctrl(b"abdefhkpnuwy"[below(runner, 12)].into()),
        _ => {
            let characters: Vec<char> = CHARACTERS.chars().collect();
            Key::Char(characters[below(runner, characters.len())])
        }
    }
}

async fn lean(player: &mut Player, runner: &mut TestRunner) {
    for turn in 0..TIMES {
        for _ in 0..AT_ONCE {
            match below(runner, 25) {
                // The screens, which digits show.
                0 => {
                    player.press(Key::Esc);
                    player.press(Key::Esc);
                    player.press(Key::Char(char::from(b'1' + below(runner, 5) as u8)));
                }
                1 => player.send(Message::Mouse(Mouse::Pressed {
                    column: below(runner, 120) as u16,
                    line: below(runner, 40) as u16,
                })),
                2 => player.send(Message::Mouse(Mouse::Turned(below(runner, 9) as i16 - 4))),
                3 => player.send(Message::Pasted("type:molecule\n\x1b[2J 18".to_owned())),
                _ => match any_key(runner) {
                    Key::Enter => press_enter(player).await,
                    key => player.press(key),
                },
            }
        }
        let (columns, rows) = SIZES[turn % SIZES.len()];
        player.resize(columns, rows);
        player.see_lines(usize::from(rows)).await;
    }
}

/// Enter, except where it would write the log to a file of any name, or leave.
async fn press_enter(player: &mut Player) {
    player.resize(80, 25);
    let screen = player.see_lines(25).await;
    let is_end = |text| screen.contains(text);
    let key = match is_end("write the log to:") || is_end("▌ quit") {
        true => Key::Esc,
        false => Key::Enter,
    };
    player.press(key);
}

#[test]
fn ten_thousand_keys_neither_fail_nor_write() {
    run(async {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let (rows, head) = (lab.rows().await, lab.store.head().await.unwrap());
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            lean(&mut player, &mut runner).await;
            player.send(Message::Terminate);
        })
        .await;
        assert_eq!(lab.store.head().await.unwrap(), head);
        assert_eq!(lab.rows().await, rows);
    });
}
