//! Facts about the pages of a rollback that is larger than the screen.

use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::tui::effect::{Effect, RequestId};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::layout::Size;
use ebbtide::tui::message::Message;
use ebbtide::tui::model::{Asked, Model, ReadRows, Rollback, Screen, Stage};
use ebbtide::tui::pages;
use ebbtide::tui::update::update;

use crate::support::{Database, run};

/// A preview of taking everything back, on a screen of this size.
async fn previewing(lab: &Database, size: Size) -> Model {
    let request = RollbackRequest::to(RollbackTarget::BeforeEvent(1));
    let plan = rollback::plan(&*lab.store, request).await.unwrap();
    let mut model = Model::new(lab.store.info().clone(), size);
    model.screen = Screen::Rollback;
    let asked = Asked::To {
        event: 1,
        keep: false,
    };
    model.rollback = Some(Rollback {
        stage: Stage::Preview,
        plan: Some(plan),
        ..Rollback::new(asked, None)
    });
    after(&mut model, Message::Resized(size));
    model
}

fn in_sight(model: &Model) -> Vec<String> {
    let lines = pages::rollback(model, model.size.page_width(), model.size.content());
    lines.into_iter().map(|line| line.text).collect()
}

/// Takes the message, and reads the rows of the plan that are asked for then.
fn after(model: &mut Model, message: Message) {
    for effect in update(model, message) {
        if let Effect::Changes(request, changes, first, places) = effect {
            let rows: Result<Vec<_>, _> = changes.lots(places, usize::MAX).collect();
            let rows = rows.map(|lots| lots.concat());
            after(model, Message::Changes(request, first, rows));
        }
    }
}

fn press(model: &mut Model, key: Key) {
    after(model, Message::Key(key));
}

#[test]
fn scrolling_shows_every_line_of_a_preview_once() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let size = Size {
            columns: 80,
            rows: 24,
        };
        let mut model = previewing(&lab, size).await;
        let length = pages::rollback_length(&model, size.page_width());
        let tall = Size { rows: 2000, ..size };
        let everything = in_sight(&previewing(&lab, tall).await);
        let whole: Vec<String> = everything.into_iter().take(length).collect();
        assert_eq!(whole.len(), length);
        assert!(whole.last().unwrap().contains("short_name"));
        let height = size.content();
        for top in 0..=length - height {
            assert_eq!(in_sight(&model), whole[top..top + height], "from {top}");
            press(&mut model, Key::Char('j'));
        }
        press(&mut model, Key::Char('j'));
        assert_eq!(in_sight(&model), whole[length - height..], "no further");
    });
}

#[test]
fn rows_that_have_not_been_read_have_their_room_in_the_preview() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let size = Size {
            columns: 80,
            rows: 24,
        };
        let mut model = previewing(&lab, size).await;
        press(&mut model, Key::Char('G'));
        let read = in_sight(&model);
        press(&mut model, Key::Char('g'));
        // The answer is still on its way.
        update(&mut model, Message::Key(Key::Char('G')));
        model.rollback.as_mut().unwrap().rows = ReadRows::default();
        let unread = in_sight(&model);
        assert_eq!(unread.len(), read.len());
        for (unread, read) in unread.iter().zip(&read) {
            assert_eq!(
                unread == read,
                !read.starts_with("    "),
                "{unread} for {read}"
            );
        }
        assert!(unread.contains(&"    …".to_owned()), "{unread:#?}");
        after(&mut model, Message::Resized(size));
        assert_eq!(in_sight(&model), read);
    });
}

#[test]
fn the_question_is_in_sight_however_far_the_preview_was_scrolled() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let size = Size {
            columns: 80,
            rows: 24,
        };
        let mut model = previewing(&lab, size).await;
        press(&mut model, Key::Char('G'));
        let scrolled = in_sight(&model);
        press(&mut model, Key::Enter);
        let question = in_sight(&model).join("\n");
        for wanted in ["lab.db (sqlite", "just before #1", "type 1 and", "#_"] {
            assert!(question.contains(wanted), "{wanted} in\n{question}");
        }
        press(&mut model, Key::Esc);
        assert_eq!(in_sight(&model), scrolled, "the preview is where it was");
    });
}

#[test]
fn the_question_fits_the_smallest_screen_with_the_longest_words() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let size = Size {
            columns: 60,
            rows: 16,
        };
        let mut model = previewing(&lab, size).await;
        model.info.name = "a-rather-long-name-of-a-laboratory-database.db".to_owned();
        model.info.location = "/somewhere/deep".repeat(20);
        model
            .rollback
            .as_mut()
            .unwrap()
            .plan
            .as_mut()
            .unwrap()
            .later_events = 7;
        press(&mut model, Key::Enter);
        let question = in_sight(&model);
        assert!(question.len() <= size.content(), "{question:#?}");
        for wanted in [
            "a-rather-long-name",
            "7 events",
            "type 1 and",
            "#_",
            "[ Cancel ]",
        ] {
            assert!(
                question.iter().any(|line| line.contains(wanted)),
                "{wanted} in {question:#?}"
            );
        }
    });
}

#[test]
fn a_screen_that_grows_shows_the_end_of_the_preview_and_not_what_is_beyond() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let small = Size {
            columns: 60,
            rows: 16,
        };
        let mut model = previewing(&lab, small).await;
        press(&mut model, Key::Char('G'));
        let (columns, rows) = (120, 60);
        after(&mut model, Message::Resized(Size { columns, rows }));
        assert_eq!(in_sight(&model).len(), model.size.content());
        let before = in_sight(&model);
        press(&mut model, Key::Char('k'));
        assert_eq!(in_sight(&model)[1..], before[..before.len() - 1]);
    });
}

#[test]
fn the_rows_of_a_table_stand_together_whatever_the_order_of_the_events() {
    run(async {
        let lab = Database::mad_lab(Backend::Sqlite).await;
        let size = Size {
            columns: 80,
            rows: 300,
        };
        let mut model = previewing(&lab, size).await;
        // The lab's events begin with a laboratory, go on with machines, fragments and molecules, and come back to each.
        let rollback = model.rollback.as_mut().unwrap();
        let plan = rollback.plan.take().unwrap();
        (rollback.stage, rollback.wanted) = (Stage::Planning, Some(RequestId(900)));
        let in_order = |tables: &[String]| {
            let mut seen = Vec::new();
            tables.iter().all(|table| {
                let is_another = seen.last() != Some(table);
                !is_another
                    || !seen.contains(table) && {
                        seen.push(table.clone());
                        true
                    }
            })
        };
        let planned: Vec<String> = plan
            .changes
            .entries()
            .map(|one| one.table.to_owned())
            .collect();
        assert!(
            !in_order(&planned),
            "the plan has them in another order: {planned:?}"
        );
        after(
            &mut model,
            Message::Planned(RequestId(900), Box::new(Ok(plan))),
        );
        let lines = in_sight(&model);
        let rows = lines
            .iter()
            .filter_map(|line| line.strip_prefix("- remove "));
        let tables: Vec<String> = rows
            .filter_map(|row| Some(row.split_once(' ')?.0.to_owned()))
            .collect();
        assert_eq!(tables.len(), 16);
        assert!(in_order(&tables), "{tables:?}");
        // And each row has its own values.
        for (line, next) in lines.iter().zip(&lines[1..]) {
            if let Some(uuid) = line.strip_prefix("- remove fragment ") {
                assert!(next.contains(uuid), "{line}\n{next}");
            }
        }
    });
}
