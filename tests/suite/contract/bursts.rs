//! Where bursts begin, against what follows from the moments.

use ebbtide::eventsourcing::bursts::{self, PAUSE};
use ebbtide::eventsourcing::timeline::{Direction, Filter};
use serde_json::json;

use crate::support::{Database, create, id, moment, on_each};

on_each! {
    async fn bursts_begin_after_long_pauses_and_at_the_first_event(backend) {
        let lab = Database::lab(backend).await;
        // Numbers without order, the same in every run.
        let mut state = 7_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        // More than are looked at first: a burst may be far.
        let (mut now, mut moments) = (moment("2020-01-01"), Vec::new());
        for n in 0..1300_u128 {
            let is_late = below(1000) < [2, 150][usize::from(n > 900)];
            let seconds = |number: u64| chrono::TimeDelta::seconds(i64::try_from(number).unwrap());
            now += match is_late {
                true => PAUSE + seconds(below(9000)),
                false => PAUSE - seconds(1 + below(1799)),
            };
            let table = ["fragment", "lab"][usize::from(below(5) == 0)];
            moments.push((n, table, now));
        }
        let events = moments.iter().map(|(n, table, moment)| {
            let data = match *table {
                "lab" => json!({"name": format!("L{n}"), "short_name": format!("L{n}")}),
                _ => json!({"smiles": format!("F{n}")}),
            };
            let mut event = create(table, id(*n + 1), data);
            event.timestamp = Some(*moment);
            event
        });
        let stored = lab.append(events.collect()).await;
        for filter in [Filter::default(), Filter::parse("type:lab").unwrap()] {
            let shown: Vec<_> = stored.iter().filter(|event| {
                let table = event.row.as_ref().map(|key| key.table.as_str());
                filter.table.is_none() || filter.table.as_deref() == table
            }).collect();
            let begins: Vec<i64> = shown.iter().enumerate().filter(|(at, event)| {
                *at == 0 || event.timestamp - shown[at - 1].timestamp >= PAUSE
            }).map(|(_, event)| event.id).collect();
            assert!(begins.len() > 20, "{}", begins.len());
            for event in shown.iter().step_by(17).chain(shown.last()) {
                let before = begins.iter().rev().find(|first| **first < event.id).copied();
                let after = begins.iter().find(|first| **first > event.id).copied();
                for (direction, wanted) in [(Direction::Older, before), (Direction::Newer, after)] {
                    let found = bursts::nearest(&*lab.store, &filter, event.id, direction).await.unwrap();
                    assert_eq!(found, wanted, "{direction:?} from #{}", event.id);
                }
            }
        }
    }
}
