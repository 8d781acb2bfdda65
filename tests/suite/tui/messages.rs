//! Every message that answers a request: taken when it is wanted, told when it is a failure, and dropped when nobody waits for it any more.

use ebbtide::eventsourcing::activity::ActivityBy;
use ebbtide::eventsourcing::history::{History, Standing};
use ebbtide::eventsourcing::inspect::{Inspection, RowInspection};
use ebbtide::eventsourcing::rollback::{
    self, RollbackOutcome, RollbackPlan, RollbackRequest, RollbackTarget, Strategy,
};
use ebbtide::eventsourcing::schema::Table;
use ebbtide::eventsourcing::store::{Backend, Writer};
use ebbtide::eventsourcing::strip::Strip;
use ebbtide::eventsourcing::timeline::{Direction, Page};
use ebbtide::eventsourcing::verify::Report;
use ebbtide::eventsourcing::{Error, ErrorCode, Result, Row, RowKey};
use ebbtide::tui::effect::{Effect, RequestId};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::layout::Size;
use ebbtide::tui::message::{GridPage, Message, Mouse, Overview, RowCount};
use ebbtide::tui::model::{
    Asked, Cell, Grid, GridRow, Leaving, Matches, Model, NamedBy, Notice, Place, Rollback, RowFor,
    RowScreen, Screen, ShownRows, Stage, Verification, WholeRow,
};
use ebbtide::tui::update::update;
use serde_json::json;

use super::transitions::{entry, model};
use crate::support::{Database, id, moment, row, run};

const WANTED: RequestId = RequestId(700);
const LATE: RequestId = RequestId(600);

/// A message that answers a request.
struct Answer {
    /// Makes a model wait for it.
    ask: fn(&mut Model),
    /// It, when all went well.
    fine: fn(RequestId) -> Message,
    /// It, when that failed; `None` for one that only tells how far it is.
    failed: Option<fn(RequestId, Error) -> Message>,
    /// Whether a model has taken it.
    taken: fn(&Model) -> bool,
}

fn sample() -> RowKey {
    RowKey {
        table: "sample".to_owned(),
        uuid: id(1),
    }
}

fn failed_with<T>(error: Error) -> Result<T> {
    Err(error)
}

fn with_grid(model: &mut Model) -> &mut Grid {
    model.screen = Screen::Tables;
    model
        .tables
        .grid
        .insert(Grid::new(Table::gone("sample"), None))
}

fn with_row(model: &mut Model) -> &mut RowScreen {
    model.screen = Screen::Row;
    model.row.insert(RowScreen::new(sample(), None))
}

/// A rollback in its preview: that of the Mad Lab to before its last event.
fn with_rollback(model: &mut Model) -> &mut Rollback {
    model.screen = Screen::Rollback;
    let asked = Asked::To {
        event: 18,
        keep: false,
    };
    model.rollback.insert(Rollback {
        stage: Stage::Preview,
        plan: Some(plan()),
        ..Rollback::new(asked, None)
    })
}

fn plan() -> RollbackPlan {
    static PLAN: std::sync::OnceLock<RollbackPlan> = std::sync::OnceLock::new();
    let made = || {
        let thread = std::thread::spawn(|| {
            run(async {
                let lab = Database::mad_lab(Backend::Sqlite).await;
                let request = RollbackRequest::to(RollbackTarget::BeforeEvent(18));
                rollback::plan(&*lab.store, request).await.unwrap()
            })
        });
        thread.join().unwrap()
    };
    PLAN.get_or_init(made).clone()
}

fn outcome() -> RollbackOutcome {
    RollbackOutcome {
        rollback: Some(19),
        rollback_end: Some(21),
        events_appended: 3,
        keeps_through: 17,
        strategy: Strategy::Minimal,
    }
}

fn inspection() -> Inspection {
    Inspection {
        event: entry(3).event,
        standing: Standing::Effective,
        transaction: (3, 3),
        before: None,
        after: None,
        columns: Vec::new(),
    }
}

fn running(model: &mut Model) {
    let rollback = with_rollback(model);
    rollback.wanted = Some(WANTED);
    rollback.stage = Stage::begun();
}

/// What answers a message; `None` for one that answers none. A new message does not compile before it stands here.
fn answer(message: &Message) -> Option<Answer> {
    Some(match message {
        // These come by themselves; the tests below and those of the transitions have them.
        Message::Key(_)
        | Message::Pasted(_)
        | Message::Mouse(_)
        | Message::Resized(_)
        | Message::Terminate
        | Message::Head(_)
        | Message::Copied(_)
        | Message::Progress(..)
        | Message::Waiting(_) => return None,
        Message::Overview(..) => Answer {
            ask: |model| model.overview_wanted = Some(WANTED),
            fine: |request| {
                let overview = Overview {
                    head: 40,
                    events: 40,
                    history: History::default(),
                };
                Message::Overview(request, Ok(overview))
            },
            failed: Some(|request, error| Message::Overview(request, failed_with(error))),
            taken: |model| model.head == Some(40) && model.events == Some(40),
        },
        Message::Page(..) => Answer {
            ask: |model| {
                model.timeline.wanted = Some((WANTED, Place::Instead(Direction::Older)));
            },
            fine: |request| {
                let page = Page {
                    entries: vec![entry(3)],
                    more: false,
                };
                Message::Page(request, Ok(page))
            },
            failed: Some(|request, error| Message::Page(request, failed_with(error))),
            taken: |model| {
                model
                    .timeline
                    .selected()
                    .is_some_and(|one| one.event.id == 3)
            },
        },
        Message::Matches(..) => Answer {
            ask: |model| {
                model.timeline.matches = Some(Matches {
                    request: WANTED,
                    count: 0,
                    is_all: false,
                });
            },
            fine: |request| Message::Matches(request, Ok((7, true))),
            failed: Some(|request, error| Message::Matches(request, failed_with(error))),
            taken: |model| {
                model
                    .timeline
                    .matches
                    .is_some_and(|one| one.count == 7 && one.is_all)
            },
        },
        Message::Strip(..) => Answer {
            ask: |model| model.timeline.strip_wanted = Some(WANTED),
            fine: |request| {
                let strip = Strip {
                    first: moment("2020-01-01"),
                    last: moment("2020-01-02"),
                    through: vec![3, 9],
                };
                Message::Strip(request, Ok(Some(strip)))
            },
            failed: Some(|request, error| Message::Strip(request, failed_with(error))),
            taken: |model| {
                model
                    .timeline
                    .strip
                    .as_ref()
                    .is_some_and(|one| one.through == [3, 9])
            },
        },
        Message::Located(..) => Answer {
            ask: |model| model.timeline.locate_wanted = Some(WANTED),
            fine: |request| Message::Located(request, moment("2020-01-01"), Ok(1)),
            failed: Some(|request, error| {
                Message::Located(request, moment("2020-01-01"), failed_with(error))
            }),
            taken: |model| matches!(model.timeline.wanted, Some((_, Place::Around(2)))),
        },
        Message::Burst(..) => Answer {
            ask: |model| model.timeline.locate_wanted = Some(WANTED),
            fine: |request| Message::Burst(request, Direction::Older, Ok(Some(2))),
            failed: Some(|request, error| {
                Message::Burst(request, Direction::Older, failed_with(error))
            }),
            taken: |model| matches!(model.timeline.wanted, Some((_, Place::Around(2)))),
        },
        Message::Travelled(..) => Answer {
            ask: |model| model.timeline.locate_wanted = Some(WANTED),
            fine: |request| Message::Travelled(request, moment("2020-01-01"), Ok(5)),
            failed: Some(|request, error| {
                Message::Travelled(request, moment("2020-01-01"), failed_with(error))
            }),
            taken: |model| model.at() == Some(5) && model.screen == Screen::Tables,
        },
        Message::Inspected(..) => Answer {
            ask: |model| model.timeline.detail_wanted = Some((WANTED, 3)),
            fine: |request| Message::Inspected(request, Box::new(Ok(Some(inspection())))),
            failed: Some(|request, error| {
                Message::Inspected(request, Box::new(failed_with(error)))
            }),
            taken: |model| {
                model
                    .timeline
                    .detail
                    .as_ref()
                    .is_some_and(|one| one.event.id == 3)
            },
        },
        Message::Tables(..) => Answer {
            ask: |model| model.tables.wanted = Some(WANTED),
            fine: |request| Message::Tables(request, Ok(vec![Table::gone("sample")])),
            failed: Some(|request, error| Message::Tables(request, failed_with(error))),
            taken: |model| model.tables.table("sample").is_some(),
        },
        Message::Counting(..) => Answer {
            ask: |model| model.tables.counts_wanted = Some(WANTED),
            fine: |request| Message::Counting(request, Ok(18)),
            // The counts still come.
            failed: None,
            taken: |model| model.tables.counted_at == Some(18),
        },
        Message::Counted(..) => Answer {
            ask: |model| model.tables.counts_wanted = Some(WANTED),
            fine: |request| {
                Message::Counted(request, "sample".to_owned(), Ok(RowCount::Counted(12)))
            },
            failed: None,
            taken: |model| model.tables.counts.get("sample") == Some(&12),
        },
        Message::Rows(..) => Answer {
            ask: |model| with_grid(model).wanted = Some((WANTED, 0)),
            fine: |request| {
                let found = GridRow {
                    row: row(json!({"name": "one"})),
                    left_out: Default::default(),
                    since: None,
                };
                let page = GridPage {
                    rows: vec![found],
                    total: None,
                    next: None,
                };
                Message::Rows(request, Ok(page))
            },
            failed: Some(|request, error| Message::Rows(request, failed_with(error))),
            taken: |model| {
                model
                    .tables
                    .grid
                    .as_ref()
                    .is_some_and(|grid| grid.rows == Some(1))
            },
        },
        Message::WholeRow(..) => Answer {
            ask: |model| {
                let purpose = RowFor::Showing("name".to_owned());
                with_grid(model).whole_wanted = Some((WANTED, purpose));
            },
            fine: |request| {
                let whole = WholeRow {
                    row: row(json!({"name": "all of it"})),
                    now: None,
                    names: Default::default(),
                };
                Message::WholeRow(request, Ok(Some(whole)))
            },
            failed: Some(|request, error| Message::WholeRow(request, failed_with(error))),
            taken: |model| {
                let shown = |cell: &Cell| cell.value == "all of it";
                model.cell.as_ref().is_some_and(shown)
            },
        },
        Message::Row(..) => Answer {
            ask: |model| with_row(model).wanted = Some(WANTED),
            fine: |request| {
                let found = RowInspection {
                    table: Table::gone("sample"),
                    row: Some(Row::new()),
                    now: None,
                    names: Default::default(),
                };
                Message::Row(request, Box::new(Ok(found)))
            },
            failed: Some(|request, error| Message::Row(request, Box::new(failed_with(error)))),
            taken: |model| {
                model
                    .row
                    .as_ref()
                    .is_some_and(|row| row.inspection.is_some())
            },
        },
        Message::NamedBy(..) => Answer {
            ask: |model| with_row(model).named_by_wanted = Some(WANTED),
            fine: |request| {
                let counted = NamedBy {
                    rows: 3,
                    has_more: false,
                };
                Message::NamedBy(
                    request,
                    ("spectrum".to_owned(), "sample_id".to_owned()),
                    Ok(Some(counted)),
                )
            },
            // The other counts still come.
            failed: None,
            taken: |model| {
                model
                    .row
                    .as_ref()
                    .is_some_and(|row| row.named_by.len() == 1)
            },
        },
        Message::Life(..) => Answer {
            ask: |model| with_row(model).life_wanted = Some(WANTED),
            fine: |request| Message::Life(request, Ok(Vec::new())),
            failed: Some(|request, error| Message::Life(request, failed_with(error))),
            taken: |model| {
                model
                    .row
                    .as_ref()
                    .is_some_and(|row| row.life_from.is_none())
            },
        },
        Message::Planned(..) => Answer {
            ask: |model| {
                let rollback = with_rollback(model);
                (rollback.wanted, rollback.plan) = (Some(WANTED), None);
                rollback.stage = Stage::Planning;
            },
            fine: |request| Message::Planned(request, Box::new(Ok(plan()))),
            failed: Some(|request, error| Message::Planned(request, Box::new(failed_with(error)))),
            taken: |model| {
                let shown = |one: &Rollback| matches!(one.stage, Stage::Preview);
                model.rollback.as_ref().is_some_and(shown)
            },
        },
        Message::Authors(..) => Answer {
            ask: |model| with_rollback(model).planned = Some(WANTED),
            fine: |request| Message::Authors(request, Ok(vec![("ada".to_owned(), 3)])),
            failed: Some(|request, error| Message::Authors(request, failed_with(error))),
            taken: |model| {
                let plan = model.rollback.as_ref().and_then(|one| one.plan.as_ref());
                plan.is_some_and(|plan| plan.authors.is_some())
            },
        },
        Message::ReplayCounted(..) => Answer {
            ask: |model| with_rollback(model).planned = Some(WANTED),
            fine: |request| Message::ReplayCounted(request, Ok(99)),
            failed: Some(|request, error| Message::ReplayCounted(request, failed_with(error))),
            taken: |model| {
                let plan = model.rollback.as_ref().and_then(|one| one.plan.as_ref());
                plan.is_some_and(|plan| plan.appends_replay == Some(99))
            },
        },
        Message::Changes(..) => Answer {
            ask: |model| with_rollback(model).rows.wanted = Some(WANTED),
            fine: |request| {
                let rows: Result<Vec<_>> = plan().changes.lots(0..1, usize::MAX).collect();
                Message::Changes(request, 0, rows.map(|lots| lots.concat()))
            },
            failed: Some(|request, error| Message::Changes(request, 0, failed_with(error))),
            taken: |model| {
                model
                    .rollback
                    .as_ref()
                    .is_some_and(|one| one.rows.at(0).is_some())
            },
        },
        Message::Shown(..) => Answer {
            ask: |model| {
                let rollback = with_rollback(model);
                rollback.shown_wanted = Some(WANTED);
                "nothing has it".clone_into(&mut rollback.filter);
            },
            fine: |request| Message::Shown(request, Ok(ShownRows::default())),
            failed: Some(|request, error| Message::Shown(request, failed_with(error))),
            taken: |model| {
                model
                    .rollback
                    .as_ref()
                    .is_some_and(|one| one.shown.is_some())
            },
        },
        Message::Executed(..) => Answer {
            ask: running,
            fine: |request| Message::Executed(request, Ok(outcome())),
            failed: Some(|request, error| Message::Executed(request, failed_with(error))),
            taken: |model| {
                let done = |one: &Rollback| matches!(&one.stage, Stage::Result(done) if *done == outcome());
                model.rollback.as_ref().is_some_and(done)
            },
        },
        Message::Verifying(..) => Answer {
            ask: verifying,
            fine: |request| Message::Verifying(request, 55),
            failed: None,
            taken: |model| {
                matches!(
                    model.audit.verification,
                    Verification::Running { done: 55, .. }
                )
            },
        },
        Message::Verified(..) => Answer {
            ask: verifying,
            fine: |request| Message::Verified(request, Ok((18, Report::default()))),
            failed: Some(|request, error| Message::Verified(request, failed_with(error))),
            taken: |model| {
                matches!(
                    model.audit.verification,
                    Verification::Done { head: 18, .. }
                )
            },
        },
        Message::Activity(..) => Answer {
            ask: |model| model.audit.activity_wanted = Some(WANTED),
            fine: |request| {
                Message::Activity(
                    request,
                    ActivityBy::Day,
                    Ok(vec![("2020-02-17".to_owned(), 18)]),
                )
            },
            failed: Some(|request, error| {
                Message::Activity(request, ActivityBy::Day, failed_with(error))
            }),
            taken: |model| model.audit.activity.len() == 1,
        },
        Message::Exported(..) => Answer {
            ask: |model| model.audit.export_wanted = Some(WANTED),
            fine: |request| Message::Exported(request, Ok((18, "lab.jsonl".to_owned()))),
            failed: Some(|request, error| Message::Exported(request, failed_with(error))),
            taken: |model| matches!(&model.notice, Some(Notice::Info(text)) if text == "Written to lab.jsonl: 18 events, one a line."),
        },
    })
}

fn verifying(model: &mut Model) {
    model.audit.verification = Verification::Running {
        request: WANTED,
        done: 0,
        total: 0,
    };
}

/// One of each that answers a request.
fn answers() -> Vec<Answer> {
    let one = || RequestId(0);
    let messages = [
        Message::Overview(one(), Err(broken())),
        Message::Page(one(), Err(broken())),
        Message::Matches(one(), Err(broken())),
        Message::Strip(one(), Err(broken())),
        Message::Located(one(), moment("2020-01-01"), Err(broken())),
        Message::Burst(one(), Direction::Older, Err(broken())),
        Message::Travelled(one(), moment("2020-01-01"), Err(broken())),
        Message::Inspected(one(), Box::new(Err(broken()))),
        Message::Tables(one(), Err(broken())),
        Message::Counting(one(), Err(broken())),
        Message::Counted(one(), String::new(), Err(broken())),
        Message::Rows(one(), Err(broken())),
        Message::WholeRow(one(), Err(broken())),
        Message::Row(one(), Box::new(Err(broken()))),
        Message::NamedBy(one(), Default::default(), Err(broken())),
        Message::Life(one(), Err(broken())),
        Message::Planned(one(), Box::new(Err(broken()))),
        Message::ReplayCounted(one(), Err(broken())),
        Message::Authors(one(), Err(broken())),
        Message::Changes(one(), 0, Err(broken())),
        Message::Shown(one(), Err(broken())),
        Message::Executed(one(), Err(broken())),
        Message::Verifying(one(), 0),
        Message::Verified(one(), Err(broken())),
        Message::Activity(one(), ActivityBy::Day, Err(broken())),
        Message::Exported(one(), Err(broken())),
    ];
    messages.iter().filter_map(answer).collect()
}

fn broken() -> Error {
    Error::new(ErrorCode::Database, "the disk is on fire").hint("put it out")
}

#[test]
fn what_is_wanted_is_taken() {
    for answer in answers() {
        let (mut model, _) = model();
        (answer.ask)(&mut model);
        assert!(!(answer.taken)(&model));
        let message = (answer.fine)(WANTED);
        let what = format!("{message:?}");
        update(&mut model, message);
        assert!((answer.taken)(&model), "{what}");
        assert_eq!(model.failure, None, "{what}");
    }
}

#[test]
fn what_nobody_waits_for_any_more_changes_nothing() {
    for answer in answers() {
        let (mut model, _) = model();
        (answer.ask)(&mut model);
        let before = format!("{model:?}");
        let mut late = vec![(answer.fine)(LATE)];
        late.extend(answer.failed.map(|failed| failed(LATE, broken())));
        for message in late {
            let what = format!("{message:?}");
            let effects = update(&mut model, message);
            assert_eq!(effects, [], "{what}");
            assert_eq!(format!("{model:?}"), before, "{what}");
        }
    }
}

#[test]
fn what_fails_is_told_and_not_waited_for() {
    for answer in answers() {
        let Some(failed) = answer.failed else {
            continue;
        };
        let (mut model, _) = model();
        (answer.ask)(&mut model);
        let message = failed(WANTED, broken());
        let what = format!("{message:?}");
        update(&mut model, message);
        assert!(!(answer.taken)(&model), "{what}");
        assert_eq!(model.failure, Some(broken()), "{what}: it can be looked at");
        // That a rollback failed stands over its plan until it is tried again.
        let stands = model
            .rollback
            .as_ref()
            .is_some_and(|one| one.failed.is_some());
        let told = model.notice == Some(Notice::Failure(broken()));
        assert!(told || stands, "{what}: {:?}", model.notice);
        // Which request a plan answers is no wait.
        let waits = format!("{model:?}").replace("planned: Some(RequestId(700))", "");
        assert!(
            !waits.contains("RequestId(700)"),
            "{what} is not waited for"
        );
    }
}

#[test]
fn a_rollback_says_how_far_it_is_and_whom_it_waits_for() {
    let (mut model, _) = model();
    running(&mut model);
    update(&mut model, Message::Progress(3, 9, 1500));
    let waited_for = Writer {
        role: "ada".to_owned(),
        program: None,
        process: Some(7),
        since: None,
    };
    update(&mut model, Message::Waiting(Some(waited_for.clone())));
    let Some(Stage::Running {
        done,
        total,
        elapsed,
        writer,
        ..
    }) = model.rollback.as_ref().map(|one| &one.stage)
    else {
        panic!("it is at work");
    };
    assert_eq!((*done, *total, *elapsed), (3, 9, 1500));
    assert_eq!(writer.as_ref(), Some(&waited_for));
}

#[test]
fn what_was_copied_and_what_was_not_is_told() {
    let (mut model, _) = model();
    update(
        &mut model,
        Message::Copied(Ok("Copied 3 characters".to_owned())),
    );
    assert_eq!(
        model.notice,
        Some(Notice::Info("Copied 3 characters".to_owned()))
    );
    update(&mut model, Message::Copied(Err(broken())));
    assert_eq!(model.notice, Some(Notice::Failure(broken())));
}

#[test]
fn pasted_text_goes_where_text_is_typed_and_nowhere_else() {
    let (mut model, _) = model();
    let before = format!("{model:?}");
    update(&mut model, Message::Pasted("qR15\n".to_owned()));
    assert_eq!(format!("{model:?}"), before);
    update(&mut model, Message::Key(Key::Char('/')));
    update(&mut model, Message::Pasted("type:sample".to_owned()));
    assert_eq!(model.timeline.filter.table.as_deref(), Some("sample"));
}

#[test]
fn the_mouse_moves_the_cursor_and_opens_and_begins_no_rollback() {
    let (mut model, effects) = model();
    let page = Page {
        entries: (1..=9).rev().map(entry).collect(),
        more: false,
    };
    let wanted = effects.iter().find_map(|effect| match effect {
        Effect::Page(request, _) => Some(*request),
        _ => None,
    });
    update(&mut model, Message::Page(wanted.unwrap(), Ok(page)));
    update(&mut model, Message::Mouse(Mouse::Turned(3)));
    assert_eq!(model.timeline.cursor, 3);
    let press = |line| Message::Mouse(Mouse::Pressed { column: 5, line });
    // Two lines of the header and one of the strip stand above the list.
    update(&mut model, press(3 + 5));
    assert_eq!((model.timeline.cursor, model.timeline.opened), (5, None));
    update(&mut model, press(3 + 5));
    assert_eq!(model.timeline.opened, Some(0));
    for line in 0..24 {
        for column in (0..80).step_by(3) {
            update(&mut model, Message::Mouse(Mouse::Pressed { column, line }));
            assert!(model.rollback.is_none());
        }
    }
}

#[test]
fn another_size_is_taken_and_ending_ends() {
    let (mut model, _) = model();
    let size = Size {
        columns: 61,
        rows: 17,
    };
    update(&mut model, Message::Resized(size));
    assert_eq!(model.size, size);
    update(&mut model, Message::Terminate);
    assert_eq!(model.leaving, Leaving::Now);
}
