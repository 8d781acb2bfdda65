//! `ebb init` on a database of theirs: the log stays row for row and everything works, or nothing has changed.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::{ErrorCode, EventKind, verify};
use ebbtide::store::{self, TakeOver};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::{Maker, Old, State, assert_same, at, of_each};
use crate::cli::{ebb, ebb_with_input};
use crate::support::{create, delete, id, moment, options, update};

const MOLECULE: &str = "c053009a-9b1d-44a7-8267-f5befdb03eb0";
const BEFORE_15: &str = "2020-02-17T03:09:59.145749";

/// The rows of the log, column by column of theirs, as the server has them.
async fn their_rows(old: &Old, through: i64) -> Vec<String> {
    let mut client = PgConnection::connect(&old.lab.argument()).await.unwrap();
    let more = match old.maker {
        Maker::Mdb => "",
        Maker::Molar => ", user_id, alembic_version",
    };
    let zone = "CASE pg_typeof(\"timestamp\") WHEN 'timestamptz'::regtype THEN \"timestamp\"::text::timestamptz AT TIME ZONE 'UTC' ELSE \"timestamp\"::text::timestamp END";
    let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT ROW(id, event, type, data, {zone}, uuid{more})::text FROM sourcing.eventstore WHERE id <= $1 ORDER BY id"
    )))
    .bind(through)
    .fetch_all(&mut client)
    .await
    .unwrap();
    client.close().await.unwrap();
    rows
}

/// The story, an update of theirs that was lost, a rollback of theirs, and later work.
async fn worked_on(maker: Maker) -> Old {
    let mut old = Old::mad_lab(maker).await;
    let molecule = MOLECULE.parse().unwrap();
    old.tell(&update(
        "molecule",
        molecule,
        json!({"metadata": {"a": 1}, "colour": "red"}),
    ))
    .await;
    old.their_rollback(BEFORE_15).await;
    old.tell(&create("fragment", id(9), json!({"smiles": "D"})))
        .await;
    old.tell(&create("fragment", id(10), json!({"smiles": "E"})))
        .await;
    old.tell(&delete("fragment", id(10))).await;
    old
}

impl Old {
    /// Takes the database over, and goes on with it as ebb's own.
    pub(super) async fn taken_over(mut self, record_differences: bool) -> (Self, u64) {
        let head = self.lab.store.head().await.unwrap();
        self.lab.store.close().await;
        let consent = TakeOver {
            head,
            record_differences,
        };
        let made = store::take_over(&self.lab.address, &options(), None, &consent)
            .await
            .unwrap();
        self.lab.store = made.store;
        (self, made.differences_recorded)
    }
}

of_each! {
    async fn the_log_stays_row_for_row_and_everything_works(maker) {
        let old = worked_on(maker).await;
        let head = old.lab.store.head().await.unwrap();
        let before = their_rows(&old, head).await;
        let (timeline, rows) = (old.log().await, old.lab.rows().await);
        let (mut old, recorded) = old.taken_over(true).await;
        assert_eq!(recorded, 0, "the story's tables are what its log says");
        assert_eq!(their_rows(&old, head).await, before);
        assert_eq!(old.log().await, timeline, "and reads as before");
        assert_eq!(old.lab.rows().await, rows);
        assert_eq!(old.lab.store.info().read_only, None);
        old.lab.assert_no_drift().await;
        for (id, state) in old.states.clone() {
            assert_same(&old.then(id).await, &state, &format!("at #{id}"));
        }

        // Their client goes on, and so does ebb.
        old.insert(&create("fragment", id(11), json!({"smiles": "F"}))).await.unwrap();
        old.lab.append(vec![create("fragment", id(12), json!({"smiles": "G"}))]).await;
        let log = old.log().await;
        assert_eq!(log.last().unwrap().id, head + 2);
        assert!(log[log.len() - 2].timestamp > log[log.len() - 3].timestamp);
        assert_eq!(old.lab.store.event_count(head + 2).await.unwrap(), log.len() as u64);

        // Back to every state that there was, with their rollback in between, and forth again.
        let rows = old.lab.rows().await;
        for (id, state) in old.states.clone().into_iter().rev() {
            for strategy in [Strategy::Minimal, Strategy::Replay] {
                let target = RollbackTarget::AfterEvent(id);
                let kept = old.lab.roll_back(target, strategy).await.unwrap().keeps_through;
                assert_same(&old.now().await, old.state(kept), &format!("after #{id}, by {strategy}"));
                if kept == id {
                    assert_same(&old.now().await, &state, &format!("after #{id}, by {strategy}"));
                }
                old.lab.assert_no_drift().await;
                old.lab.undo(false).await.unwrap();
                assert_eq!(old.lab.rows().await, rows, "undone");
            }
        }
        old.lab.assert_no_drift().await;
    }

    async fn differences_are_recorded_and_agree_from_there_on(maker) {
        let mut old = worked_on(maker).await;
        // Behind the log's back, in each way that a row can differ.
        old.lab.sql(&format!(
            "UPDATE molecule SET smiles = 'edited', metadata = '{{\"x\": 1}}' WHERE molecule_id = '{MOLECULE}';
             UPDATE fragment SET created_on = created_on - interval '1 day' WHERE smiles = 'A';
             UPDATE lab SET metadata = '{{\"k\": [1]}}';
             INSERT INTO fragment (fragment_id, smiles, created_on, updated_on) VALUES ('{}', 'stray', now(), now());
             DELETE FROM fragment WHERE fragment_id = '{}'", id(50), id(9)
        )).await.unwrap();
        let found = verify::drift(&*old.lab.store).await.unwrap().findings;
        assert!(found.len() >= 5, "{found:?}");
        let (rows, head) = (old.lab.rows().await, old.lab.store.head().await.unwrap());
        let told = old.states.clone();
        let (taken, recorded) = old.taken_over(true).await;
        old = taken;
        assert_eq!(old.lab.rows().await, rows, "the tables stay");
        old.lab.assert_no_drift().await;
        let log = old.log().await;
        let events: Vec<_> = log.iter().filter(|event| event.id > head).collect();
        assert_eq!(events.len() as u64, recorded);
        assert_eq!(recorded, 6, "two updates, a delete and a create for the changed created_on, a create, a delete");
        assert!(events.iter().all(|event| event.actor == "postgres" && event.kind != EventKind::Restore));
        // Before them lies what the log said.
        let (last, state) = told.last().unwrap();
        assert_same(&old.then(*last).await, state, "before the differences");
        old.lab.roll_back(RollbackTarget::AfterEvent(head), Strategy::Minimal).await.unwrap();
        assert_same(&old.now().await, state, "taken back to before the differences");
        old.lab.undo(false).await.unwrap();
        assert_eq!(old.lab.rows().await, rows);
        old.lab.assert_no_drift().await;
    }

    async fn without_consent_to_record_them_differences_stay_and_are_listed(maker) {
        let old = worked_on(maker).await;
        old.lab.sql("UPDATE molecule SET smiles = 'edited'").await.unwrap();
        let before = verify::drift(&*old.lab.store).await.unwrap().findings;
        let (old, recorded) = old.taken_over(false).await;
        assert_eq!(recorded, 0);
        assert_eq!(verify::drift(&*old.lab.store).await.unwrap().findings, before);
    }

    async fn before_a_moment_keeps_the_longest_run_of_earlier_events(maker) {
        // The last event is of a time before most of the others.
        for (before, keeps) in [("03:15:00", 19), ("03:05:00", 0)] {
            for strategy in [Strategy::Minimal, Strategy::Replay] {
                let mut old = Old::mad_lab(maker).await;
                for (n, time) in ["03:20:00", "03:15:00", "03:25:00", "03:05:00"].iter().enumerate() {
                    let fragment = create("fragment", id(n as u128), json!({"smiles": format!("F{n}")}));
                    old.tell(&at(&format!("2020-02-17T{time}"), fragment)).await;
                }
                let (mut old, _) = old.taken_over(false).await;
                let target = RollbackTarget::Before(moment(&format!("2020-02-17T{before}")));
                let outcome = old.lab.roll_back(target, strategy).await.unwrap();
                assert_eq!(outcome.keeps_through, keeps, "before {before}, by {strategy}");
                let kept = if keeps == 0 { State::new() } else { old.state(keeps).clone() };
                assert_same(&old.now().await, &kept, &format!("before {before}, by {strategy}"));
                // What comes after every event is still none.
                let head = old.lab.store.head().await.unwrap();
                let target = RollbackTarget::Before(moment("2099-01-01"));
                assert_eq!(old.lab.roll_back(target, strategy).await.unwrap().rollback, None);
                old.lab.sql(r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2099-01-01"}')"#).await.unwrap();
                assert_eq!(old.lab.store.head().await.unwrap(), head);
            }
        }
    }

    async fn data_that_is_no_object_stands_in_no_rollbacks_way(maker) {
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            let mut old = Old::mad_lab(maker).await;
            let molecule = "e3dde6c2-ab0c-4c77-9d55-e52d58a1425d".parse().unwrap();
            let touch = old.tell(&update("molecule", molecule, json!({}))).await;
            old.lab.sql(&format!("UPDATE sourcing.eventstore SET data = '3' WHERE id = {touch}")).await.unwrap();
            let gone = old.insert_row("delete", (Some("molecule"), Some(molecule)), json!(null), None).await.unwrap();
            old.note(gone).await;
            let (mut old, _) = old.taken_over(false).await;
            old.lab.assert_no_drift().await;
            old.lab.append(vec![create("fragment", id(1), json!({"smiles": "late"}))]).await;
            for kept in [gone, touch] {
                old.lab.roll_back(RollbackTarget::AfterEvent(kept), strategy).await.unwrap();
                assert_same(&old.now().await, old.state(kept), &format!("after #{kept}, by {strategy}"));
                old.lab.assert_no_drift().await;
                old.lab.undo(false).await.unwrap();
                old.lab.assert_no_drift().await;
            }
        }
    }

    async fn a_log_that_ends_with_a_rollback_of_theirs_goes_on(maker) {
        let mut old = Old::mad_lab(maker).await;
        let last = old.insert_row("rollback-begin", (None, None), json!({}), None).await.unwrap();
        old.lab.sql(&format!("UPDATE sourcing.eventstore SET event = 'rollback' WHERE id = {last}")).await.unwrap();
        let (old, _) = old.taken_over(false).await;
        old.lab.append(vec![create("fragment", id(1), json!({"smiles": "F"}))]).await;
        old.lab.roll_back(RollbackTarget::BeforeEvent(last), Strategy::Replay).await.unwrap();
        old.lab.assert_no_drift().await;
    }

    async fn a_log_that_has_grown_is_not_taken_over(maker) {
        let mut old = worked_on(maker).await;
        let consent = TakeOver { head: old.lab.store.head().await.unwrap(), record_differences: true };
        old.tell(&create("fragment", id(20), json!({"smiles": "late"}))).await;
        let before = old.whole().await;
        let error = store::take_over(&old.lab.address, &options(), None, &consent).await.map(drop).expect_err("grown");
        assert_eq!(error.code, ErrorCode::Stale, "{}", error.message);
        assert_eq!(old.whole().await, before);
        old.tell(&create("fragment", id(21), json!({"smiles": "later"}))).await;
    }

    async fn what_is_somebody_elses_stops_it_and_nothing_changes(maker) {
        let mut old = worked_on(maker).await;
        let consent = TakeOver { head: old.lab.store.head().await.unwrap(), record_differences: true };
        for (sql, remedy, named) in [
            ("CREATE FUNCTION public.notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
              CREATE TRIGGER notes BEFORE INSERT ON sourcing.eventstore FOR EACH ROW EXECUTE FUNCTION public.notes()",
             "DROP TRIGGER notes ON sourcing.eventstore", "notes"),
            ("CREATE VIEW public.latest AS SELECT max(\"timestamp\") FROM sourcing.eventstore", "DROP VIEW public.latest", "latest"),
            ("CREATE TABLE sourcing.writer (n int)", "DROP TABLE sourcing.writer", "writer"),
        ] {
            old.lab.sql(sql).await.unwrap();
            let before = old.whole().await;
            let error = store::take_over(&old.lab.address, &options(), None, &consent).await.map(drop).expect_err(sql);
            let said = format!("{} {:?}", error.message, error.details);
            assert!(said.contains(named), "{said}");
            assert_eq!(old.whole().await, before, "{sql}");
            old.lab.sql(remedy).await.unwrap();
        }
        old.tell(&create("fragment", id(20), json!({"smiles": "still theirs"}))).await;
    }

    async fn a_synthesis_goes_on_getting_its_hid(maker) {
        let mut old = Old::mad_lab(maker).await;
        let synthesis = old.log().await.into_iter().find(|event| event.row.as_ref().is_some_and(|row| row.table == "synthesis")).unwrap();
        let mut data = synthesis.data;
        data.remove("hid");
        old.tell(&at("2020-02-17T04:00:00", create("synthesis", id(1), data.clone().into()))).await;
        let notice = ebb(&["-d", &old.lab.argument(), "init"]).ends_with(3).stdout();
        assert!(notice.contains("hid"), "{notice}");
        let (old, _) = old.taken_over(false).await;
        // One that is given stays.
        let mut events = vec![create("synthesis", id(2), data.clone().into()), create("synthesis", id(3), data.clone().into())];
        data.insert("hid".to_owned(), json!("mine"));
        events.push(create("synthesis", id(4), data.into()));
        let day = old.lab.append(events).await[0].timestamp.format("%Y-%m-%d");
        let hid = async |n| old.lab.row("synthesis", id(n)).await.unwrap()["hid"].as_str().unwrap().to_owned();
        assert_eq!(hid(1).await, "MAD_2020-02-17_1");
        assert_eq!((hid(2).await, hid(3).await), (format!("MAD_{day}_0"), format!("MAD_{day}_1")));
        assert_eq!(hid(4).await, "mine");
        old.lab.assert_no_drift().await;
    }

    async fn no_operator_of_a_stranger_runs(maker) {
        let old = worked_on(maker).await;
        old.lab.sql(crate::postgres::HOSTILE_OPERATORS).await.unwrap();
        let (old, _) = old.taken_over(true).await;
        let proof = old.lab.rows().await.into_iter().filter(|(table, _)| table == "proof").count();
        assert_eq!(proof, 0, "a stranger's operator ran");
    }

    async fn init_shows_what_it_would_do_and_asks(maker) {
        let old = worked_on(maker).await;
        old.lab.sql("UPDATE molecule SET smiles = 'edited'").await.unwrap();
        let place = old.lab.argument();
        let before = old.whole().await;
        let refused = ebb_with_input(&["-d", &place, "init"], "y\n").ends_with(3);
        for said in ["mdb or Molar", "54 events", "row for row", "1 row is not what the log says", "smiles"] {
            assert!(refused.stdout().contains(said), "{said}: {}", refused.stdout());
        }
        assert!(refused.stderr().contains("--yes"), "{}", refused.stderr());
        assert_eq!(old.whole().await, before);
        let done = ebb(&["-d", &place, "init", "--yes", "--record-differences", "--json"]).ends_with(0).object();
        assert_eq!((&done["events"], &done["differences_recorded"]), (&json!(55), &json!(1)));
        ebb(&["-d", &place, "verify"]).ends_with(0);
        ebb(&["-d", &place, "rollback", "--before-event", "16", "--yes"]).ends_with(0);
        ebb(&["-d", &place, "verify"]).ends_with(0);
        ebb(&["-d", &place, "undo", "--yes"]).ends_with(0);
        let kinds = ebb(&["-d", &place, "log", "--event", "rollback", "--json"]).ends_with(0).objects();
        assert_eq!(kinds.len(), 3, "theirs too");
        // Fault 16: installing it again dropped the schema, log included.
        let whole = old.whole().await;
        for _ in 0..2 {
            ebb(&["-d", &place, "init"]).ends_with(0);
            assert_eq!(old.whole().await, whole);
        }
        ebb(&["-d", &place, "verify"]).ends_with(0);
    }
}
