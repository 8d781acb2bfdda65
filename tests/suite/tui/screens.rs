//! What people see, on the Mad Lab, at 80×24 and at 120×40.

use ebbtide::eventsourcing::store::{Backend, Writer};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::memory;
use ebbtide::tui::view::{Look, Theme};

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Color;

use super::player::{LOOK, Player, play};
use crate::support::{Database, run};

const SIZES: [(u16, u16); 4] = [(60, 16), (80, 24), (120, 40), (200, 60)];

/// What stands between a screen and its colours in what was kept.
const COLOURS: &str = "\n\ncolours:\n";

/// Waits for this to be seen and for nothing to be read any more, and compares the screen with the one that was kept: in colour, with its
/// colours; without, its text is the same, and nothing has a colour.
async fn keep(player: &mut Player, name: &str, size: (u16, u16), lab: &Database, wanted: &[&str]) {
    let mut wanted = wanted.to_vec();
    // The strip comes by itself, where there is room for it.
    if size.1 >= 20 && ["timeline", "notice", "filter", "suggestions"].contains(&name) {
        wanted.push("▁▁▁");
    }
    let screen = player.see_settled(&wanted).await;
    let directory = lab.argument().replace("/lab.db", "");
    let text = memory::text(&screen).replace(&directory, "DIRECTORY");
    let name = format!("{name}_{}x{}", size.0, size.1);
    if player.look == LOOK {
        insta::assert_snapshot!(name, format!("{text}{COLOURS}{}", colours(&screen)));
        return;
    }
    let file = format!(
        "{}/tests/suite/tui/snapshots/suite__tui__screens__{name}.snap",
        env!("CARGO_MANIFEST_DIR")
    );
    let kept = std::fs::read_to_string(file).unwrap();
    let kept = kept.splitn(3, "---\n").nth(2).unwrap();
    assert_eq!(
        text.trim_start(),
        kept.split(COLOURS).next().unwrap().trim_start(),
        "{name}"
    );
    let is_plain = |cell: &Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
    assert!(screen.content.iter().all(is_plain), "{name} has colours");
}

/// Which cells of each line are not as the terminal has them, and how they are.
fn colours(screen: &Buffer) -> String {
    let mut all = String::new();
    for (line, cells) in screen
        .content
        .chunks(usize::from(screen.area.width))
        .enumerate()
    {
        let style = |cell: &Cell| {
            let mut words = Vec::new();
            if cell.fg != Color::Reset {
                words.push(cell.fg.to_string().to_lowercase());
            }
            if cell.bg != Color::Reset {
                words.push(format!("on {}", cell.bg).to_lowercase());
            }
            words.extend(
                cell.modifier
                    .iter_names()
                    .map(|(name, _)| name.to_lowercase()),
            );
            words.join(" ")
        };
        let (mut at, mut runs) = (0, Vec::new());
        for run in cells.chunk_by(|a, b| style(a) == style(b)) {
            let words = style(&run[0]);
            if !words.is_empty() {
                runs.push(format!("{at}-{} {words}", at + run.len() - 1));
            }
            at += run.len();
        }
        if !runs.is_empty() {
            all.push_str(&format!("{line:>2}: {}\n", runs.join(", ")));
        }
    }
    all
}

#[test]
fn each_screen_is_as_it_was_kept() {
    let plain = Look {
        theme: Theme::None,
        ..LOOK
    };
    run(async {
        for (size, look) in SIZES
            .into_iter()
            .flat_map(|size| [(size, LOOK), (size, plain)])
        {
            let lab = Database::mad_lab(Backend::Sqlite).await;
            play(lab.store.clone(), size, look, async |mut player| {
                let player = &mut player;
                look_around(player, size, &lab).await;
                roll_back(player, size, &lab).await;
                player.press(Key::Char('q'));
                player.see(&["[1 Timeline]"]).await;
                player.press(Key::Char('q'));
            })
            .await;
        }
    });
}

/// The timeline, the tables, a row, a value, the past, the audit.
async fn look_around(player: &mut Player, size: (u16, u16), lab: &Database) {
    let keys = |player: &Player, text: &str| player.type_text(text);
    let header = "LIVE #18";
    keep(
        player,
        "timeline",
        size,
        lab,
        &[header, "16 rows", "e3dde6c2-ab0c"],
    )
    .await;
    player.press(Key::Down);
    player.press(Key::Enter);
    keep(
        player,
        "event",
        size,
        lab,
        &["     → \"4d78fcc7", "+ metadata"],
    )
    .await;
    player.press(Key::Esc);
    player.press(Key::Char('?'));
    keep(player, "help", size, lab, &["Keys here"]).await;
    keys(player, "roll");
    keep(
        player,
        "help_searched",
        size,
        lab,
        &["search: roll", "undo a rollback"],
    )
    .await;
    player.press(Key::Esc);
    player.press(Key::Char(':'));
    keep(player, "palette", size, lab, &["time-travel"]).await;
    keys(player, "2020-02-17 03:09:50");
    keep(
        player,
        "palette_moment",
        size,
        lab,
        &["go to 2020-02-17 03:09:50"],
    )
    .await;
    player.press(Key::Enter);
    keep(
        player,
        "notice",
        size,
        lab,
        &["#11 create synthesis", "by tester", "bd8e2ba9-"],
    )
    .await;
    player.press(Key::Char('/'));
    keys(player, "event:u");
    keep(
        player,
        "suggestions",
        size,
        lab,
        &["no event kind", "event:u"],
    )
    .await;
    player.press(Key::Tab);
    player.press(Key::Enter);
    keep(
        player,
        "filter",
        size,
        lab,
        &["2 matches", "#12 update synthesis", "bd8e2ba9-"],
    )
    .await;
    player.press(Key::Char('h'));
    keep(player, "row_life", size, lab, &["▌~ #12 update", "[3 Row]"]).await;
    player.press(Key::Home);
    keep(
        player,
        "row",
        size,
        lab,
        &["▌synthesis_id", "→ molecule ABC"],
    )
    .await;
    player.press(Key::Esc);
    player.see(&["2 matches"]).await;
    player.press(Key::Esc);
    player.see_no("filter:").await;
    player.press(Key::Char('2'));
    keep(
        player,
        "tables",
        size,
        lab,
        &["xy_data", "molecule_fragment           3"],
    )
    .await;
    player.press(Key::Char('/'));
    keys(player, "xy");
    keep(player, "tables_filtered", size, lab, &["filter: xy"]).await;
    player.press(Key::Enter);
    player.press(Key::Enter);
    keep(player, "grid", size, lab, &["xy_data · 1 row", "NMR v1"]).await;
    (0..4).for_each(|_| player.press(Key::Right));
    keep(
        player,
        "grid_right",
        size,
        lab,
        &["column 5 of 10: x JSON", "[100 values]"],
    )
    .await;
    player.press(Key::Enter);
    keep(
        player,
        "plot",
        size,
        lab,
        &["xy_data.x of 4d78fcc7", "100 values"],
    )
    .await;
    player.press(Key::Char('p'));
    keep(player, "cell", size, lab, &["0.10101010101010101,"]).await;
    player.press(Key::Esc);
    player.press(Key::Esc);
    player.press(Key::Char('1'));
    player.see(&["[1 Timeline]"]).await;
    // The molecule, before its name was mended.
    player.press(Key::Char(':'));
    keys(player, "6");
    player.press(Key::Enter);
    player.see(&["#6 create molecule"]).await;
    player.press(Key::Char('t'));
    player.see(&["PAST #6", "[2 Tables]"]).await;
    player.press(Key::Char('/'));
    (0..2).for_each(|_| player.press(Key::Backspace));
    keys(player, "molecule");
    player.press(Key::Enter);
    player.press(Key::Enter);
    keep(player, "past", size, lab, &["A-UGLY-TYPO-C*", "T: now"]).await;
    player.press(Key::Char('T'));
    player.see(&[header, "DEF"]).await;
    player.press(Key::Char('5'));
    keep(player, "audit", size, lab, &["tester", "molecule_fragment"]).await;
    player.press(Key::Char('v'));
    keep(
        player,
        "audit_verified",
        size,
        lab,
        &["Yes: nothing differs (16 rows and 18 events"],
    )
    .await;
    player.press(Key::Char('4'));
    keep(
        player,
        "no_rollback",
        size,
        lab,
        &["No rollback is being planned"],
    )
    .await;
    player.press(Key::Char('1'));
}

/// From the preview to the result, on #15.
async fn roll_back(player: &mut Player, size: (u16, u16), lab: &Database) {
    player.press(Key::Char(':'));
    player.type_text("15");
    player.press(Key::Enter);
    player.see(&["#15 create experiment", "by tester"]).await;
    player.press(Key::Char('R'));
    keep(
        player,
        "preview",
        size,
        lab,
        &["just before #15", "(32 by replay)", " by tester)"],
    )
    .await;
    player.press(Key::Tab);
    keep(player, "preview_marked", size, lab, &["▌- remove molecule"]).await;
    player.press(Key::Char('v'));
    keep(player, "change", size, lab, &["- remove molecule", "→ ∅"]).await;
    player.press(Key::Esc);
    player.press(Key::Char('w'));
    keep(player, "reason", size, lab, &["why:"]).await;
    player.press(Key::Esc);
    player.press(Key::Char('/'));
    player.type_text("def");
    player.press(Key::Enter);
    keep(
        player,
        "preview_filtered",
        size,
        lab,
        &["1 of 4 rows with \"def\""],
    )
    .await;
    player.press(Key::Char('o'));
    keep(
        player,
        "preview_scoped",
        size,
        lab,
        &["scope: the table molecule", "by tester)"],
    )
    .await;
    // Those of the row that was marked, and then those of the event.
    for scope in ["Take the row molecule", "Take the table experiment"] {
        player.press(Key::Char('o'));
        player.see(&[scope, " by tester)"]).await;
    }
    player.press(Key::Char('o'));
    keep(
        player,
        "blocked",
        size,
        lab,
        &["In the way", "Take the row experiment", " by tester)"],
    )
    .await;
    player.press(Key::Char('o'));
    player
        .see(&["scope: the whole database", "(32 by replay)"])
        .await;
    player.press(Key::Char('s'));
    player.press(Key::Enter);
    keep(player, "confirm", size, lab, &["type 15", "[ Cancel ]"]).await;
    player.type_text("15");
    player.press(Key::Enter);
    keep(
        player,
        "result",
        size,
        lab,
        &["32 events appended, #19 to #50", "LIVE #50", "12 rows"],
    )
    .await;
}

#[test]
fn a_rollback_at_work_is_as_it_was_kept() {
    use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget};
    use ebbtide::tui::layout::Size;
    use ebbtide::tui::model::{Asked, Model, ReadRows, Rollback, Screen, Stage};
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let request = RollbackRequest::to(RollbackTarget::BeforeEvent(15));
        let plan = rollback::plan(&*lab.store, request).await.unwrap();
        for (columns, rows) in SIZES {
            for (name, stage, plan) in [
                ("planning", Stage::Planning, None),
                (
                    "progress",
                    Stage::Running {
                        done: 3,
                        total: 8,
                        elapsed: 6000,
                        stopping: false,
                        writer: None,
                    },
                    Some(plan.clone()),
                ),
                (
                    "stopping",
                    Stage::Running {
                        done: 5,
                        total: 8,
                        elapsed: 400,
                        stopping: true,
                        writer: Some(Writer {
                            role: "instrument7".to_owned(),
                            program: Some("psql".to_owned()),
                            process: Some(4711),
                            since: Some(crate::support::moment("2020-02-17T10:31:05Z")),
                        }),
                    },
                    Some(plan.clone()),
                ),
            ] {
                let mut model = Model::new(lab.store.info().clone(), Size { columns, rows });
                model.screen = Screen::Rollback;
                model.head = Some(18);
                model.events = Some(18);
                let changes = plan.as_ref().map(|plan| &plan.changes);
                let read = changes.map(|changes| changes.page(0..changes.len()).unwrap());
                let asked = Asked::To {
                    event: 15,
                    keep: false,
                };
                model.rollback = Some(Rollback {
                    stage,
                    plan,
                    rows: ReadRows {
                        rows: read.unwrap_or_default(),
                        ..ReadRows::default()
                    },
                    ..Rollback::new(asked, None)
                });
                let mut terminal =
                    ratatui::Terminal::new(ratatui::backend::TestBackend::new(columns, rows))
                        .unwrap();
                terminal
                    .draw(|frame| ebbtide::tui::view::draw(frame, &model, LOOK))
                    .unwrap();
                insta::assert_snapshot!(
                    format!("{name}_{columns}x{rows}"),
                    memory::text(terminal.backend().buffer())
                );
            }
        }
    });
}

#[test]
fn undone_events_and_bookkeeping_say_so_without_colours_and_in_ascii() {
    run(async {
        use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
        let lab = Database::mad_lab(Backend::Sqlite).await;
        lab.roll_back(RollbackTarget::BeforeEvent(15), Strategy::Minimal)
            .await
            .unwrap();
        let plain = Look {
            theme: Theme::None,
            unicode: false,
        };
        play(lab.store.clone(), (80, 24), plain, async |mut player| {
            let screen = player
                .see(&["24 events", "12 rows", "written by rollback #19"])
                .await;
            assert!(screen.is_ascii(), "{screen}");
            for text in ["of #19", "undone by #19", "- molecule", "rollback-end"] {
                assert!(screen.contains(text), "no {text}:\n{screen}");
            }
            player.press(Key::Char('q'));
        })
        .await;
    });
}

#[test]
fn every_size_is_drawn_and_a_small_one_says_so() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["16 rows", "#18"]).await;
            for (columns, rows) in [(60, 16), (200, 60), (111, 17), (109, 80), (80, 24)] {
                player.resize(columns, rows);
                // The footer stands in the last line when the whole screen was drawn at that size.
                player.see_footer_in(rows).await;
            }
            for (columns, rows) in [(59, 24), (80, 15), (20, 3), (1, 1)] {
                player.resize(columns, rows);
                player.see_no("? help").await;
            }
            player.resize(40, 10);
            player.see(&["ebb needs 60×16"]).await;
            player.resize(80, 24);
            player.see(&["e3dde6c2-ab0c"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    });
}

#[test]
fn text_from_the_database_cannot_drive_the_terminal() {
    run(async {
        use crate::support::{create, id};
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let evil = "\x1b[2J\u{9b}31m\u{202e}gnp.exe\r\n\u{7f}";
        lab.append(vec![create(
            "molecule",
            id(1),
            serde_json::json!({"smiles": evil}),
        )])
        .await;
        play(lab.store.clone(), (120, 40), LOOK, async |mut player| {
            let screens = [
                player
                    .see(&["19 events · 17 rows", "\\u001b[2J", "10000000-0000"])
                    .await,
                {
                    player.press(Key::Enter);
                    player.see(&["\\u{202e}gnp.exe\\r\\n"]).await
                },
                {
                    player.press(Key::Esc);
                    player.press(Key::Char('R'));
                    player.see(&["just before #19", "\\u001b"]).await
                },
            ];
            for screen in screens {
                let bad = screen
                    .chars()
                    .find(|c| *c != '\n' && ebbtide::text::drives_a_terminal(*c));
                assert_eq!(bad, None, "{screen}");
            }
            player.press(Key::Char('q'));
        })
        .await;
    });
}

#[test]
fn wide_characters_do_not_break_the_columns() {
    run(async {
        use crate::support::{create, id};
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let dated = |n, smiles: &str| {
            let mut event = create("molecule", id(n), serde_json::json!({"smiles": smiles}));
            event.timestamp = Some(crate::support::moment("2020-03-01"));
            event
        };
        lab.append(vec![dated(1, "分子式🧪"), dated(2, "ascii")])
            .await;
        play(lab.store.clone(), (120, 40), LOOK, async |mut player| {
            player.see(&["20 events", "18 rows"]).await;
            player.press(Key::Char('2'));
            player.see(&["molecule_fragment"]).await;
            (0..6).for_each(|_| player.press(Key::Down));
            player.press(Key::Enter);
            let screen = player.see(&["molecule · 4 rows", "ascii", "分"]).await;
            insta::assert_snapshot!(
                "wide_characters",
                screen
                    .lines()
                    .skip(2)
                    .take(3)
                    .collect::<Vec<_>>()
                    .join("\n")
            );
            player.press(Key::Char('q'));
        })
        .await;
    });
}
