//! The timeline, the tables now and then, plans, drift, the screens.

use ebbtide::eventsourcing::activity::ActivityBy;
use ebbtide::eventsourcing::history::{History, Standing};
use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::timeline::Filter;
use ebbtide::eventsourcing::verify::{self, FindingKind};
use ebbtide::eventsourcing::{ErrorCode, EventKind, RowKey, inspect, value};
use ebbtide::tui::keymap::Key;
use serde_json::{Value, json};

use super::{Maker, Old, State, assert_same, of_each};
use crate::cli::ebb;
use crate::support::{create, delete, id, run, update};
use crate::tui::player::{LOOK, play};

const MOLECULE: &str = "c053009a-9b1d-44a7-8267-f5befdb03eb0";
const BEFORE_15: &str = "2020-02-17T03:09:59.145749";

fn request(target: RollbackTarget) -> RollbackRequest {
    RollbackRequest::to(target)
}

/// What a plan makes of the tables.
fn carried_out(mut state: State, plan: &rollback::RollbackPlan) -> State {
    for change in plan.changes.page(0..plan.changes.len()).unwrap() {
        match change.after {
            Some(row) => drop(state.insert(change.key, row)),
            None => drop(state.remove(&change.key)),
        }
    }
    state
}

of_each! {
    async fn the_story_is_read_as_it_was_told(maker) {
        let old = Old::mad_lab(maker).await;
        let log = old.log().await;
        assert_eq!(log.iter().map(|event| event.id).collect::<Vec<_>>(), (1..=12).chain(14..=19).collect::<Vec<_>>());
        let user = match maker {
            Maker::Mdb => "",
            Maker::Molar => "user 7",
        };
        for (event, told) in log.iter().zip(ebbtide::demo::story().unwrap()) {
            assert_eq!((event.kind, event.row.as_ref().unwrap().table.as_str()), (told.kind, told.table.as_str()));
            assert_eq!(event.row.as_ref().map(|row| row.uuid), told.uuid);
            assert!(value::same(&event.data.clone().into(), &told.data.into()), "#{}", event.id);
            assert_eq!(Some(event.timestamp), told.timestamp, "#{}: without zone is UTC", event.id);
            assert_eq!((event.actor.as_str(), event.origin), (user, None));
        }
        let store = &*old.lab.store;
        assert_eq!((store.head().await.unwrap(), store.event_count(19).await.unwrap()), (19, 18));
        let molar: &[&str] = match maker {
            Maker::Mdb => &[],
            Maker::Molar => &["alembic_version", "user.user"],
        };
        let untracked: Vec<_> = store.tables().await.unwrap().into_iter().filter(|table| table.key().is_none()).collect();
        assert_eq!(untracked.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), molar);
        assert_eq!(store.types().await.unwrap().len(), 11);
        assert_eq!(store.next_head(18).await.unwrap(), 19);
        assert_eq!(store.activity(ActivityBy::Actor, 12, 15).await.unwrap(), [(user.to_owned(), 3)]);
        assert_eq!(store.activity(ActivityBy::Day, 1, 19).await.unwrap(), [("2020-02-17".to_owned(), 18)]);
        assert_eq!(store.count_events(&Filter::default(), 12, 15).await.unwrap(), 3);
        let molecule = inspect::table(store, "molecule").await.unwrap();
        assert_eq!(store.row_estimate(&molecule).await.unwrap(), None);
        old.lab.sql("ANALYZE").await.unwrap();
        let rows = store.row_count(&molecule).await.unwrap();
        assert_eq!(store.row_estimate(&molecule).await.unwrap(), Some(rows));
        old.lab.assert_no_drift().await;
    }

    async fn a_row_is_shown_through_its_life_with_its_defaults(maker) {
        let old = Old::mad_lab(maker).await;
        let key = RowKey { table: "molecule".to_owned(), uuid: MOLECULE.parse().unwrap() };
        let life = inspect::row_history(&*old.lab.store, &key).await.unwrap();
        assert_eq!(life.iter().map(|event| event.event.id).collect::<Vec<_>>(), [6, 10]);
        let born: Vec<_> = life[0].columns.iter().map(|change| (change.column.as_str(), &change.to)).collect();
        let stamp = json!("2020-02-17T03:09:48.673496");
        assert_eq!(born, [
            ("molecule_id", &json!(MOLECULE)),
            ("created_on", &stamp),
            ("updated_on", &stamp),
            // The table's default, which the log does not have.
            ("metadata", &json!({})),
            ("smiles", &json!("A-UGLY-TYPO-C")),
        ]);
        let changed: Vec<_> = life[1].columns.iter().map(|change| change.column.as_str()).collect();
        assert_eq!(changed, ["updated_on", "smiles"]);
        let shown = inspect::event(&*old.lab.store, 10).await.unwrap().unwrap();
        assert_eq!(shown.before.unwrap()["metadata"], json!({}));
        assert_eq!(shown.standing, Standing::Effective);
    }

    async fn each_state_of_the_tables_is_seen_again(maker) {
        let mut old = Old::mad_lab(maker).await;
        old.tell(&update("molecule", MOLECULE.parse().unwrap(), json!({"metadata": {"a": 1}, "colour": "red"}))).await;
        old.tell(&update("molecule", MOLECULE.parse().unwrap(), json!({"metadata": {"b": [2]}}))).await;
        let (begin, end) = old.their_rollback(BEFORE_15).await;
        old.tell(&create("fragment", id(9), json!({"smiles": "D", "created_on": "1999-12-31T23:59:59"}))).await;
        old.tell(&delete("fragment", id(9))).await;
        assert_eq!((begin, end, old.states.len()), (22, 53, 23));
        for (id, state) in &old.states {
            assert_same(&old.then(*id).await, state, &format!("at #{id}"));
        }
        assert_same(&old.then(0).await, &State::new(), "before the first");
        // By a moment, and in the program's own words.
        let place = old.lab.argument();
        let smiles = |more: &[&str]| {
            let arguments: Vec<&str> = ["-d", &place, "table", "molecule", "--json"].iter().chain(more).copied().collect();
            let rows = ebb(&arguments).ends_with(0).objects();
            rows.iter().map(|row| row["smiles"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(smiles(&["--at", "2020-02-17T03:09:48.810673"]), ["A-UGLY-TYPO-C"]);
        assert_eq!(smiles(&["--at", "2020-02-17T03:09:48.810674"]), ["ABC"]);
        // #13 was never written.
        assert_eq!(smiles(&["--at-event", "13"]), ["ABC"]);
        assert_eq!(smiles(&["--at-event", "19"]), ["ABC", "DEF"]);
        assert_eq!(smiles(&[]), ["ABC"]);
        old.lab.assert_no_drift().await;
    }

    async fn their_rollback_is_shown_and_is_ordinary_events(maker) {
        let mut old = Old::mad_lab(maker).await;
        let (begin, end) = old.their_rollback(BEFORE_15).await;
        let store = &*old.lab.store;
        let log = old.log().await;
        let written = &log[18..];
        // A begin, 16 rows deleted, 14 events repeated, an end, and all at one time.
        assert_eq!((begin, end, written.len()), (20, 51, 32));
        assert_eq!((written[0].id, written[0].kind), (begin, EventKind::Rollback));
        assert_eq!((written[31].id, written[31].kind), (end, EventKind::RollbackEnd));
        for marker in [&written[0], &written[31]] {
            assert_eq!((&marker.row, &marker.data["before"]), (&None, &json!(BEFORE_15)));
        }
        assert!(written.iter().all(|event| event.timestamp == written[0].timestamp && event.origin.is_none()));
        assert_eq!(store.history(end).await.unwrap(), History::default());
        let shown = inspect::event(store, begin + 1).await.unwrap().unwrap();
        assert_eq!((shown.standing, shown.transaction), (Standing::Effective, (begin, end)));
        // It cannot be undone as such; going back to before it is a plan like any other.
        let undo = rollback::plan_undo(store, None, false).await.expect_err("nothing of ours");
        assert_eq!(undo.code, ErrorCode::NothingToUndo);
        let plan = rollback::plan(store, request(RollbackTarget::BeforeEvent(begin))).await.unwrap();
        assert_eq!((plan.keeps_through, plan.blockers.len()), (19, 0));
        assert_same(&carried_out(old.state(end).clone(), &plan), old.state(19), "before their rollback");
        let report = verify::drift(store).await.unwrap();
        assert_eq!((report.events, report.rows, report.findings), (50, 12, Vec::new()));
    }

    async fn a_plan_says_what_a_rollback_would_do(maker) {
        let mut old = Old::mad_lab(maker).await;
        // Keys that the table has no column for were never stored: they stand in no plan's way.
        old.tell(&create("molecule", id(1), json!({"smiles": "X", "colour": "red"}))).await;
        old.tell(&update("molecule", MOLECULE.parse().unwrap(), json!({"smiles": "Y", "colour": "blue"}))).await;
        let store = &*old.lab.store;
        for target in [1, 2, 7, 8, 10, 12, 14, 15, 16, 19, 20, 21] {
            let plan = rollback::plan(store, request(RollbackTarget::BeforeEvent(target))).await.unwrap();
            // #7 to #9 are of one time, and #13 is not there.
            let keeps = match target {
                8 => 6,
                14 => 12,
                other => other - 1,
            };
            assert_eq!((plan.keeps_through, plan.blockers.len()), (keeps, 0), "before #{target}");
            let before = store.event(target).await.unwrap().unwrap().timestamp;
            assert_eq!(plan.before, Some(before), "before #{target}");
            let expected = if keeps == 0 { &State::new() } else { old.state(keeps) };
            assert_same(&carried_out(old.state(21).clone(), &plan), expected, &format!("before #{target}"));
        }
        let after_12 = rollback::plan(store, request(RollbackTarget::AfterEvent(12))).await.unwrap();
        let next = store.event(14).await.unwrap().unwrap();
        assert_eq!((after_12.keeps_through, after_12.before), (12, Some(next.timestamp)));

        let place = old.lab.argument();
        let plan = ebb(&["-d", &place, "rollback", "--before-event", "16", "--dry-run", "--json"]).ends_with(0).object();
        assert_eq!((&plan["target"]["keeps_through"], &plan["head"]), (&json!(15), &json!(21)));
        assert_eq!((&plan["events_undone"], &plan["events_to_append"]), (&json!(6), &json!(8)));
        assert_eq!(plan["blockers"], json!([]));
        let shown = ebb(&["-d", &place, "rollback", "--before-event", "16", "--dry-run"]).ends_with(0).stdout();
        assert!(shown.contains("just before #16") && !shown.contains("colour"), "{shown}");
    }

    async fn keys_that_the_table_has_no_column_for_are_in_the_data_only(maker) {
        let mut old = Old::mad_lab(maker).await;
        let event = old.tell(&create("molecule", id(1), json!({"smiles": "X", "colour": "red"}))).await;
        let shown = ebb(&["-d", &old.lab.argument(), "show", &event.to_string(), "--json"]).ends_with(0).object();
        assert_eq!(shown["data"]["colour"], "red");
        assert_eq!(shown["filled"], json!({"colour": null, "metadata": {}}));
        let columns: Vec<_> = shown["after"].as_object().unwrap().keys().collect();
        assert_eq!(columns, ["molecule_id", "created_on", "updated_on", "metadata", "smiles"]);
        old.lab.assert_no_drift().await;
    }

    async fn drift_says_where_their_log_does_not_fold_to_the_tables(maker) {
        let mut old = Old::empty(maker, r#"
            CREATE TYPE mood AS ENUM ('good', 'bad');
            CREATE FUNCTION ours() RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'ours' $$;
            CREATE SEQUENCE numbers;
            CREATE TABLE note (
                note_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                created_on timestamp DEFAULT '1970-01-01', updated_on timestamp DEFAULT '1970-01-01',
                extra jsonb,
                label varchar(20) DEFAULT 'it''s "raw"', count int DEFAULT 2 + 3, price numeric(10, 2) DEFAULT 1,
                day timestamp DEFAULT '2020-02-29', mood mood DEFAULT 'good', tags text[] DEFAULT '{}', "Odd name" bool DEFAULT true,
                size float8 DEFAULT 1, nothing text DEFAULT NULL,
                random uuid DEFAULT gen_random_uuid(), opened timestamptz DEFAULT now(), today date DEFAULT CURRENT_DATE,
                number bigint DEFAULT nextval('numbers'), named text DEFAULT ours()
            )"#).await;
        old.tell(&create("note", id(1), json!({"unheard": 1}))).await;
        // NULL || x is NULL: the old program lost it.
        old.tell(&update("note", id(1), json!({"extra": {"a": 1}, "label": "read"}))).await;
        old.tell(&create("note", id(2), json!({
            "random": id(2).to_string(), "opened": "2020-01-01T00:00:00+00:00", "today": "2020-01-01", "number": 8, "named": "theirs",
            "count": null
        }))).await;
        let store = &*old.lab.store;
        let found = async || {
            let findings = verify::drift(store).await.unwrap().findings;
            findings.into_iter().map(|finding| (finding.kind, finding.row.uuid, finding.column, finding.expected)).collect::<Vec<_>>()
        };
        let changed = |column: &str, expected: Value| (FindingKind::ChangedRow, id(1), Some(column.to_owned()), expected);
        // What no default can tell any more, and what was lost; every constant default is known.
        let lost = [
            changed("extra", json!({"a": 1})),
            changed("random", json!(null)),
            changed("opened", json!(null)),
            changed("today", json!(null)),
            changed("number", json!(null)),
            changed("named", json!(null)),
        ];
        assert_eq!(found().await, lost);
        old.lab.sql(&format!("DELETE FROM note WHERE note_id = '{}'", id(2))).await.unwrap();
        old.lab.sql(&format!("INSERT INTO note (note_id) VALUES ('{}')", id(3))).await.unwrap();
        let more = found().await;
        assert_eq!(more[..6], lost);
        let kinds: Vec<_> = more[6..].iter().map(|(kind, uuid, ..)| (*kind, *uuid)).collect();
        assert_eq!(kinds, [(FindingKind::MissingRow, id(2)), (FindingKind::ExtraRow, id(3))]);
        let place = old.lab.argument();
        let report = ebb(&["-d", &place, "verify", "--drift", "--json"]).ends_with(4).object();
        assert_eq!((&report["events"], report["findings"].as_array().unwrap().len()), (&json!(3), 8));
    }

    async fn a_change_of_the_tables_is_followed_while_it_is_open(maker) {
        let mut old = Old::mad_lab(maker).await;
        old.lab.assert_no_drift().await;
        old.lab.sql("ALTER TABLE fragment ADD colour text DEFAULT 'grey', ALTER metadata SET DEFAULT '{\"v\": 2}'").await.unwrap();
        old.tell(&create("fragment", id(1), json!({"smiles": "D", "colour": "red"}))).await;
        let now = old.now().await;
        assert_eq!(now.values().filter(|row| row.get("colour") == Some(&json!("grey"))).count(), 3);
        // The three that are older took the default that was; it is the one that the log does not have.
        let columns: Vec<_> = verify::drift(&*old.lab.store).await.unwrap().findings.into_iter()
            .map(|finding| (finding.column, finding.expected, finding.found)).collect();
        assert_eq!(columns, vec![(Some("metadata".to_owned()), json!({"v": 2}), json!({})); 3]);
    }

    async fn older_words_for_markers_and_data_that_is_no_object_are_read(maker) {
        let mut old = Old::mad_lab(maker).await;
        let start = old.insert_row("rollback-start", (None, None), json!({"after": "1979-12-12"}), None).await.unwrap();
        let first = old.insert_row("rollback-begin", (None, None), json!({}), None).await.unwrap();
        old.lab.sql(&format!("UPDATE sourcing.eventstore SET event = 'rollback' WHERE id = {first}")).await.unwrap();
        let molecule = (Some("molecule"), Some("e3dde6c2-ab0c-4c77-9d55-e52d58a1425d".parse().unwrap()));
        let gone = old.insert_row("delete", molecule, Value::Null, None).await.unwrap();
        let log = old.log().await;
        let kind = |id| log.iter().find(|event| event.id == id).map(|event| (event.kind, event.data.len()));
        assert_eq!((kind(start), kind(first)), (Some((EventKind::Rollback, 1)), Some((EventKind::Rollback, 0))));
        assert_eq!(kind(gone), Some((EventKind::Delete, 0)));
        let place = old.lab.argument();
        assert_eq!(ebb(&["-d", &place, "log", "--event", "rollback", "--json"]).ends_with(0).objects().len(), 2);
        assert!(ebb(&["-d", &place, "show", &start.to_string()]).ends_with(0).stdout().contains("1979-12-12"));
        old.lab.assert_no_drift().await;
    }

    async fn large_data_is_left_out_of_a_list_and_nothing_is_made_up_for_it(maker) {
        use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
        let mut old = Old::mad_lab(maker).await;
        // Nothing that compresses.
        let notes: String = (0..2000).map(|n| id(n * 7_919_777_777).to_string()).collect();
        let event = old.tell(&create("fragment", id(1), json!({"smiles": "X", "notes": notes}))).await;
        let request = PageRequest { filter: Filter::default(), from: None, until: None, direction: Direction::Older, limit: 2, detail: Detail::Summary };
        let page = old.lab.store.page(&request).await.unwrap();
        assert_eq!(page.entries[0].event.id, event);
        assert!(page.entries[0].left_out.is_some());
        assert_eq!((page.entries[0].event.data.len(), &page.entries[0].event.filled), (0, &None));
        assert!(page.entries[1].event.filled.is_some());
    }

    async fn the_screens_show_it_and_say_why_nothing_can_be_written(maker) {
        let old = Old::mad_lab(maker).await;
        play(old.lab.store.clone(), (120, 40), LOOK, async |mut player| {
            player.see(&["▌ #19", "READ-ONLY", "18 events"]).await;
            // Of mdb's events nobody knows who wrote them.
            let screen = player.see(&["#19 create molecule", "2020-02-17 03:10:16.722259 UTC"]).await;
            assert_eq!(screen.contains("· by"), maker == Maker::Molar, "{screen}");
            assert_eq!(screen.contains("· by user 7"), maker == Maker::Molar, "{screen}");
            player.press(Key::Char('2'));
            player.see(&["experiment_machine"]).await;
            player.press(Key::Char('1'));
            (0..3).for_each(|_| player.press(Key::Char('j')));
            player.see(&["#16 create experiment"]).await;
            player.press(Key::Char('R'));
            player.see(&["just before #16", "4 rows removed"]).await;
            player.press(Key::Enter);
            player.see(&["Nothing can be written here", "mdb or Molar", "ebb init"]).await;
            player.press(Key::Esc);
            player.press(Key::Char('q'));
        }).await;
    }
}

/// What takes part is said by the migration of ebb's own databases, for these as well.
#[test]
fn the_same_tables_take_part_as_in_a_database_of_ebbs_own() {
    run(async {
        use crate::support::Database;
        use ebbtide::eventsourcing::schema::Tracking;
        use ebbtide::eventsourcing::store::Backend;
        let tables = r#"
            CREATE TABLE keyless (a int);
            CREATE TABLE counted (counted_id bigint PRIMARY KEY);
            CREATE TABLE paired (a uuid, b uuid, PRIMARY KEY (a, b));
            CREATE TABLE parted (parted_id uuid PRIMARY KEY, a int) PARTITION BY HASH (parted_id);
            CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
            CREATE TABLE parent (parent_id uuid PRIMARY KEY);
            CREATE TABLE child (child_id uuid PRIMARY KEY) INHERITS (parent);
            CREATE SCHEMA "Side room";
            CREATE TABLE "Side room".thing (thing_id uuid PRIMARY KEY, parted_id uuid REFERENCES parted);
            CREATE ROLE stranger_of_legacy; CREATE TABLE strange (strange_id uuid PRIMARY KEY);
            ALTER TABLE strange OWNER TO stranger_of_legacy; DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO stranger_of_legacy', current_database()); END $$;
        "#;
        let old = Old::empty(Maker::Mdb, tables).await;
        let again = tables.replace("CREATE ROLE stranger_of_legacy;", "");
        let schema = format!("{}{again}", ebbtide::demo::schema(Backend::Postgres));
        let ours = Database::with(Backend::Postgres, &schema).await;
        let owner = format!("{}_owner", crate::postgres::name(&ours));
        let (theirs, mut ours) = (
            old.lab.store.tables().await.unwrap(),
            ours.store.tables().await.unwrap(),
        );
        for table in &mut ours {
            // The older programs made no roles: whoever installed them owns the event store.
            if let Tracking::Untracked { reason } = &mut table.tracking {
                *reason = reason.replace(&owner, "postgres");
            }
        }
        assert_eq!(theirs, ours);
        assert_eq!(
            theirs.iter().filter(|table| table.key().is_none()).count(),
            6
        );
    });
}
