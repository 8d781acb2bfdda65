//! What lies open while the log goes on, or when a read has failed, says that it is not what is there now.

use ebbtide::eventsourcing::activity::ActivityBy;
use ebbtide::eventsourcing::timeline::{Filter, Page};
use ebbtide::eventsourcing::verify::{Finding, FindingKind, Report};
use ebbtide::eventsourcing::{Error, ErrorCode, RowKey};
use ebbtide::tui::effect::{Effect, RequestId};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::layout::Size;
use ebbtide::tui::message::{Message, Mouse, Overview};
use ebbtide::tui::model::{Lead, Model, Screen};
use ebbtide::tui::pages;
use ebbtide::tui::update::update as send;
use serde_json::{Value, json};

use super::player::{LOOK, play};
use super::transitions::{SIZE, drawn, entry, press, showing};
use crate::contract::schema;
use crate::support::{Database, create, delete, id, on_both, update};

on_both! {
    async fn an_open_value_says_that_it_has_changed_since(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a", "info": {"steps": [1, 2], "note": "first"}}))]).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #1"]).await;
            // From the row's page, and from the table.
            for place in ["row", "table"] {
                match place {
                    "row" => {
                        player.press(Key::Char('h'));
                        player.see(&["[3 Row]", "+ #1 create"]).await;
                        player.press(Key::Home);
                        player.see(&["▌sample_id"]).await;
                        (0..4).for_each(|_| player.press(Key::Down));
                        player.see(&["▌info"]).await;
                    }
                    _ => {
                        player.press(Key::Char('2'));
                        player.see(&["▌ booking"]).await;
                        player.press(Key::Down);
                        player.press(Key::Enter);
                        player.see(&["sample · 2 rows"]).await;
                        player.press(Key::Right);
                        player.press(Key::Right);
                        player.see(&[": info "]).await;
                    }
                }
                player.press(Key::Enter);
                player.see(&["sample.info of 10000000", "\"steps\": ["]).await;
                player.press(Key::Char('/'));
                player.type_text("steps");
                player.press(Key::Enter);
                player.see(&["▌-   \"steps\""]).await;
                // What is folded stays so.
                player.press(Key::Enter);
                player.see(&["▌+   \"steps\": [ 2 values"]).await;
                // Another row's event does not concern it, nor one of another column.
                let other = if place == "row" { id(2) } else { id(3) };
                lab.append(vec![create("sample", other, json!({"name": other.to_string()}))]).await;
                let events = lab.append(vec![update("sample", id(1), json!({"name": place}))]).await;
                let head = events[0].id;
                player.see(&[&format!("LIVE #{head}"), &format!("{head} events")]).await;
                player.see_no("changed since").await;
                lab.append(vec![update("sample", id(1), json!({"info": {"note": place}}))]).await;
                player.see(&["changed since · r: anew", "\"note\": \"first\"", "▌+   \"steps\""]).await;
                player.press(Key::Char('r'));
                player.see(&[&format!("\"note\": \"{place}\"")]).await;
                player.see_no("changed since").await;
                lab.append(vec![update("sample", id(1), json!({"info": {"note": "first"}}))]).await;
                player.see(&["changed since"]).await;
                // As it was before, nothing has become of it.
                lab.append(vec![update("sample", id(1), json!({"info": {"note": place}}))]).await;
                player.see_no("changed since").await;
                lab.append(vec![update("sample", id(1), json!({"info": {"note": "first"}}))]).await;
                player.press(Key::Esc);
                player.press(Key::Char('1'));
                player.see(&["[1 Timeline]"]).await;
                player.go_to(1).await;
            }
            player.press(Key::Char('2'));
            player.see(&["sample"]).await;
            player.press(Key::Left);
            player.see(&[": name "]).await;
            player.press(Key::Enter);
            player.see(&["sample.name of 10000000"]).await;
            lab.append(vec![delete("sample", id(1))]).await;
            player.see(&["its row is gone", "sample.name of 10000000"]).await;
            player.press(Key::Char('r'));
            player.see(&["its row is gone"]).await;
            // Not the one that has come under the cursor.
            player.press(Key::Esc);
            player.see(&["sample · 2 rows"]).await;
            player.press(Key::Char('1'));
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn the_marks_of_a_past_follow_the_log(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let made = [1, 2].map(|n| create("sample", id(n << 96), json!({"name": format!("n{n}")})));
        lab.append(made.into()).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["#2 ", "LIVE #2"]).await;
            player.press(Key::Char('t'));
            player.see(&["PAST #2 of #2", "booking"]).await;
            player.press(Key::Down);
            player.press(Key::Enter);
            player.see(&["▌  10000001", "   10000002"]).await;
            player.press(Key::Down);
            player.see(&["▌  10000002", ": sample_id"]).await;
            lab.append(vec![update("sample", id(1 << 96), json!({"name": "other"}))]).await;
            player.see(&[" ~ 10000001", "▌  10000002", "PAST #2 of #3"]).await;
            // A value that lies open says what became of its row.
            player.press(Key::Right);
            player.press(Key::Enter);
            player.see(&["sample.name of 10000002"]).await;
            lab.append(vec![delete("sample", id(2 << 96))]).await;
            player.see(&["differs from now: the row is not there any more"]).await;
            player.press(Key::Esc);
            player.see(&["▌- 10000002"]).await;
            // Also those that came while one was elsewhere.
            player.press(Key::Char('1'));
            player.see(&["[1 Timeline]"]).await;
            lab.append(vec![create("sample", id(2 << 96), json!({"name": "n2"}))]).await;
            player.see(&["PAST #2 of #5"]).await;
            player.press(Key::Char('2'));
            player.see(&["▌~ 10000002"]).await;
            lab.append(vec![delete("sample", id(2 << 96))]).await;
            player.see(&["▌- 10000002"]).await;
            player.press(Key::Char('T'));
            player.see(&["LIVE #6", "▌  10000001"]).await;
            player.see_no("10000002").await;
            player.press(Key::Char('T'));
            player.see(&["Tables and rows are shown as they are now."]).await;
            player.press(Key::Char('1'));
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn the_help_leads_back_to_the_change_that_lay_open(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #18"]).await;
            player.press(Key::Tab);
            player.press(Key::Char('v'));
            player.see(&["- remove molecule", "     → ∅"]).await;
            for key in ['?', ':'] {
                player.press(Key::Char(key));
                let shown = player.see_no("     → ∅").await;
                assert!(shown.contains("5 Audit  Preview"), "{shown}");
                player.press(Key::Esc);
                player.see(&["- remove molecule", "     → ∅", "Esc back"]).await;
            }
            player.press(Key::Char('?'));
            player.type_text("boundary");
            player.see(&["Elsewhere"]).await;
            // A jump leaves all that lay open.
            player.press(Key::Esc);
            player.go_to(3).await;
            player.see(&["[1 Timeline]", "▌ #3"]).await;
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn a_row_without_a_key_is_not_taken_for_another(backend) {
        let table = "CREATE TABLE plain (name TEXT, place INTEGER, PRIMARY KEY (name, place));";
        let lab = Database::with(backend, &(schema(backend) + table)).await;
        for name in ["a", "b", "c"] {
            lab.sql(&format!("INSERT INTO plain VALUES ('{name}', 1)")).await.unwrap();
        }
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["No events yet"]).await;
            player.press(Key::Char('2'));
            player.see(&["▌ booking", "plain"]).await;
            player.press(Key::Down);
            player.press(Key::Enter);
            player.see(&["▌  a", "   b"]).await;
            player.press(Key::Down);
            player.see(&["▌  b"]).await;
            lab.sql("DELETE FROM plain WHERE name = 'a'").await.unwrap();
            player.press(Key::Enter);
            player.see(&["This row is not there any more: r reads the table again."]).await;
            player.press(Key::Char('r'));
            player.see_no("   a").await;
            player.press(Key::Char('g'));
            player.see(&["▌  b"]).await;
            player.press(Key::Enter);
            player.see(&["plain.name · 1 character"]).await;
            // No event concerns it.
            lab.append(vec![create("sample", id(1), json!({"name": "s"}))]).await;
            player.see(&["LIVE #1", "plain.name"]).await;
            player.see_no("changed since").await;
            player.press(Key::Char('1'));
            player.press(Key::Char('q'));
        })
        .await;
    }

    async fn an_open_change_of_a_plan_says_that_the_log_has_gone_on(backend) {
        let lab = Database::mad_lab(backend).await;
        play(lab.store.clone(), (80, 24), LOOK, async |mut player| {
            player.see(&["▌ #18"]).await;
            player.go_to(15).await;
            player.see(&["#15 create experiment"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #15"]).await;
            player.press(Key::Tab);
            player.press(Key::Tab);
            player.see(&["▌- remove xy_data"]).await;
            player.press(Key::Char('v'));
            player.see(&["- remove xy_data", "→ ∅"]).await;
            lab.append(vec![create("molecule", id(1), json!({"smiles": "XYZ"}))]).await;
            player.see(&["The log has gone on to #19 since this plan", "- remove xy_data", "→ ∅"]).await;
            // It is made anew, and the row that one read stays marked.
            player.press(Key::Char('r'));
            player.see(&["\"XYZ\" → ∅", "▌- remove xy_data"]).await;
            player.see_no("gone on").await;
            // A filter keeps the mark where it shows the row, and leads back to it.
            player.press(Key::Char('/'));
            player.type_text("xy_data");
            player.press(Key::Enter);
            player.see(&["1 of 5 rows with \"xy_data\"", "▌- remove xy_data"]).await;
            player.press(Key::Esc);
            player.see_no("rows with").await;
            player.see(&["▌- remove xy_data"]).await;
            // Also on a small screen.
            player.resize(60, 16);
            player.see_lines(16).await;
            player.see(&["▌- remove xy_data"]).await;
            player.press(Key::Esc);
            player.press(Key::Char('q'));
        })
        .await;
    }
}

#[test]
fn events_of_another_filter_than_the_one_that_is_shown_say_so() {
    let mut model = showing(1, 30);
    press(&mut model, Key::Char('/'));
    let effects: Vec<Effect> = "acid"
        .chars()
        .flat_map(|letter| press(&mut model, Key::Char(letter)))
        .collect();
    press(&mut model, Key::Enter);
    let mut pages = effects.iter().filter_map(|effect| match effect {
        Effect::Page(request, _) => Some(*request),
        _ => None,
    });
    let request = pages.next_back().expect("they are read");
    assert!(!drawn(&model).contains("not read"));
    let failed = || Error::new(ErrorCode::Database, "it cannot be read");
    send(&mut model, Message::Page(request, Err(failed())));
    let shown = drawn(&model);
    assert!(
        shown.contains("not read: r tries again") && shown.contains(" these are others"),
        "{shown}"
    );
    // Nothing of the filter is read on to what is not of it; and what is asked for again is.
    let moved: Vec<Effect> = [Key::Down, Key::End, Key::PageDown]
        .into_iter()
        .flat_map(|key| press(&mut model, key))
        .collect();
    assert!(
        !moved
            .iter()
            .any(|effect| matches!(effect, Effect::Page(..)))
    );
    let effects = press(&mut model, Key::Char('r'));
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Page(request, asked) => Some((*request, asked.filter.clone())),
        _ => None,
    });
    let (request, filter) = asked.expect("they are read again");
    assert_eq!(filter.search.as_deref(), Some("acid"));
    send(&mut model, Message::Page(request, Ok(Default::default())));
    let screen = drawn(&model);
    assert!(
        !screen.contains("not read") && screen.contains("No event matches"),
        "{screen}"
    );
}

fn finding(n: u128, text: &str) -> Finding {
    Finding {
        row: RowKey {
            table: "sample".to_owned(),
            uuid: id(n),
        },
        kind: FindingKind::ChangedRow,
        event: None,
        column: Some("name".to_owned()),
        found: Value::from(text),
        expected: Value::Null,
    }
}

/// The audit, with findings of several lines each.
fn audited() -> Model {
    let mut model = showing(1, 30);
    press(&mut model, Key::Char('5'));
    assert_eq!(model.screen, Screen::Audit);
    let effects = press(&mut model, Key::Char('v'));
    let request = effects.iter().find_map(|effect| match effect {
        Effect::Verify(request) => Some(*request),
        _ => None,
    });
    let long = "a long text ".repeat(12);
    let report = Report {
        findings: (1..=8).map(|n| finding(n, &long)).collect(),
        ..Report::default()
    };
    let verified = Message::Verified(request.expect("it is looked"), Ok((30, report)));
    send(&mut model, verified);
    model
}

fn chosen(model: &Model) -> Option<Lead> {
    let lines = pages::audit(model, model.size.page_width());
    lines[model.audit.cursor].1.clone()
}

#[test]
fn the_audits_cursor_stays_on_its_finding() {
    let mut model = audited();
    for _ in 0..5 {
        press(&mut model, Key::Down);
    }
    let of = |n| {
        Some(Lead::Row(RowKey {
            table: "sample".to_owned(),
            uuid: id(n),
        }))
    };
    assert_eq!(chosen(&model), of(5));
    for (columns, rows) in [(200, 60), (60, 16), (120, 40), (80, 24)] {
        send(&mut model, Message::Resized(Size { columns, rows }));
        assert_eq!(chosen(&model), of(5), "{columns}×{rows}");
        let shown = drawn(&model);
        assert!(shown.contains("▌  sample 10000000 name"), "{shown}");
    }
    // Compared again, and meanwhile without findings.
    let effects = press(&mut model, Key::Char('v'));
    let request = effects.iter().find_map(|effect| match effect {
        Effect::Verify(request) => Some(*request),
        _ => None,
    });
    let report = Report {
        findings: [3, 5, 7].map(|n| finding(n, "short")).into(),
        ..Report::default()
    };
    let verified = Message::Verified(request.expect("it is looked"), Ok((30, report)));
    send(&mut model, verified);
    assert_eq!(chosen(&model), of(5));
}

/// The page that is asked for, and by which filter.
fn page_asked(effects: &[Effect]) -> (RequestId, Filter) {
    let found = effects.iter().rev().find_map(|effect| match effect {
        Effect::Page(request, asked) => Some((*request, asked.filter.clone())),
        _ => None,
    });
    found.expect("a page is asked for")
}

#[test]
fn a_filter_stays_where_it_shows_the_event_that_is_gone_to() {
    for is_shown in [true, false] {
        let mut model = showing(101, 130);
        press(&mut model, Key::Char('/'));
        let letters = "type:sample".chars();
        let effects: Vec<Effect> = letters
            .flat_map(|letter| press(&mut model, Key::Char(letter)))
            .collect();
        press(&mut model, Key::Enter);
        let page = |ids: &[i64]| Page {
            entries: ids.iter().map(|id| entry(*id)).collect(),
            more: true,
        };
        let (request, filter) = page_asked(&effects);
        send(&mut model, Message::Page(request, Ok(page(&[130, 129]))));
        for key in [Key::Char(':'), Key::Char('5'), Key::Enter] {
            let effects = press(&mut model, key);
            if key != Key::Enter {
                continue;
            }
            let (request, asked) = page_asked(&effects);
            assert_eq!(
                asked, filter,
                "it is looked for among what the filter shows"
            );
            let found = if is_shown {
                page(&[5, 9])
            } else {
                page(&[9, 12])
            };
            let effects = send(&mut model, Message::Page(request, Ok(found)));
            match is_shown {
                true => {
                    assert_eq!(model.timeline.selected().map(|one| one.event.id), Some(5));
                    assert_eq!(
                        (&model.timeline.filter, model.notice.is_none()),
                        (&filter, true)
                    );
                }
                false => {
                    let (request, asked) = page_asked(&effects);
                    assert!(
                        asked.is_empty()
                            && drawn(&model).contains("#5 is not among what the filter showed")
                    );
                    send(&mut model, Message::Page(request, Ok(page(&[5, 6]))));
                    assert_eq!(model.timeline.selected().map(|one| one.event.id), Some(5));
                }
            }
        }
    }
}

#[test]
fn who_made_each_event_stands_in_a_narrow_list_where_that_is_asked() {
    let mut model = showing(1, 30);
    for entry in &mut model.timeline.entries {
        entry.event.actor = "anna".to_owned();
    }
    let named = |model: &Model| drawn(model).matches("10000000 anna").count();
    assert_eq!(named(&model), 0);
    press(&mut model, Key::Char('a'));
    assert!(named(&model) >= 10, "{}", drawn(&model));
    press(&mut model, Key::Char('a'));
    assert_eq!(named(&model), 0);
    let (columns, rows) = (120, 40);
    send(&mut model, Message::Resized(Size { columns, rows }));
    press(&mut model, Key::Char('a'));
    assert!(drawn(&model).contains("there is room for it"));
}

#[test]
fn an_id_that_is_searched_for_as_text_is_offered_as_one() {
    let mut model = showing(1, 30);
    let request = model.overview_wanted.expect("the log is looked at");
    let overview = Overview {
        head: 30,
        events: 30,
        history: Default::default(),
    };
    send(&mut model, Message::Overview(request, Ok(overview)));
    for (text, is_offered) in [("#17", true), ("17", true), ("31", false), ("0", false)] {
        press(&mut model, Key::Char('/'));
        press(&mut model, Key::Ctrl('u'));
        let letters = text
            .chars()
            .flat_map(|letter| press(&mut model, Key::Char(letter)));
        let effects: Vec<Effect> = letters.collect();
        press(&mut model, Key::Enter);
        let counted = effects.iter().rev().find_map(|effect| match effect {
            Effect::Matches(request, ..) => Some(*request),
            _ => None,
        });
        send(
            &mut model,
            Message::Matches(counted.expect("they are counted"), Ok((0, true))),
        );
        let shown = drawn(&model);
        assert_eq!(shown.contains(": goes to #17"), is_offered, "{shown}");
    }
}

#[test]
fn the_audits_numbers_say_to_which_event_they_go() {
    let mut model = audited();
    let counted = |model: &mut Model| {
        for by in [ActivityBy::Actor, ActivityBy::Table, ActivityBy::Day] {
            let request = model.audit.activity_wanted.expect("they are counted");
            let counts = vec![("tester".to_owned(), 30)];
            send(model, Message::Activity(request, by, Ok(counts)));
        }
    };
    let grows = |model: &mut Model, head| {
        send(model, Message::Head(Ok(head)));
        let request = model.overview_wanted.expect("the log is looked at");
        let overview = Overview {
            head,
            events: 31,
            history: Default::default(),
        };
        send(model, Message::Overview(request, Ok(overview)));
    };
    let said = |model: &Model| {
        let lines = pages::audit(model, 78).into_iter();
        let mut headings = lines.filter(|(line, _)| line.text.starts_with("Events by actor"));
        headings.next().map(|(line, _)| line.text)
    };
    counted(&mut model);
    grows(&mut model, 30);
    press(&mut model, Key::Char('r'));
    counted(&mut model);
    assert_eq!(said(&model).as_deref(), Some("Events by actor"));
    grows(&mut model, 31);
    assert_eq!(
        said(&model).as_deref(),
        Some("Events by actor, to #30 (r counts anew)")
    );
    // And comparing goes on when it is asked for once more.
    let effects = press(&mut model, Key::Char('v'));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Verify(_)))
    );
    assert_eq!(press(&mut model, Key::Char('v')), []);
    assert!(drawn(&model).contains("being compared already"));
}

#[test]
fn the_mouse_chooses_what_a_line_is_about_and_opens_it() {
    let mut model = audited();
    let shown = drawn(&model);
    let lines: Vec<&str> = shown.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.contains("sample 10000000"));
    let second = first.expect("a finding is shown") + 1;
    // The second line of the first finding is about it too.
    let at = |line: usize| {
        Message::Mouse(Mouse::Pressed {
            column: 10,
            line: u16::try_from(line).unwrap(),
        })
    };
    assert!(!lines[second].contains("sample"), "{shown}");
    send(&mut model, at(second));
    let Some(Lead::Row(key)) = chosen(&model) else {
        panic!("a finding is chosen");
    };
    assert_eq!(key.uuid, id(1));
    send(&mut model, at(second));
    assert_eq!(model.screen, Screen::Row);
    assert_eq!(model.row.as_ref().map(|row| row.key.uuid), Some(id(1)));
    // Nor is what lies under the footer.
    let mut model = audited();
    let before = model.audit.cursor;
    send(&mut model, at(23));
    assert_eq!((model.audit.cursor, model.audit.top), (before, 0));
    // A heading is about nothing.
    let mut model = audited();
    let before = model.audit.cursor;
    send(&mut model, at(2));
    assert_eq!(
        (model.audit.cursor, model.screen, model.size),
        (before, Screen::Audit, SIZE)
    );
}
