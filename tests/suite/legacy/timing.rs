//! Timestamps that run against the ids, many events of one time, and ids that are not there.

use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::{EventId, inspect};
use serde_json::json;

use super::{Old, assert_same, at, of_each};
use crate::cli::ebb;
use crate::support::{create, id, moment};

of_each! {
    async fn a_position_is_the_longest_run_of_earlier_events(maker) {
        let mut old = Old::mad_lab(maker).await;
        // Two clients at work at once: the one that began first is committed last, and the other's clock is slow.
        for (n, time) in ["03:20:00", "03:15:00", "03:15:00", "03:25:00", "03:05:00"].iter().enumerate() {
            let fragment = create("fragment", id(n as u128), json!({"smiles": format!("F{n}")}));
            old.tell(&at(&format!("2020-02-17T{time}"), fragment)).await;
        }
        let store = &*old.lab.store;
        let log = old.log().await;
        let run = |is_past: &dyn Fn(&ebbtide::eventsourcing::Event) -> bool| -> EventId {
            log.iter().take_while(|event| !is_past(event)).last().map_or(0, |event| event.id)
        };
        let apart = chrono::Duration::microseconds(1);
        for event in &log {
            for moment in [event.timestamp - apart, event.timestamp, event.timestamp + apart] {
                assert_eq!(store.position_before(moment).await.unwrap(), run(&|event| event.timestamp >= moment), "before {moment}");
                assert_eq!(store.position_through(moment).await.unwrap(), run(&|event| event.timestamp > moment), "through {moment}");
            }
        }
        // #24 is of 03:05, before anything happened: nothing can be kept before it.
        assert_eq!(store.position_before(moment("2020-02-17T03:05:00")).await.unwrap(), 0);
        assert_eq!(store.position_before(moment("2020-02-17T03:15:00")).await.unwrap(), 19);
        // A plan follows, and its marker names a moment that means the same.
        for target in [RollbackTarget::BeforeEvent(22), RollbackTarget::Before(moment("2020-02-17T03:15:00")), RollbackTarget::AfterEvent(21)] {
            let request = RollbackRequest::to(target);
            let plan = rollback::plan(store, request).await.unwrap();
            assert_eq!(plan.keeps_through, 19, "{target:?}");
            assert_eq!(store.position_before(plan.before.unwrap()).await.unwrap(), 19, "{target:?}");
            assert_eq!(plan.changes.len(), 5, "{target:?}");
        }
        // The tables are what the ids say, whatever the timestamps.
        for (id, state) in &old.states {
            assert_same(&old.then(*id).await, state, &format!("at #{id}"));
        }
        old.lab.assert_no_drift().await;
    }

    async fn a_transaction_is_the_run_of_one_time_around_an_event(maker) {
        let mut old = Old::mad_lab(maker).await;
        for (n, time) in ["03:20:00", "03:20:00", "03:15:00", "03:20:00"].iter().enumerate() {
            let fragment = create("fragment", id(n as u128), json!({"smiles": format!("F{n}")}));
            old.tell(&at(&format!("2020-02-17T{time}"), fragment)).await;
        }
        let runs = [(1, (1, 1)), (6, (6, 6)), (8, (7, 9)), (12, (12, 12)), (14, (14, 14)), (19, (19, 19)),
            (20, (20, 21)), (21, (20, 21)), (22, (22, 22)), (23, (23, 23))];
        for (id, expected) in runs {
            let found = inspect::event(&*old.lab.store, id).await.unwrap().unwrap();
            assert_eq!(found.transaction, expected, "#{id}");
        }
    }

    async fn an_event_that_is_not_there_is_none(maker) {
        let old = Old::mad_lab(maker).await;
        let place = old.lab.argument();
        for arguments in [&["show", "13"][..], &["rollback", "--before-event", "13", "--dry-run"]] {
            let arguments: Vec<&str> = ["-d", &place, "--json"].iter().chain(arguments).copied().collect();
            let error = ebb(&arguments).ends_with(1).error();
            assert_eq!(error["code"], "unknown-event");
        }
    }
}
