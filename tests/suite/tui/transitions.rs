//! Facts about the state machine alone: no terminal, no database.

use ebbtide::eventsourcing::activity::ActivityBy;
use ebbtide::eventsourcing::store::{Backend, StoreInfo};
use ebbtide::eventsourcing::timeline::{Direction, Entry, Page};
use ebbtide::eventsourcing::{Error, ErrorCode, Event, EventKind, Row, RowKey};
use ebbtide::tui::effect::{Effect, RequestId, Slot};
use ebbtide::tui::keymap::{Context, Key};
use ebbtide::tui::layout::Size;
use ebbtide::tui::memory;
use ebbtide::tui::message::Message;
use ebbtide::tui::model::{Asked, Cell, Leaving, Model, Notice, Stage};
use ebbtide::tui::update::{start, update};
use ebbtide::tui::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::player::LOOK;
use crate::support::{id, moment};

pub(crate) const SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

pub(crate) fn model() -> (Model, Vec<Effect>) {
    let info = StoreInfo {
        backend: Backend::Sqlite,
        name: "lab.db".to_owned(),
        location: "/lab.db".to_owned(),
        actor: "tester".to_owned(),
        read_only: None,
    };
    let mut model = Model::new(info, SIZE);
    let effects = start(&mut model);
    (model, effects)
}

pub(crate) fn entry(n: i64) -> Entry {
    let timestamp = moment("2020-01-01") + chrono::TimeDelta::seconds(n);
    Entry {
        event: Event {
            id: n,
            kind: EventKind::Create,
            row: Some(RowKey {
                table: "sample".to_owned(),
                uuid: id(u128::try_from(n).unwrap()),
            }),
            data: Row::new(),
            timestamp,
            stamp: timestamp,
            filled: None,
            actor: "tester".to_owned(),
            origin: None,
        },
        left_out: None,
    }
}

fn page_request(effects: &[Effect]) -> RequestId {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Page(request, _) => Some(*request),
        _ => None,
    });
    found.expect("a page was asked for")
}

/// A model that shows the events `first..=last`, the latest of the log.
pub(crate) fn showing(first: i64, last: i64) -> Model {
    let (mut model, effects) = model();
    let page = Page {
        entries: (first..=last).rev().map(entry).collect(),
        more: first > 1,
    };
    update(&mut model, Message::Page(page_request(&effects), Ok(page)));
    model
}

pub(crate) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    update(model, Message::Key(key))
}

/// What is on the screen.
pub(crate) fn drawn(model: &Model) -> String {
    let mut terminal =
        Terminal::new(TestBackend::new(model.size.columns, model.size.rows)).unwrap();
    terminal
        .draw(|frame| view::draw(frame, model, LOOK))
        .unwrap();
    memory::text(terminal.backend().buffer())
}

#[test]
fn the_first_screen_asks_for_the_newest_page_and_nothing_whole() {
    let (_, effects) = model();
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Page(_, request) => Some(request.clone()),
        _ => None,
    });
    let asked = asked.unwrap();
    assert_eq!((asked.from, asked.direction), (None, Direction::Older));
    assert_eq!(
        asked.detail,
        ebbtide::eventsourcing::timeline::Detail::Summary
    );
}

#[test]
fn where_there_is_no_room_to_show_what_a_key_does_it_does_nothing() {
    let mut model = showing(1, 30);
    let small = Size {
        columns: 40,
        rows: 10,
    };
    update(&mut model, Message::Resized(small));
    for key in [Key::Char('R'), Key::Enter, Key::Char('2'), Key::Down] {
        assert_eq!(press(&mut model, key), []);
    }
    assert!(model.rollback.is_none() && model.timeline.cursor == 0);
    update(&mut model, Message::Resized(SIZE));
    press(&mut model, Key::Char('R'));
    assert!(model.rollback.is_some());
}

#[test]
fn an_empty_value_is_searched_in_vain() {
    let mut model = showing(1, 30);
    model.cell = Some(Cell {
        title: "sample.name".to_owned(),
        column: "name".to_owned(),
        row: None,
        news: None,
        is_gone: false,
        is_asked_anew: false,
        value: "".into(),
        now: None,
        nodes: Vec::new(),
        folded: Default::default(),
        cursor: 0,
        top: 0,
        search: String::new(),
        is_plotted: false,
        plot: None,
    });
    for key in ['/', 'a'] {
        press(&mut model, Key::Char(key));
    }
    press(&mut model, Key::Enter);
    let told = |model: &Model| model.notice.clone();
    let in_vain = Some(Notice::Info("\"a\" is not in it.".to_owned()));
    assert_eq!(told(&model), in_vain);
    for key in ['n', 'N'] {
        press(&mut model, Key::Char(key));
        assert_eq!(told(&model), in_vain);
    }
}

#[test]
fn a_late_answer_is_dropped() {
    let (mut model, effects) = model();
    let first = page_request(&effects);
    press(&mut model, Key::Char('r'));
    let page = Page {
        entries: vec![entry(1)],
        more: false,
    };
    update(&mut model, Message::Page(first, Ok(page)));
    assert!(model.timeline.entries.is_empty());
}

#[test]
fn moving_looks_at_the_event_under_the_cursor() {
    let mut model = showing(1, 30);
    let effects = press(&mut model, Key::Char('j'));
    assert!(
        matches!(effects.as_slice(), [Effect::Inspect(_, 29)]),
        "{effects:?}"
    );
}

#[test]
fn the_list_reads_on_before_it_ends_and_lets_go_of_what_is_far() {
    let mut model = showing(9_801, 10_000);
    let mut next = 9_800;
    for _ in 0..3_000 {
        let effects = press(&mut model, Key::Down);
        if let Some(Effect::Page(request, asked)) = effects
            .iter()
            .find(|effect| matches!(effect, Effect::Page(..)))
        {
            assert_eq!(asked.from, Some(next + 1));
            let entries: Vec<Entry> = (next - 199..=next).rev().map(entry).collect();
            next -= 200;
            update(
                &mut model,
                Message::Page(
                    *request,
                    Ok(Page {
                        entries,
                        more: true,
                    }),
                ),
            );
        }
        assert!(model.timeline.selected().is_some());
        assert!(model.timeline.entries.len() <= 1_200, "memory is bounded");
    }
    assert_eq!(model.timeline.selected().unwrap().event.id, 7_000);
    assert!(!model.timeline.has_newest());
}

#[test]
fn no_single_key_rolls_back() {
    let mut model = showing(1, 20);
    press(&mut model, Key::Char('R'));
    assert_eq!(model.context(), Context::Planning);
    for key in [
        Key::Enter,
        Key::Char('R'),
        Key::Char('y'),
        Key::Char(' '),
        Key::Char('s'),
    ] {
        let effects = press(&mut model, key);
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::Execute(..))),
            "{key:?}"
        );
    }
}

#[test]
fn escape_cancels_a_plan_that_is_being_made() {
    let mut model = showing(1, 20);
    press(&mut model, Key::Down);
    press(&mut model, Key::Char('R'));
    let effects = press(&mut model, Key::Esc);
    assert!(effects.contains(&Effect::Cancel(Slot::Plan)));
    assert_eq!(model.context(), Context::Timeline);
    assert_eq!(model.timeline.cursor, 1, "the cursor stays");
}

#[test]
fn whoever_goes_elsewhere_while_a_plan_is_made_stays_there() {
    for message in [
        Error::new(ErrorCode::Database, "it cannot be planned"),
        Error::new(ErrorCode::NothingToUndo, "there is nothing to undo"),
    ] {
        let mut model = showing(1, 20);
        let effects = press(&mut model, Key::Char('R'));
        let request = effects.iter().find_map(|effect| match effect {
            Effect::Plan(request, _) => Some(*request),
            _ => None,
        });
        press(&mut model, Key::Char('5'));
        assert_eq!(model.context(), Context::Audit);
        press(&mut model, Key::Char('4'));
        assert_eq!(model.context(), Context::Planning);
        press(&mut model, Key::Char('v'));
        assert!(drawn(&model).contains("The plan is being made"));
        press(&mut model, Key::Char('2'));
        let failed = Message::Planned(request.expect("it is planned"), Box::new(Err(message)));
        update(&mut model, failed);
        assert_eq!(model.context(), Context::Tables);
        assert!(model.rollback.is_none() && model.notice.is_some());
    }
}

#[test]
fn a_failure_is_told_and_what_is_shown_stays() {
    let mut model = showing(1, 20);
    let effects = press(&mut model, Key::Char('r'));
    let error = Error::new(ErrorCode::Unreachable, "the connection is lost").hint("try again");
    update(
        &mut model,
        Message::Page(page_request(&effects), Err(error.clone())),
    );
    assert_eq!(model.notice, Some(Notice::Failure(error)));
    assert_eq!(model.timeline.entries.len(), 20);
}

#[test]
fn leaving_waits_for_the_outcome_of_a_rollback() {
    let mut model = showing(1, 20);
    press(&mut model, Key::Char('R'));
    let rollback = model.rollback.as_mut().unwrap();
    rollback.stage = Stage::begun();
    let request = rollback.wanted.unwrap();
    let effects = press(&mut model, Key::Char('q'));
    assert_eq!(effects, [Effect::Stop]);
    assert_eq!(model.leaving, Leaving::WhenDone);
    let stopped = Error::new(ErrorCode::Stopped, "stopped");
    update(&mut model, Message::Executed(request, Err(stopped.clone())));
    assert_eq!(model.leaving, Leaving::Now);
    assert_eq!(
        model.last_word,
        Some(Err(stopped)),
        "it is told on the way out"
    );
}

#[test]
fn ctrl_c_twice_leaves_and_another_key_between_does_not() {
    let mut model = showing(1, 20);
    press(&mut model, Key::Ctrl('c'));
    press(&mut model, Key::Down);
    press(&mut model, Key::Ctrl('c'));
    assert_eq!(model.leaving, Leaving::No);
    press(&mut model, Key::Ctrl('c'));
    assert_eq!(model.leaving, Leaving::Now);
}

#[test]
fn a_resize_keeps_the_cursor_in_sight() {
    let mut model = showing(1, 200);
    for _ in 0..10 {
        press(&mut model, Key::Down);
    }
    update(
        &mut model,
        Message::Resized(Size {
            columns: 60,
            rows: 16,
        }),
    );
    let height = model.list_height();
    let top = model.timeline.top;
    assert!((top..top + height).contains(&model.timeline.cursor));
    assert_eq!(model.timeline.cursor, 10);
}

#[test]
fn reading_anew_keeps_the_cursor_in_its_line() {
    let mut model = showing(1, 200);
    (0..30).for_each(|_| drop(press(&mut model, Key::Down)));
    let line = model.timeline.cursor - model.timeline.top;
    let selected = model.timeline.selected().unwrap().event.id;
    let effects = press(&mut model, Key::Char('r'));
    assert!(model.is_read_anew());
    assert_eq!(model.timeline.entries.len(), 200, "what is shown stays");
    let page = Page {
        entries: (selected..=203).map(entry).collect(),
        more: false,
    };
    update(&mut model, Message::Page(page_request(&effects), Ok(page)));
    assert_eq!(model.timeline.selected().unwrap().event.id, selected);
    assert_eq!(model.timeline.cursor - model.timeline.top, line);
    assert!(model.timeline.has_newest());
}

#[test]
fn at_the_newest_event_reading_anew_goes_to_those_that_came_since() {
    let mut model = showing(1, 20);
    let effects = press(&mut model, Key::Char('r'));
    let page = Page {
        entries: (1..=22).rev().map(entry).collect(),
        more: false,
    };
    update(&mut model, Message::Page(page_request(&effects), Ok(page)));
    assert_eq!(model.timeline.selected().unwrap().event.id, 22);
}

#[test]
fn ctrl_c_cancels_what_is_being_read() {
    let (mut model, effects) = model();
    let cancelled = press(&mut model, Key::Ctrl('c'));
    assert!(cancelled.contains(&Effect::Cancel(Slot::Page)));
    assert!(cancelled.contains(&Effect::Cancel(Slot::Overview)));
    assert_eq!(model.leaving, Leaving::No);
    let late = Page {
        entries: vec![entry(1)],
        more: false,
    };
    update(&mut model, Message::Page(page_request(&effects), Ok(late)));
    assert!(
        model.timeline.entries.is_empty(),
        "a late answer is dropped"
    );
}

#[test]
fn a_lost_connection_is_tried_again_ever_more_slowly_and_told_once() {
    let mut model = showing(1, 20);
    model.head = Some(20);
    let lost = || Error::new(ErrorCode::Unreachable, "the connection is lost");
    let mut pauses = Vec::new();
    for turn in 0..10 {
        let effects = update(&mut model, Message::Head(Err(lost())));
        match effects.as_slice() {
            [Effect::Watch(_, pause)] => pauses.push(*pause),
            other => panic!("{other:?}"),
        }
        assert_eq!(model.notice.is_some(), turn == 0, "told once");
        press(&mut model, Key::Down);
    }
    assert!(pauses.windows(2).all(|two| two[0] <= two[1]), "{pauses:?}");
    assert!(pauses[0] < 1000 && *pauses.last().unwrap() == 30_000);
    assert_eq!(model.timeline.entries.len(), 20, "what is shown stays");
    let effects = update(&mut model, Message::Head(Ok(20)));
    assert!(effects.contains(&Effect::Watch(20, 0)));
    assert!(
        effects.iter().any(|one| matches!(one, Effect::Page(..))),
        "it is read anew"
    );
    assert_eq!(model.connection.lost, 0);
}

#[test]
fn a_rollback_at_work_is_not_suspended() {
    let mut model = showing(1, 20);
    assert_eq!(press(&mut model, Key::Ctrl('z')), [Effect::Suspend]);
    press(&mut model, Key::Char('R'));
    model.rollback.as_mut().unwrap().stage = Stage::begun();
    assert_eq!(press(&mut model, Key::Ctrl('z')), []);
}

#[test]
fn what_is_confirmed_is_typed_and_not_pasted() {
    let mut model = showing(1, 20);
    press(&mut model, Key::Char('R'));
    model.rollback.as_mut().unwrap().stage = Stage::Confirm {
        typed: String::new(),
        top: 0,
    };
    assert_eq!(update(&mut model, Message::Pasted("20".to_owned())), []);
    assert!(matches!(
        &model.rollback.as_ref().unwrap().stage,
        Stage::Confirm { typed, .. } if typed.is_empty()
    ));
}

#[test]
fn a_search_goes_on_piece_by_piece_until_it_is_cancelled() {
    use ebbtide::tui::model::Place;
    let mut model = showing(1, 20);
    model.head = Some(1_000_000);
    model.timeline.newer_from = None;
    press(&mut model, Key::Char('/'));
    let mut effects = Vec::new();
    for character in "acid".chars() {
        effects = press(&mut model, Key::Char(character));
    }
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (request, page) = match effects.iter().find(|one| matches!(one, Effect::Page(..))) {
            Some(Effect::Page(request, page)) => (*request, page.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(page.filter.search.as_deref(), Some("acid"));
        asked.push((page.from, page.until));
        let none = Page {
            entries: Vec::new(),
            more: false,
        };
        effects = update(&mut model, Message::Page(request, Ok(none)));
    }
    assert_eq!(
        asked,
        [
            (None, Some(980_001)),
            (Some(980_001), Some(960_001)),
            (Some(960_001), Some(940_001))
        ]
    );
    assert!(matches!(model.timeline.wanted, Some((_, Place::Beside(_)))));
    press(&mut model, Key::Enter);
    let cancelled = press(&mut model, Key::Ctrl('c'));
    assert!(cancelled.contains(&Effect::Cancel(Slot::Page)));
    assert!(cancelled.contains(&Effect::Cancel(Slot::Matches)));
    assert!(model.timeline.wanted.is_none());
}

#[test]
fn what_came_between_the_first_page_and_the_head_is_read_too() {
    use ebbtide::eventsourcing::history::History;
    use ebbtide::tui::message::Overview;
    for is_page_first in [true, false] {
        let (mut model, effects) = model();
        let overview = effects.iter().find_map(|effect| match effect {
            Effect::Overview(request) => Some(*request),
            _ => None,
        });
        let head = Overview {
            head: 21,
            events: 21,
            history: History::default(),
        };
        let page = Page {
            entries: (1..=20).rev().map(entry).collect(),
            more: false,
        };
        let mut answers = [
            Message::Page(page_request(&effects), Ok(page)),
            Message::Overview(overview.unwrap(), Ok(head)),
        ];
        if !is_page_first {
            answers.reverse();
        }
        let asked: Vec<Effect> = answers
            .into_iter()
            .flat_map(|answer| update(&mut model, answer))
            .collect();
        let newer = asked.iter().any(|effect| {
            matches!(effect, Effect::Page(_, page)
                if page.from == Some(20) && page.direction == Direction::Newer)
        });
        assert!(newer, "page first: {is_page_first}: {asked:?}");
    }
}

fn burst_request(effects: &[Effect]) -> RequestId {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Burst(request, ..) => Some(*request),
        _ => None,
    });
    found.expect("a burst was asked for")
}

#[test]
fn a_key_that_is_pressed_on_the_way_somewhere_is_meant_for_what_is_there() {
    let mut model = showing(1, 60);
    model.head = Some(60);
    let effects = press(&mut model, Key::Char('['));
    let request = burst_request(&effects);
    assert_eq!(press(&mut model, Key::Char('R')), [], "it waits");
    assert!(model.rollback.is_none());
    let found = Message::Burst(request, Direction::Older, Ok(Some(20)));
    update(&mut model, found);
    assert_eq!(model.timeline.selected().unwrap().event.id, 20);
    let asked = model.rollback.as_ref().map(|rollback| rollback.asked);
    let before_it = Asked::To {
        event: 20,
        keep: false,
    };
    assert_eq!(asked, Some(before_it));
}

#[test]
fn the_way_back_ends_the_way_there_and_forgets_what_was_typed_on_it() {
    let mut model = showing(1, 60);
    model.head = Some(60);
    let effects = press(&mut model, Key::Char('['));
    let request = burst_request(&effects);
    press(&mut model, Key::Char('R'));
    let cancelled = press(&mut model, Key::Esc);
    assert!(cancelled.contains(&Effect::Cancel(Slot::Locate)));
    update(
        &mut model,
        Message::Burst(request, Direction::Older, Ok(Some(20))),
    );
    assert_eq!(model.timeline.selected().unwrap().event.id, 60);
    assert!(model.rollback.is_none());
}

#[test]
fn what_is_typed_before_the_first_events_are_there_moves_among_them() {
    let (mut model, effects) = model();
    assert_eq!(press(&mut model, Key::Down), []);
    assert_eq!(press(&mut model, Key::Down), []);
    let page = Page {
        entries: (1..=9).rev().map(entry).collect(),
        more: false,
    };
    update(&mut model, Message::Page(page_request(&effects), Ok(page)));
    assert_eq!(model.timeline.selected().unwrap().event.id, 7);
}

#[test]
fn whoever_has_ever_written_is_offered_for_the_filter() {
    let mut model = showing(1, 5);
    let asked = press(&mut model, Key::Char('/'));
    let request = asked.iter().find_map(|effect| match effect {
        Effect::Activity(request, ActivityBy::Actor) => Some(*request),
        _ => None,
    });
    let counts = [("lab/ada", 3), ("lab/nmr400", 90)].map(|(name, count)| (name.to_owned(), count));
    let counted = Message::Activity(request.unwrap(), ActivityBy::Actor, Ok(counts.to_vec()));
    update(&mut model, counted);
    "actor:nmr"
        .chars()
        .for_each(|letter| drop(press(&mut model, Key::Char(letter))));
    assert_eq!(ebbtide::tui::pages::suggestions(&model), ["lab/nmr400 "]);
    press(&mut model, Key::Tab);
    assert_eq!(model.timeline.filter.actor.as_deref(), Some("lab/nmr400"));
}
