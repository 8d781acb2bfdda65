//! What appending returns: the events as they are logged, to the letter.

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use ebbtide::eventsourcing::{Event, EventId, EventKind, NewEvent};
use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use serde_json::{Map, Value, json};

use super::{schema, with_types};
use crate::support::{Database, create, delete, event, id, on_each, random, update};

/// A number in any of JSON's notations.
fn number(random: &mut TestRng) -> Value {
    let digits = |random: &mut TestRng, most: usize| -> String {
        let count = random.random_range(1..=most);
        (0..count)
            .map(|_| char::from(b'0' + random.random_range(0..10_u8)))
            .collect()
    };
    let mut text = String::new();
    if random.random_bool(0.3) {
        text.push('-');
    }
    match random.random_range(0..3) {
        0 => text.push('0'),
        _ => {
            text.push(char::from(b'1' + random.random_range(0..9_u8)));
            if random.random_bool(0.5) {
                text.push_str(&digits(random, 25));
            }
        }
    }
    if random.random_bool(0.5) {
        text.push('.');
        match random.random_bool(0.3) {
            true => text.push_str("000"),
            false => text.push_str(&digits(random, 9)),
        }
    }
    if random.random_bool(0.5) {
        text.push_str(["e", "E"][random.random_range(0..2)]);
        text.push_str(["", "+", "-"][random.random_range(0..3)]);
        text.push_str(&digits(random, 2));
    }
    serde_json::from_str(&text).expect("it was written as JSON")
}

/// Any JSON: nested, with keys in any order.
fn any(random: &mut TestRng, depth: u8) -> Value {
    match random.random_range(0..if depth < 3 { 8 } else { 5 }) {
        0 => Value::Null,
        1 => json!(random.random_bool(0.5)),
        2 => json!(
            ["", "a\"b\\c/\n\u{1}", "\u{fc}\u{1f9ea}", "\u{7f}\u{202e}x"]
                [random.random_range(0..4)]
        ),
        3 | 4 => number(random),
        5 => (0..random.random_range(0..4))
            .map(|_| any(random, depth + 1))
            .collect(),
        _ => {
            let mut object = Map::new();
            for _ in 0..random.random_range(0..5) {
                let key = ["b", "a", "aa", "Z", "\u{fc}", "", "long name", "a\"b"];
                object.insert(
                    key[random.random_range(0..key.len())].to_owned(),
                    any(random, depth + 1),
                );
            }
            Value::Object(object)
        }
    }
}

/// As text, for maps are equal in any order.
fn text(event: &Event) -> String {
    format!("{event:?} {} {}", json!(event.data), json!(event.filled))
}

async fn logged(lab: &Database, after: EventId) -> Vec<Event> {
    let request = PageRequest {
        filter: Filter::default(),
        from: Some(after),
        until: None,
        direction: Direction::Newer,
        limit: 20_000,
        detail: Detail::Whole,
    };
    let mut page = lab.store.page(&request).await.unwrap();
    assert!(!page.more);
    page.entries.sort_by_key(|entry| entry.event.id);
    page.entries.into_iter().map(|entry| entry.event).collect()
}

async fn assert_returned(lab: &Database, events: Vec<NewEvent>) -> usize {
    let head = lab.store.head().await.unwrap();
    let returned = lab.append(events).await;
    let logged = logged(lab, head).await;
    assert_eq!(returned.len(), logged.len());
    for (returned, logged) in returned.iter().zip(&logged) {
        assert_eq!(text(returned), text(logged));
    }
    returned.len()
}

/// Tables of which all is known before an event is written, and one whose columns the database itself fills.
fn tables(backend: Backend) -> String {
    let text = "
        CREATE TABLE note (note_id {uuid} PRIMARY KEY NOT NULL, info {json}, text TEXT, mark TEXT DEFAULT 'x', share {number} DEFAULT 1.50);";
    schema(backend) + &with_types(text, backend)
}

on_each! {
    async fn what_is_returned_is_what_is_logged(backend) {
        let lab = Database::with(backend, &tables(backend)).await;
        let mut random = random(21);
        let mut next = 0_u128;
        for size in [1, 1, 1, 2, 3, 15, 16, 40, 200] {
            let mut events = Vec::new();
            let first = next;
            for _ in 0..size {
                next += 1;
                let mut data = Map::new();
                data.insert("info".to_owned(), json!({"any": any(&mut random, 0)}));
                if random.random_bool(0.5) {
                    data.insert("mark".to_owned(), json!("y"));
                }
                let uuid = random.random_bool(0.7).then(|| id(next));
                events.push(event(EventKind::Create, "note", uuid, Value::Object(data)));
            }
            assert_eq!(assert_returned(&lab, events).await, size);
            // Those that were given no uuid are no one's to name here.
            let named: Vec<u128> = {
                let log = lab.log().await;
                (first + 1..=next)
                    .filter(|n| log.iter().any(|event| event.row.as_ref().is_some_and(|key| key.uuid == id(*n))))
                    .collect()
            };
            let updates = named.iter().map(|n| update("note", id(*n), json!({"text": "t", "info": {"any": any(&mut random, 0)}})));
            let deletes = named.iter().map(|n| delete("note", id(*n)));
            assert_eq!(assert_returned(&lab, updates.chain(deletes).collect()).await, 2 * named.len());
        }
        lab.assert_no_drift().await;
    }

    async fn what_comes_along_is_returned_too(backend) {
        let lab = Database::with(backend, &tables(backend)).await;
        let sample = |n: u128| create("sample", id(n), json!({"name": format!("s{n}"), "mass": n % 5, "info": {"b": 1.50, "a": [n]}}));
        assert_eq!(assert_returned(&lab, (0..40).map(sample).collect()).await, 40);
        let spectra = (0..20).map(|n| create("spectrum", id(100 + n), json!({"sample_id": id(n % 10).to_string(), "title": "t"})));
        assert_eq!(assert_returned(&lab, spectra.collect()).await, 20);
        // Two spectra go with each of the ten, and come first.
        assert_eq!(assert_returned(&lab, vec![delete("sample", id(0))]).await, 3);
        assert_eq!(assert_returned(&lab, (1..40).map(|n| delete("sample", id(n))).collect()).await, 39 + 18);
        lab.assert_no_drift().await;
    }

    async fn more_than_are_sent_at_once_are_returned_in_order(backend) {
        let lab = Database::with(backend, &tables(backend)).await;
        let note = |n: u128| create("note", id(n), json!({"info": {"n": n, "half": 0.50}}));
        let count = if backend == Backend::Sqlite { 2_000 } else { 11_000 };
        assert_eq!(assert_returned(&lab, (0..count).map(note).collect()).await, 11_000.min(usize::try_from(count).unwrap()));
        let mut events = vec![
            create("sample", id(1), json!({"name": "a"})),
            create("spectrum", id(2), json!({"sample_id": id(1).to_string()})),
        ];
        events.extend((0..count / 2).map(|n| update("note", id(n), json!({"text": "1e2"}))));
        events.push(delete("sample", id(1)));
        events.extend((0..count / 2).map(|n| update("note", id(n), json!({"info": {"n": 1.0}}))));
        let sent = events.len();
        assert_eq!(assert_returned(&lab, events).await, sent + 1);
        lab.assert_no_drift().await;
    }
}
