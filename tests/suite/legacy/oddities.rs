//! Taking over what is out of the ordinary: strange logs, strange columns, rights that are lacking, and a person to ask.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::{ErrorCode, EventKind, verify};
use ebbtide::store::{self, Address, TakeOver};
use serde_json::{Value, json};

use super::{Maker, Old, assert_same, at, of_each};
use crate::cli::{command, ebb};
use crate::support::{create, delete, id, moment, options, run, update};
use crate::tui::pty::Session;

/// Columns that an event does not explain by itself.
const NOTE: &str = r#"
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE note (
        note_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        created_on timestamp, updated_on timestamp,
        label varchar(3), count int, x float8[], mood mood DEFAULT 'good', moods mood[] DEFAULT '{bad}',
        random uuid DEFAULT gen_random_uuid(), opened timestamptz DEFAULT clock_timestamp()
    )"#;

of_each! {
    async fn a_log_whose_timestamps_run_against_its_ids_goes_back_to_each_state(maker) {
        let mut old = Old::mad_lab(maker).await;
        for (n, time) in ["03:20:00", "03:15:00", "03:15:00", "03:25:00", "03:05:00"].iter().enumerate() {
            let fragment = create("fragment", id(n as u128), json!({"smiles": format!("F{n}")}));
            old.tell(&at(&format!("2020-02-17T{time}"), fragment)).await;
        }
        let (mut old, _) = old.taken_over(true).await;
        old.lab.append(vec![create("fragment", id(9), json!({"smiles": "ours"}))]).await;
        let rows = old.lab.rows().await;
        // #24 is of 03:05, before anything happened; #20 to #23 are later than it, and one of them than #21.
        for (target, kept) in [
            (RollbackTarget::Before(moment("2020-02-17T03:15:00")), 19),
            (RollbackTarget::Before(moment("2020-02-17T03:20:00")), 19),
            (RollbackTarget::Before(moment("2020-02-17T03:24:00")), 22),
            (RollbackTarget::BeforeEvent(25), 24),
        ] {
            for strategy in [Strategy::Minimal, Strategy::Replay] {
                let outcome = old.lab.roll_back(target, strategy).await.unwrap();
                assert_eq!(outcome.keeps_through, kept, "{target:?}");
                assert_same(&old.now().await, &old.state(kept).clone(), &format!("{target:?}"));
                old.lab.assert_no_drift().await;
                old.lab.undo(false).await.unwrap();
                assert_eq!(old.lab.rows().await, rows);
            }
        }
    }

    async fn older_words_for_markers_stay_and_mean_nothing(maker) {
        let mut old = Old::mad_lab(maker).await;
        let start = old.insert_row("rollback-start", (None, None), json!({"after": "1979-12-12"}), None).await.unwrap();
        let molecule = (Some("molecule"), Some("e3dde6c2-ab0c-4c77-9d55-e52d58a1425d".parse().unwrap()));
        let gone = old.insert_row("delete", molecule, Value::Null, None).await.unwrap();
        let end = old.insert_row("rollback-end", (None, None), json!({"after": "1979-12-12"}), None).await.unwrap();
        old.note(end).await;
        let timeline = old.log().await;
        let (mut old, _) = old.taken_over(true).await;
        assert_eq!(old.log().await, timeline);
        let kinds: Vec<_> = timeline.iter().rev().take(3).map(|event| (event.id, event.kind)).collect();
        assert_eq!(kinds, [(end, EventKind::RollbackEnd), (gone, EventKind::Delete), (start, EventKind::Rollback)]);
        old.lab.append(vec![create("fragment", id(9), json!({"smiles": "ours"}))]).await;
        for target in [end, start] {
            old.lab.roll_back(RollbackTarget::BeforeEvent(target), Strategy::Replay).await.unwrap();
            old.lab.assert_no_drift().await;
            old.lab.undo(false).await.unwrap();
        }
        old.lab.roll_back(RollbackTarget::AfterEvent(end), Strategy::Minimal).await.unwrap();
        assert_same(&old.now().await, &old.state(end).clone(), "after theirs");
    }

    async fn an_empty_log_is_taken_over(maker) {
        let old = Old::empty(maker, NOTE).await;
        let (mut old, recorded) = old.taken_over(true).await;
        assert_eq!((recorded, old.lab.store.head().await.unwrap()), (0, 0));
        old.insert(&create("note", id(1), json!({"label": "a"}))).await.unwrap();
        old.lab.append(vec![create("note", id(2), json!({"mood": "bad"}))]).await;
        let log = old.log().await;
        assert_eq!(log.iter().map(|event| event.id).collect::<Vec<_>>(), [1, 2]);
        old.lab.assert_no_drift().await;
        let rows = old.lab.rows().await;
        old.lab.roll_back(RollbackTarget::BeforeEvent(1), Strategy::Minimal).await.unwrap();
        assert!(old.lab.rows().await.iter().all(|(table, _)| table != "note"));
        old.lab.undo(false).await.unwrap();
        assert_eq!(old.lab.rows().await, rows);
    }

    async fn values_that_no_event_tells_are_recorded(maker) {
        let mut old = Old::empty(maker, NOTE).await;
        old.tell(&create("note", id(1), json!({"label": "a"}))).await;
        old.tell(&create("note", id(2), json!({"mood": "bad", "moods": ["good", "bad"], "random": id(2), "opened": "2020-01-01T00:00:00+00:00"}))).await;
        old.tell(&create("note", id(3), json!({}))).await;
        old.tell(&delete("note", id(3))).await;
        let columns: Vec<_> = verify::drift(&*old.lab.store).await.unwrap().findings.into_iter()
            .map(|finding| (finding.row.uuid, finding.column.unwrap())).collect();
        assert_eq!(columns, [(id(1), "random".to_owned()), (id(1), "opened".to_owned())], "the defaults that are volatile");
        let rows = old.lab.rows().await;
        let (old, recorded) = old.taken_over(true).await;
        assert_eq!(recorded, 1);
        assert_eq!(old.lab.rows().await, rows);
        old.lab.assert_no_drift().await;
        // From there on they come back as they were.
        old.lab.append(vec![update("note", id(1), json!({"mood": "bad"})), delete("note", id(1)), delete("note", id(2))]).await;
        old.lab.roll_back(RollbackTarget::AfterEvent(5), Strategy::Replay).await.unwrap();
        assert_eq!(old.lab.rows().await, rows);
        old.lab.assert_no_drift().await;
    }

    async fn what_their_software_made_of_values_is_drift_until_it_is_recorded(maker) {
        let mut old = Old::empty(maker, NOTE).await;
        let event = old.tell(&create("note", id(1), json!({"label": "abc", "count": 3, "random": id(7), "opened": "2020-01-01T00:00:00+00:00"}))).await;
        // The values that came in: one too long, which was cut; one with a fraction, which was rounded; an empty array, which
        // became NULL. The tables' own types would refuse the first two today.
        old.lab.sql(&format!(
            r#"SET session_replication_role = replica;
               UPDATE sourcing.eventstore SET data = data || '{{"label": "abcdef", "count": 2.7, "x": []}}' WHERE id = {event}"#
        )).await.unwrap();
        let found: Vec<_> = verify::drift(&*old.lab.store).await.unwrap().findings.into_iter()
            .map(|finding| (finding.column.unwrap(), finding.expected, finding.found)).collect();
        let expected = [
            ("label".to_owned(), json!("abcdef"), json!("abc")),
            ("count".to_owned(), json!(2.7), json!(3)),
            ("x".to_owned(), json!([]), json!(null)),
        ];
        assert_eq!(found, expected);
        let place = old.lab.argument();
        let listed = ebb(&["-d", &place, "verify", "--drift"]).ends_with(4).stdout();
        assert!(["label", "count", "x"].iter().all(|column| listed.contains(column)), "{listed}");
        let rows = old.lab.rows().await;
        ebb(&["-d", &place, "init", "--yes", "--record-differences"]).ends_with(0);
        ebb(&["-d", &place, "verify"]).ends_with(0);
        old.lab.store = store::open(&old.lab.address, &options()).await.unwrap();
        assert_eq!(old.lab.rows().await, rows, "the tables stay");
        let log = old.log().await;
        assert_eq!(log.len(), 2);
        let told = Value::Object(log[1].data.clone());
        assert_eq!((&told["label"], &told["count"], &told["x"]), (&json!("abc"), &json!(3), &json!(null)));
        old.lab.append(vec![delete("note", id(1))]).await;
        old.lab.roll_back(RollbackTarget::AfterEvent(2), Strategy::Minimal).await.unwrap();
        assert_eq!(old.lab.rows().await, rows);
        old.lab.assert_no_drift().await;
    }

    async fn without_the_rights_it_says_so_and_nothing_changes(maker) {
        let old = Old::mad_lab(maker).await;
        let place = old.role("
            GRANT USAGE ON SCHEMA public, sourcing TO {role};
            GRANT ALL ON ALL TABLES IN SCHEMA public, sourcing TO {role};
            GRANT ALL ON ALL SEQUENCES IN SCHEMA sourcing TO {role};
        ").await;
        let before = old.whole().await;
        let consent = TakeOver { head: old.lab.store.head().await.unwrap(), record_differences: true };
        let address: Address = place.parse().unwrap();
        let error = store::take_over(&address, &options(), None, &consent).await.map(drop).expect_err("no rights");
        assert_eq!(error.code, ErrorCode::NotAllowed, "{}", error.message);
        assert!(error.message.contains("role_of_") && error.message.contains("may not take over"), "{}", error.message);
        assert!(error.hint.is_some_and(|hint| hint.contains("superuser")));
        let said = ebb(&["-d", &place, "init", "--yes"]).ends_with(1).stderr();
        assert!(said.contains("may not take over"), "{said}");
        assert_eq!(old.whole().await, before);
    }
}

/// The answers that a person can give at the terminal to the two questions, and what comes of them.
#[test]
fn a_person_at_the_terminal_is_asked_twice() {
    let made = || {
        run(async {
            let old = Old::mad_lab(Maker::Mdb).await;
            old.lab
                .sql("UPDATE molecule SET smiles = 'edited' WHERE smiles = 'ABC'")
                .await
                .unwrap();
            old
        })
    };
    let old = made();
    let asked = |old: &Old| Session::of(command().args(["-d", &old.lab.argument(), "init"]));

    let before = run(old.whole());
    for answer in ["n\r", "\r", "yess\r"] {
        let mut session = asked(&old);
        session.see("1 row is not what the log says");
        session.see("Take over");
        session.press(answer);
        session.see("not confirmed, so nothing was written");
        assert_eq!(session.end(), 3);
        assert_eq!(run(old.whole()), before);
    }

    for (answer, code, events) in [("n\r", 4, 18), ("YES\r", 0, 19)] {
        let old = made();
        let mut session = asked(&old);
        session.see("Take over");
        session.press("y\r");
        session.see("Record the differences as events");
        session.press(answer);
        session.see(&format!("{events} events"));
        assert_eq!(session.end(), 0);
        ebb(&["-d", &old.lab.argument(), "verify"]).ends_with(code);
    }
}
