//! A row with many events: whatever is in sight is there, though only some of them are held.

use ebbtide::eventsourcing::{EventId, RowKey, inspect};
use ebbtide::tui::effect::{Effect, RequestId};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::message::Message;
use ebbtide::tui::model::{Item, Model, RowScreen, Screen};
use ebbtide::tui::pages;
use ebbtide::tui::update::{start, update};
use proptest::prelude::Rng;
use serde_json::json;

use super::transitions::{SIZE, drawn};
use crate::contract::schema;
use crate::support::{Database, create, id, on_both, random, update as change};

/// Does what is asked about the row, and what follows from that, until nothing is asked any more.
async fn settle(lab: &Database, model: &mut Model, effects: Vec<Effect>) {
    let mut waiting = effects;
    while let Some(effect) = waiting.pop() {
        let answer = match effect {
            Effect::Row(request, key, at) => {
                let row = inspect::row(&*lab.store, &key, at).await;
                Message::Row(request, Box::new(row))
            }
            Effect::Life(request, key, before, limit) => {
                let life = inspect::row_history_before(&*lab.store, &key, before, limit).await;
                Message::Life(request, life)
            }
            _ => continue,
        };
        waiting.extend(update(model, answer));
    }
}

/// The ids of the events of which the first lines are in sight, and the one that is marked.
fn in_sight(shown: &str) -> (Vec<EventId>, Option<EventId>) {
    let id = |line: &str| {
        let text = line.trim_start_matches([' ', '▌']);
        let text = text.strip_prefix(['~', '+', '-'])?.strip_prefix(" #")?;
        text.split(' ').next()?.parse().ok()
    };
    let marked = shown.lines().find(|line| line.starts_with('▌'));
    (shown.lines().filter_map(id).collect(), marked.and_then(id))
}

on_both! {
    async fn what_is_in_sight_of_a_long_life_is_there(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let mut events = vec![create("sample", id(1), json!({"name": "a"}))];
        // Of one to three columns, and of other rows between them.
        for n in 0..2500 {
            events.push(match n % 5 {
                0 => change("sample", id(1), json!({"name": format!("n{n}")})),
                1 => create("sample", id(10 + n), json!({"name": format!("o{n}")})),
                _ => change("sample", id(1), json!({"mass": n % 900, "info": {"n": n}})),
            });
        }
        let log = lab.append(events).await;
        let key = RowKey { table: "sample".to_owned(), uuid: id(1) };
        let mut all: Vec<EventId> =
            log.iter().filter(|event| event.row.as_ref() == Some(&key)).map(|event| event.id).collect();
        all.reverse();
        let mut model = Model::new(lab.store.info().clone(), SIZE);
        start(&mut model);
        model.head = Some(log.last().unwrap().id);
        model.tables.list = Some(lab.store.tables().await.unwrap());
        model.screen = Screen::Row;
        model.row = Some(RowScreen::new(key, None));
        let effects = update(&mut model, Message::Key(Key::Char('r')));
        settle(&lab, &mut model, effects).await;
        let mut random = random(1);
        for step in 0..500 {
            // Events come meanwhile, of this row and others; the event under the cursor stays, and in its line.
            if random.next_u64().is_multiple_of(10) {
                let come = 1 + random.next_u64() % if step % 50 == 0 { 60 } else { 4 };
                let before = drawn(&model);
                let is_event = |model: &Model| {
                    let cursor = model.row.as_ref().unwrap().cursor;
                    matches!(pages::row_item(model, cursor), Some(Item::Event(_)))
                };
                let was_event = is_event(&model);
                let events = (0..come).map(|n| change("sample", id(1), json!({"info": {"come": [step, n]}})));
                let log = lab.append(events.collect()).await;
                all.splice(0..0, log.iter().rev().map(|event| event.id));
                model.head = log.last().map(|event| event.id);
                let effects = update(&mut model, Message::Key(Key::Char('r')));
                settle(&lab, &mut model, effects).await;
                let after = drawn(&model);
                let marked = |shown: &str| shown.lines().position(|line| line.starts_with('▌'));
                if was_event {
                    assert_eq!(in_sight(&before).1, in_sight(&after).1, "step {step}:\n{before}\n{after}");
                    assert!(marked(&before) == marked(&after) || model.row.as_ref().unwrap().life.len() < 2000, "step {step}:\n{before}\n{after}");
                }
            }
            // All is read anew, as for another position: the event stays under the cursor, however deep it is.
            if random.next_u64().is_multiple_of(25) {
                let before = in_sight(&drawn(&model)).1;
                let mut effects = Vec::new();
                let head = model.head.unwrap();
                model.timeline.locate_wanted = Some(RequestId(9000));
                effects.extend(update(&mut model, Message::Travelled(RequestId(9000), Default::default(), Ok(head))));
                settle(&lab, &mut model, effects).await;
                assert!(before.is_none() || in_sight(&drawn(&model)).1 == before, "step {step}");
                let effects = update(&mut model, Message::Key(Key::Char('T')));
                settle(&lab, &mut model, effects).await;
                assert!(before.is_none() || in_sight(&drawn(&model)).1 == before, "step {step}");
            }
            let key = match random.next_u64() % 14 {
                0 => Key::End,
                1 if step % 3 == 0 => Key::Home,
                2..5 => Key::Up,
                5..8 => Key::Down,
                8..12 => Key::PageUp,
                _ => Key::PageDown,
            };
            let effects = update(&mut model, Message::Key(key));
            settle(&lab, &mut model, effects).await;
            let shown = drawn(&model);
            let what = format!("step {step}, {key:?}:\n{shown}");
            assert!(!model.is_going() && !shown.lines().any(|line| line.trim() == "…"), "{what}");
            let (ids, marked) = in_sight(&shown);
            let first = ids.first().and_then(|first| all.iter().position(|one| one == first));
            if let Some(first) = first {
                assert_eq!(ids, all[first..first + ids.len()], "{what}");
            }
            let row = model.row.as_ref().unwrap();
            if let Some(Item::Event(at)) = pages::row_item(&model, row.cursor) {
                assert!(marked.is_none_or(|marked| marked == all[at]), "{what}");
                assert!(row.life.get(at).is_some(), "{what}");
            }
            if key == Key::End {
                assert_eq!(ids.last(), all.last(), "{what}");
            }
        }
    }
}
