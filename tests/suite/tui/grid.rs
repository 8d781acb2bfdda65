//! Facts about the rows of a table, and about what is shown while they are read.

use ebbtide::eventsourcing::rows::RowsStart;
use ebbtide::eventsourcing::schema::Table;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{Error, ErrorCode, RowKey, inspect};
use ebbtide::tui::effect::{Effect, RequestId};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::layout::Size;
use ebbtide::tui::message::{GridPage, Message, Overview, RowCount};
use ebbtide::tui::model::{GridRow, Model, RowFor, RowScreen, Screen, Visited, WholeRow};
use ebbtide::tui::update::{start, update};
use ebbtide::tui::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::player::LOOK;
use super::transitions::{SIZE, drawn, press};
use crate::support::{Database, id, run};

/// The tables of the Mad Lab on the screen, none of them read yet.
async fn listing(lab: &Database) -> Model {
    let tables: Vec<Table> = lab.store.tables().await.unwrap();
    let mut model = Model::new(lab.store.info().clone(), SIZE);
    let effects = start(&mut model);
    let request = effects.iter().find_map(|effect| match effect {
        Effect::Tables(request) => Some(*request),
        _ => None,
    });
    update(&mut model, Message::Tables(request.unwrap(), Ok(tables)));
    model.screen = Screen::Tables;
    model
}

fn rows_request(effects: &[Effect]) -> RequestId {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Rows(request, ..) => Some(*request),
        _ => None,
    });
    found.expect("rows were asked for")
}

fn some_rows(count: usize) -> GridPage {
    let row = |n: usize| {
        let row = serde_json::json!({"data_unit_id": format!("row {n}")});
        GridRow {
            row: row.as_object().unwrap().clone(),
            left_out: Default::default(),
            since: None,
        }
    };
    GridPage {
        rows: (0..count).map(row).collect(),
        total: None,
        next: None,
    }
}

#[test]
fn a_smaller_screen_keeps_the_row_under_the_cursor_in_sight() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = listing(&lab).await;
        let effects = press(&mut model, Key::Enter);
        let page = Message::Rows(rows_request(&effects), Ok(some_rows(60)));
        update(&mut model, page);
        (0..18).for_each(|_| drop(press(&mut model, Key::Down)));
        let (columns, rows) = (80, 16);
        update(&mut model, Message::Resized(Size { columns, rows }));
        assert!(drawn(&model).contains("▌  row 18"), "{}", drawn(&model));
    });
}

#[test]
fn a_table_read_anew_stays_until_the_new_rows_are_there() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = listing(&lab).await;
        let effects = press(&mut model, Key::Enter);
        let page = Message::Rows(rows_request(&effects), Ok(some_rows(60)));
        update(&mut model, page);
        (0..5).for_each(|_| drop(press(&mut model, Key::Down)));
        let effects = press(&mut model, Key::Char('r'));
        let screen = drawn(&model);
        assert!(screen.contains("▌  row 5") && screen.contains("reading…"));
        let page = Message::Rows(rows_request(&effects), Ok(some_rows(40)));
        update(&mut model, page);
        let grid = model.tables.grid.as_ref().unwrap();
        assert_eq!((grid.cursor, grid.rows), (5, Some(40)));
    });
}

#[test]
fn rows_that_could_not_be_read_are_not_said_to_be_none() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = listing(&lab).await;
        let effects = press(&mut model, Key::Enter);
        let lost = Error::new(ErrorCode::Unreachable, "the connection is lost");
        update(&mut model, Message::Rows(rows_request(&effects), Err(lost)));
        press(&mut model, Key::Left);
        let screen = drawn(&model);
        assert!(!screen.contains("no rows"), "{screen}");
    });
}

#[test]
fn the_whole_reason_why_a_table_takes_no_part_is_told_where_it_is_opened() {
    run(async {
        let reason = "its primary key, number_of_the_sample, is of type integer, not uuid";
        let schema =
            "CREATE TABLE a_table_of_samples (number_of_the_sample integer PRIMARY KEY, name text)";
        let lab = Database::with(Backend::Postgres, schema).await;
        let mut model = listing(&lab).await;
        let cut = drawn(&model);
        assert!(cut.contains("takes no part: its primary key"), "{cut}");
        assert!(!cut.contains("uuid"), "{cut}");
        press(&mut model, Key::Enter);
        let words = drawn(&model)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(
            words.contains(&format!("a_table_of_samples takes no part: {reason}")),
            "{words}"
        );
    });
}

#[test]
fn events_that_could_not_be_read_are_not_said_to_be_none() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = Model::new(lab.store.info().clone(), SIZE);
        let effects = start(&mut model);
        let page = effects.iter().find_map(|effect| match effect {
            Effect::Page(request, _) => Some(*request),
            _ => None,
        });
        let lost = Error::new(ErrorCode::Unreachable, "the connection is lost");
        model.head = Some(18);
        model.events = Some(18);
        update(&mut model, Message::Page(page.unwrap(), Err(lost)));
        let screen = drawn(&model);
        assert!(screen.contains("Not read: r tries again"), "{screen}");
        assert!(screen.contains("the connection is lost"), "{screen}");
    });
}

#[test]
fn the_header_says_read_only_however_long_the_name_and_the_counts() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = listing(&lab).await;
        model.info.name = "a-rather-long-name-of-a-laboratory-database.db".to_owned();
        model.info.read_only = Some("it was opened for reading only".to_owned());
        model.head = Some(1_998_820);
        model.events = Some(1_998_820);
        for (columns, rows) in [(60, 16), (80, 24), (120, 40)] {
            model.size = Size { columns, rows };
            let screen = drawn(&model);
            let header = screen.lines().next().unwrap();
            for wanted in ["a-rather", "LIVE #1998820", "READ-ONLY"] {
                assert!(header.contains(wanted), "{wanted} in {header}");
            }
        }
    });
}

#[test]
fn rows_that_were_still_being_read_when_a_link_was_followed_are_read_on_the_way_back() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = listing(&lab).await;
        press(&mut model, Key::Enter);
        // Nothing has arrived, and one goes elsewhere by a link and comes back.
        let key = RowKey {
            table: "molecule".to_owned(),
            uuid: id(1),
        };
        let grid = model.tables.grid.take().unwrap();
        let left = grid.in_sight(20);
        assert_eq!((left.wanted, left.goes), (None, false));
        model.trail.push(Visited::Grid(Box::new(left)));
        model.screen = Screen::Row;
        model.row = Some(RowScreen::new(key, None));
        let effects = press(&mut model, Key::Backspace);
        let request = rows_request(&effects);
        update(&mut model, Message::Rows(request, Ok(some_rows(3))));
        assert!(model.tables.grid.as_ref().unwrap().selected().is_some());
        assert!(!model.is_going());
    });
}

/// A grid with so many rows of a first page, after which there are more.
async fn opened(lab: &Database) -> Model {
    let mut model = listing(lab).await;
    let request = rows_request(&press(&mut model, Key::Enter));
    let page = GridPage {
        next: Some(RowsStart::default()),
        ..some_rows(40)
    };
    update(&mut model, Message::Rows(request, Ok(page)));
    model
}

#[test]
fn the_way_to_the_last_row_can_be_given_up_and_what_was_there_stays() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = opened(&lab).await;
        press(&mut model, Key::Down);
        let request = rows_request(&press(&mut model, Key::Char('G')));
        assert!(model.is_going());
        press(&mut model, Key::Ctrl('c'));
        assert!(!model.is_going());
        let shown = drawn(&model);
        update(&mut model, Message::Rows(request, Ok(some_rows(3))));
        assert_eq!(drawn(&model), shown, "a late answer is dropped");
        assert!(shown.contains("▌  row 1 "), "{shown}");
        // And it is not gone to later, when the number of rows becomes known.
        let request = rows_request(&press(&mut model, Key::Char('r')));
        update(&mut model, Message::Rows(request, Ok(some_rows(9))));
        assert!(drawn(&model).contains("▌  row 1 "), "{}", drawn(&model));
    });
}

fn whole_row(effects: &[Effect]) -> RequestId {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::WholeRow(request, ..) => Some(*request),
        _ => None,
    });
    found.expect("a row was asked for")
}

fn a_spectrum() -> WholeRow {
    let row =
        serde_json::json!({"x": [1, 5, 9], "y": [2, 8, 3], "x_unit": "ppm", "y_unit": "counts"});
    WholeRow {
        row: row.as_object().unwrap().clone(),
        now: None,
        names: Default::default(),
    }
}

#[test]
fn a_value_is_not_shown_where_one_has_gone_meanwhile() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = opened(&lab).await;
        press(&mut model, Key::Right);
        let request = whole_row(&press(&mut model, Key::Enter));
        press(&mut model, Key::Char('1'));
        update(
            &mut model,
            Message::WholeRow(request, Ok(Some(a_spectrum()))),
        );
        assert!(model.cell.is_none());
    });
}

#[test]
fn shifts_run_from_the_right_to_the_left_and_axes_have_their_units() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = opened(&lab).await;
        let grid = model.tables.grid.as_mut().unwrap();
        grid.whole_wanted = Some((RequestId(800), RowFor::Showing("y".to_owned())));
        update(
            &mut model,
            Message::WholeRow(RequestId(800), Ok(Some(a_spectrum()))),
        );
        let shown = drawn(&model);
        assert!(
            shown.contains("x (ppm)") && shown.contains("y (counts) from 2 to 8"),
            "{shown}"
        );
        let axis = shown
            .lines()
            .find(|line| line.split_whitespace().eq(["9", "5", "1"]));
        assert!(axis.is_some(), "{shown}");
    });
}

/// A row's page may be there before the list of tables, which says which rows name it.
#[test]
fn a_row_keeps_its_event_when_the_tables_become_known() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = Model::new(lab.store.info().clone(), SIZE);
        let begun = start(&mut model);
        let key = RowKey {
            table: "molecule".to_owned(),
            uuid: uuid::uuid!("c053009a-9b1d-44a7-8267-f5befdb03eb0"),
        };
        model.screen = Screen::Row;
        model.row = Some(RowScreen::new(key.clone(), Some(10)));
        let inspection = inspect::row(&*lab.store, &key, None).await.unwrap();
        let life = inspect::row_history_before(&*lab.store, &key, 19, 50)
            .await
            .unwrap();
        let row = model.row.as_mut().unwrap();
        (row.wanted, row.life_wanted, row.life_asked) =
            (Some(RequestId(801)), Some(RequestId(802)), 50);
        update(
            &mut model,
            Message::Row(RequestId(801), Box::new(Ok(inspection))),
        );
        update(&mut model, Message::Life(RequestId(802), Ok(life)));
        assert!(drawn(&model).contains("▌~ #10 update"), "{}", drawn(&model));
        let request = begun.iter().find_map(|effect| match effect {
            Effect::Tables(request) => Some(*request),
            _ => None,
        });
        let tables = lab.store.tables().await.unwrap();
        update(&mut model, Message::Tables(request.unwrap(), Ok(tables)));
        let shown = drawn(&model);
        assert!(
            shown.contains("▌~ #10 update") && shown.contains("Rows that name this one"),
            "{shown}"
        );
    });
}

/// A spectrum with these values on the screen.
async fn drawn_spectrum(lab: &Database, y: serde_json::Value) -> String {
    let mut model = opened(lab).await;
    let grid = model.tables.grid.as_mut().unwrap();
    grid.whole_wanted = Some((RequestId(800), RowFor::Showing("y".to_owned())));
    let mut whole = a_spectrum();
    whole.row.insert("y".to_owned(), y);
    update(
        &mut model,
        Message::WholeRow(RequestId(800), Ok(Some(whole))),
    );
    drawn(&model)
}

#[test]
fn numbers_of_every_size_are_drawn_as_a_line_over_the_whole_height() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        for y in [
            serde_json::json!([2, 8, 3]),
            serde_json::json!([-1.7e308, 1.7e308, 1e308]),
            serde_json::json!([1.1e308, 1.7e308, 1.2e308]),
            serde_json::json!([-1e-300, 1e-300, 0]),
        ] {
            let shown = drawn_spectrum(&lab, y).await;
            let has_line = |line: &&str| {
                line.chars()
                    .any(|one| ('\u{2801}'..='\u{28ff}').contains(&one))
            };
            let lines = shown.lines().filter(has_line).count();
            assert!(lines >= 8, "{shown}");
        }
        // What JSON has no number for is a gap.
        let shown = drawn_spectrum(&lab, serde_json::json!([2, "NaN", 3])).await;
        assert!(shown.contains("y (counts) from 2 to 3"), "{shown}");
        // One value alone is in the middle, however large.
        let shown = drawn_spectrum(&lab, serde_json::json!([1e300, 1e300, 1e300])).await;
        assert!(
            shown.contains("1.00e300") && shown.contains("5.00e299"),
            "{shown}"
        );
    });
}

/// Events that come while the tables are being counted wait for the end of that, which would else never come.
#[test]
fn counting_ends_however_fast_events_come() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut model = listing(&lab).await;
        let grows = |model: &mut Model, head| {
            let effects = update(model, Message::Head(Ok(head)));
            let request = effects.iter().find_map(|effect| match effect {
                Effect::Overview(request) => Some(*request),
                _ => None,
            });
            let overview = Overview {
                head,
                events: head.unsigned_abs(),
                history: Default::default(),
            };
            update(model, Message::Overview(request.unwrap(), Ok(overview)))
        };
        let counts = |effects: &[Effect]| {
            effects.iter().find_map(|effect| match effect {
                Effect::Count(request, tables, ..) => Some((*request, tables.clone())),
                _ => None,
            })
        };
        grows(&mut model, 18);
        let running = model.tables.counts_wanted.unwrap();
        let tables = model.tables.list.clone().unwrap();
        update(&mut model, Message::Counting(running, Ok(18)));
        for head in 19..30 {
            assert_eq!(counts(&grows(&mut model, head)), None, "at #{head}");
        }
        let mut begun = Vec::new();
        for table in &tables {
            let counted = Message::Counted(running, table.name.clone(), Ok(RowCount::Counted(1)));
            begun.extend(counts(&update(&mut model, counted)));
        }
        assert_eq!(begun.len(), 1, "and then once for all that came");
    });
}

/// The terminal may already have another size than the one that was told last, and any size at all.
#[test]
fn a_terminal_of_another_size_than_the_one_told_last_is_drawn_on() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let mut models = vec![listing(&lab).await, opened(&lab).await];
        for screen in [
            Screen::Timeline,
            Screen::Row,
            Screen::Rollback,
            Screen::Audit,
        ] {
            let mut model = listing(&lab).await;
            model.screen = screen;
            models.push(model);
        }
        for keys in ["?", ":", "/"] {
            let mut model = listing(&lab).await;
            press(&mut model, Key::Char(keys.chars().next().unwrap()));
            models.push(model);
        }
        for model in &mut models {
            for told in [
                SIZE,
                Size {
                    columns: 200,
                    rows: 60,
                },
                Size {
                    columns: 60,
                    rows: 16,
                },
            ] {
                model.size = told;
                for (columns, rows) in [
                    (0, 0),
                    (1, 1),
                    (9, 2),
                    (3, 24),
                    (59, 16),
                    (60, 15),
                    (200, 3),
                    (61, 17),
                    (300, 100),
                ] {
                    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
                    terminal
                        .draw(|frame| view::draw(frame, model, LOOK))
                        .unwrap();
                }
            }
        }
    });
}
