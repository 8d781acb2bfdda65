//! What goes wrong under a client (Bad input): tables that change, statements that are cancelled, servers that go away.

use ebbtide::eventsourcing::rollback::{self, Control, RollbackRequest, RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, timeline, timestamp};
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::{GATE, login_url, name, refusal, run_sql, superuser, until_waiting};
use crate::support::{
    Database, create, delete, fresh_address, id, options, rows_query, run, update,
};

#[test]
fn a_statement_that_is_cancelled_or_times_out_writes_nothing() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
             CREATE TABLE slow (slow_id uuid PRIMARY KEY, name text);
             CREATE TRIGGER dawdle BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION dawdle();
             CREATE TABLE quick (quick_id uuid PRIMARY KEY)",
        )
        .await;
        let mut client = superuser(&lab).await;
        let (state, _) = refusal(
            &mut client,
            "SET statement_timeout = '50ms'; INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'quick'), ('create', 'slow')",
        )
        .await;
        assert_eq!(state, "57014");
        // The same through ebb, with the timeout of the role. It is one that an event keeps to on a busy machine too.
        let url = login_url(&lab, "hasty", "writer").await;
        lab.sql(&format!(
            "ALTER ROLE hasty_{} SET statement_timeout = '2s'",
            name(&lab)
        ))
        .await
        .unwrap();
        let hasty = store::open(&Address::Postgres(url), &options())
            .await
            .unwrap();
        let error = hasty
            .append(vec![
                create("quick", id(1), json!({})),
                create("slow", id(2), json!({})),
            ])
            .await
            .expect_err("too slow");
        assert_eq!(error.code, ErrorCode::Stopped, "{}", error.message);
        assert!(error.message.contains("timeout"), "{}", error.message);
        hasty
            .append(vec![create("quick", id(1), json!({}))])
            .await
            .unwrap();
        hasty.close().await;
        assert_eq!(lab.store.head().await.unwrap(), 1);
        assert_eq!(lab.rows().await.len(), 1);
        lab.assert_no_drift().await;
    });
}

/// Each statement is stopped at a known place: thousands of events in, while its events are applied together, while it waits for the writer's lock,
/// while a rollback writes the tables.
#[test]
fn a_statement_that_is_stopped_anywhere_leaves_nothing_half_done() {
    const HOLDING_ROW: &str = "BEGIN; SELECT FROM sample WHERE name = 'n40' FOR UPDATE";
    const HOLDING_GATE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7)";
    const HOLDING_LOG: &str =
        "BEGIN; INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'sample')";
    let stops = [
        (
            HOLDING_GATE,
            "advisory",
            "INSERT INTO sourcing.eventstore (event, type, data)
             SELECT 'create', CASE i WHEN 2500 THEN 'gate' ELSE 'sample' END, jsonb_build_object('name', 'm' || i) FROM generate_series(1, 3000) AS i",
        ),
        (
            HOLDING_ROW,
            "transaction",
            "INSERT INTO sourcing.eventstore (event, type, uuid, data) SELECT 'update', 'sample', sample_id, '{\"mass\": 1}' FROM sample ORDER BY name",
        ),
        (
            HOLDING_LOG,
            "transaction",
            "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'sample')",
        ),
        (
            HOLDING_LOG,
            "transaction",
            r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17"}')"#,
        ),
        (
            HOLDING_GATE,
            "advisory",
            r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17"}')"#,
        ),
        (
            HOLDING_GATE,
            "advisory",
            r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17", "strategy": "minimal"}')"#,
        ),
    ];
    run(async {
        let lab = Database::with(Backend::Postgres, GATE).await;
        let many =
            (0..60).map(|at| create("sample", id(at + 1), json!({"name": format!("n{at}")})));
        lab.append(many.chain([create("gate", id(100), json!({}))]).collect())
            .await;
        let (log, rows) = (lab.log().await, lab.rows().await);
        let url = login_url(&lab, "stopped", "operator").await;
        let mut client = PgConnection::connect(&url).await.unwrap();
        let mut other = superuser(&lab).await;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut client)
            .await
            .unwrap();
        for (holding, waits_for, statement) in stops {
            for (setting, expected) in [
                ("", "57014"),
                ("SET LOCAL statement_timeout = '100ms'; ", "57014"),
                ("SET LOCAL lock_timeout = '20ms'; ", "55P03"),
            ] {
                run_sql(&mut other, holding).await.unwrap();
                let whole = format!("{setting}{statement}");
                let stopped = async {
                    // What came before in the transaction goes too.
                    let before = match holding {
                        HOLDING_LOG => "BEGIN",
                        _ => {
                            "BEGIN; INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{\"name\": \"before\"}')"
                        }
                    };
                    run_sql(&mut client, before).await.unwrap();
                    refusal(&mut client, &whole).await
                };
                let cancelling = async {
                    if setting.is_empty() {
                        until_waiting(&lab, "stopped", waits_for).await;
                        lab.sql(&format!("SELECT pg_cancel_backend({pid})"))
                            .await
                            .unwrap();
                    }
                };
                let ((state, message), ()) = tokio::join!(stopped, cancelling);
                assert_eq!(state, expected, "{whole}: {message}");
                run_sql(&mut other, "ROLLBACK").await.unwrap();
                // What failed is not committed, whatever the client says.
                run_sql(&mut client, "COMMIT").await.unwrap();
                assert_eq!(lab.log().await, log, "{whole}");
                assert_eq!(lab.rows().await, rows, "{whole}");
                // The same session goes on where the log ends.
                let mut next = client.begin().await.unwrap();
                let id: i64 = sqlx::query_scalar(
                    "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'sample') RETURNING id",
                )
                .fetch_one(&mut *next)
                .await
                .unwrap();
                next.rollback().await.unwrap();
                assert_eq!(id, log.last().unwrap().id + 1, "{whole}");
            }
        }
        lab.assert_no_drift().await;
        // Nothing stands in their way now.
        let (_, _, rolling_back) = stops[5];
        run_sql(&mut client, rolling_back).await.unwrap();
        assert_eq!(lab.rows().await, []);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_session_that_the_server_ends_leaves_nothing_half_done() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let url = login_url(&lab, "nmr", "writer").await;
        let store = store::open(&Address::Postgres(url), &options())
            .await
            .unwrap();
        store
            .append(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await
            .unwrap();
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1",
        )
        .bind(format!("nmr_{}", name(&lab)))
        .fetch_one(&mut superuser(&lab).await)
        .await
        .unwrap();
        assert!(ended > 0);
        // What was open is lost, and said so at most once; the next try works on a new connection.
        let mut tries = 0;
        while let Err(error) = store
            .append(vec![create("fragment", id(2), json!({"smiles": "Y"}))])
            .await
        {
            assert_eq!(error.code, ErrorCode::Unreachable, "{}", error.message);
            tries += 1;
            assert!(tries < 5, "{}", error.message);
        }
        store.close().await;
        assert_eq!(lab.store.head().await.unwrap(), 20);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_table_that_is_dropped_or_altered_under_us_is_named() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let tables = lab.store.tables().await.unwrap();
        let xy_data = tables.iter().find(|table| table.name == "xy_data").unwrap();
        let request = RollbackRequest::to(RollbackTarget::BeforeEvent(15));
        let plan = rollback::plan(&*lab.store, request.clone()).await.unwrap();
        lab.sql("DROP TABLE xy_data").await.unwrap();
        let error = lab
            .store
            .rows(&rows_query(xy_data, None, 10))
            .await
            .expect_err("gone");
        assert_eq!(error.code, ErrorCode::UnknownTable, "{}", error.message);
        assert!(error.message.contains("xy_data"), "{}", error.message);
        let error = lab.refused(vec![create("xy_data", id(1), json!({}))]).await;
        assert_eq!(error.code, ErrorCode::UnknownTable);
        // The confirmed plan speaks of a table that is gone: refused, and the new plan says what stands in the way.
        let rows = lab.rows().await;
        let error = rollback::execute(
            &*lab.store,
            &plan.confirm(false).unwrap(),
            &Control::default(),
        )
        .await
        .expect_err("gone");
        assert!(error.message.contains("xy_data"), "{}", error.message);
        assert_eq!(lab.rows().await, rows);
        lab.sql("ALTER TABLE fragment RENAME COLUMN smiles TO formula")
            .await
            .unwrap();
        let error = lab
            .refused(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await;
        assert_eq!(error.code, ErrorCode::UnknownColumn);
        let page = timeline::PageRequest {
            filter: timeline::Filter::default(),
            from: None,
            until: None,
            direction: timeline::Direction::Older,
            limit: 50,
            detail: timeline::Detail::Whole,
        };
        assert_eq!(
            lab.store.page(&page).await.unwrap().entries.len(),
            18,
            "the log is read as before"
        );
    });
}

#[test]
fn a_role_without_rights_is_told_what_it_lacks() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let stranger = format!("stranger_{}", name(&lab));
        lab.sql(&format!("CREATE ROLE {stranger} LOGIN PASSWORD 'ebb-test'"))
            .await
            .unwrap();
        let url = lab
            .argument()
            .replace("postgres:ebb-test", &format!("{stranger}:ebb-test"));
        let error = store::open(&Address::Postgres(url), &options())
            .await
            .map(drop)
            .expect_err("no rights");
        assert_eq!(error.code, ErrorCode::NotAllowed, "{}", error.message);
        assert!(error.message.contains(&stranger), "{}", error.message);
        assert!(
            error
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("_reader")),
            "{:?}",
            error.hint
        );
    });
}

#[test]
fn a_search_path_time_zone_and_date_style_of_the_roles_own_change_nothing() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let expected = (lab.log().await, lab.rows().await);
        let url = login_url(&lab, "odd", "writer").await;
        lab.sql(&format!(
            "CREATE SCHEMA evil; CREATE TABLE evil.pg_class (x int); CREATE VIEW evil.pg_namespace AS SELECT 1;
             CREATE FUNCTION evil.quote_ident(text) RETURNS text LANGUAGE sql AS $$ SELECT 'nobody' $$;
             CREATE FUNCTION evil.count(bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT 0::bigint $$;
             GRANT USAGE ON SCHEMA evil TO PUBLIC;
             GRANT SELECT ON ALL TABLES IN SCHEMA evil TO PUBLIC;
             ALTER ROLE odd_{0} SET search_path = evil, pg_catalog, public;
             ALTER DATABASE {0} SET timezone = 'Pacific/Kiritimati';
             ALTER DATABASE {0} SET datestyle = 'German, DMY';
             ALTER DATABASE {0} SET intervalstyle = 'iso_8601';
             ALTER DATABASE {0} SET bytea_output = 'escape';
             ALTER DATABASE {0} SET standard_conforming_strings = off",
            name(&lab)
        ))
        .await
        .unwrap();
        let odd = store::open(&Address::Postgres(url), &options())
            .await
            .unwrap();
        let mut log = Vec::new();
        for number in 1..=18 {
            log.push(odd.event(number).await.unwrap().unwrap());
        }
        assert_eq!(log, expected.0);
        let mut rows = Vec::new();
        for table in odd.tables().await.unwrap() {
            if table.name.starts_with("evil") {
                continue;
            }
            let page = odd.rows(&rows_query(&table, None, 100)).await.unwrap();
            rows.extend(
                page.rows
                    .into_iter()
                    .map(|found| (table.name.clone(), found.row)),
            );
        }
        assert_eq!(rows, expected.1);
        odd.append(vec![create("fragment", id(1), json!({"smiles": "\\"}))])
            .await
            .unwrap();
        odd.close().await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_database_of_another_encoding_works() {
    run(async {
        // With the second, the server takes text for bytes and converts nothing.
        for encoding in ["LATIN1", "SQL_ASCII"] {
            let (address, directory) = fresh_address(Backend::Postgres).await;
            let Address::Postgres(url) = &address else {
                panic!("PostgreSQL")
            };
            let database = format!(
                "{}_{}",
                url.rsplit_once('/').unwrap().1,
                encoding.to_lowercase()
            );
            let server = url.rsplit_once('/').unwrap().0;
            let mut admin = PgConnection::connect(url).await.unwrap();
            run_sql(&mut admin, &format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")).await.unwrap();
            let address = Address::Postgres(format!("{server}/{database}"));
            let schema = "CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text, info jsonb)";
            let made = store::init(&address, &options(), Some(schema))
                .await
                .unwrap();
            made.store.close().await;
            let lab = Database::there(address, directory).await;
            let accented = json!({"name": "caf\u{e9}", "info": {"\u{fc}ber": ["\u{e5}"]}});
            lab.append(vec![create("thing", id(1), accented.clone())])
                .await;
            assert_eq!(
                lab.store.event(1).await.unwrap().unwrap().data["name"],
                "caf\u{e9}"
            );
            lab.append(vec![
                update(
                    "thing",
                    id(1),
                    json!({"name": "\u{e9}t\u{e9}", "info": {"\u{e0}": 1}}),
                ),
                create("thing", id(2), json!({"name": "\u{df}"})),
            ])
            .await;
            lab.append(vec![delete("thing", id(1))]).await;
            lab.assert_no_drift().await;
            for strategy in [Strategy::Minimal, Strategy::Replay] {
                lab.roll_back(RollbackTarget::BeforeEvent(2), strategy)
                    .await
                    .unwrap();
                let row = lab.row("thing", id(1)).await.unwrap();
                assert_eq!(
                    (&row["name"], &row["info"]),
                    (&accented["name"], &accented["info"]),
                    "{encoding}"
                );
                assert_eq!(lab.rows().await.len(), 1);
                lab.assert_no_drift().await;
                lab.append(vec![delete("thing", id(1))]).await;
            }
            let log = lab.log().await;
            // By any client, and by the library.
            let foreign = json!({"name": "分子"});
            let inserting = format!(
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'thing', '{foreign}')"
            );
            if encoding == "LATIN1" {
                let (state, message) = refusal(&mut superuser(&lab).await, &inserting).await;
                assert_eq!(state, "22P05", "{message}");
                assert!(message.contains("LATIN1"), "{message}");
                for new in [
                    create("thing", id(3), foreign.clone()),
                    create("thing", id(3), json!({"info": {"分": [1]}})),
                ] {
                    let error = lab.refused(vec![new]).await;
                    assert_eq!(error.code, ErrorCode::BadValue, "{}", error.message);
                    assert!(error.message.contains("LATIN1"), "{}", error.message);
                }
                assert_eq!(lab.log().await, log);
            } else {
                lab.sql(&inserting).await.unwrap();
                lab.append(vec![create("thing", id(3), foreign.clone())])
                    .await;
                assert_eq!(lab.row("thing", id(3)).await.unwrap()["name"], "分子");
            }
            lab.assert_no_drift().await;
            lab.store.close().await;
        }
    });
}

/// What a session sets changes neither what moment a rollback's data names nor what the rollback writes.
#[test]
fn a_rollback_goes_to_the_same_moment_under_any_settings_of_the_session() {
    const SETTINGS: [&str; 5] = [
        "",
        "SET TimeZone = 'Asia/Kathmandu'",
        "SET TimeZone = 'America/St_Johns'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'",
        "SET DateStyle = 'German, MDY'; SET IntervalStyle = 'iso_8601'; SET bytea_output = 'escape'; SET extra_float_digits = -15",
        "SET DateStyle = 'Postgres, YMD'; SET IntervalStyle = 'postgres_verbose'; SET TimeZone = '<odd>-13:37'; SET xmloption = 'document';
         SET array_nulls = off; SET quote_all_identifiers = on; SET standard_conforming_strings = off; SET transform_null_equals = on",
    ];
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, at timestamptz, place timestamp, day date, span interval, n float8, raw bytea, texts text[])",
        )
        .await;
        lab.append(vec![create(
            "thing",
            id(1),
            json!({"at": "2020-02-03 04:05:06.123456+05:45", "place": "2020-02-03 04:05:06.123456", "day": "2020-02-03",
                   "span": "1 year -3 days 04:05:06.7", "n": 0.1, "raw": "\\x00ff5c", "texts": ["a", null, "NULL"]}),
        )])
        .await;
        let rows = lab.rows().await;
        let url = login_url(&lab, "odd", "operator").await;
        for settings in SETTINGS {
            for strategy in ["minimal", "replay"] {
                for zone in ["", "Z", "-03:30"] {
                    let later = lab
                        .append(vec![update("thing", id(1), json!({"at": "2021-01-01Z", "place": "2021-01-01", "day": "2021-01-01",
                                                                   "span": "1 hour", "n": 2, "raw": "\\x01", "texts": []}))])
                        .await;
                    let moment = later[0].timestamp;
                    let shown = match zone {
                        "-03:30" => moment - chrono::TimeDelta::minutes(210),
                        _ => moment,
                    };
                    let before = |moment| timestamp::format_without_zone(moment);
                    let mut client = PgConnection::connect(&url).await.unwrap();
                    run_sql(&mut client, settings).await.unwrap();
                    let data = json!({"before": before(shown) + zone, "strategy": strategy});
                    run_sql(&mut client, &format!("INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{data}')"))
                        .await
                        .unwrap();
                    assert_eq!(lab.rows().await, rows, "{settings} {data}");
                    let marker = lab.store.event(later[0].id + 1).await.unwrap().unwrap();
                    assert_eq!(
                        marker.data["before"],
                        before(moment).as_str(),
                        "{settings} {data}"
                    );
                    // A moment in the session's own style is none.
                    for own in [
                        "03/02/2020",
                        "03.02.2020 04:05",
                        "today",
                        "Mon 03 Feb 04:05:06 2020",
                    ] {
                        let (state, message) = refusal(&mut client, &format!("INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{{\"before\": \"{own}\"}}')")).await;
                        assert_eq!(state, "EB010", "{own}: {message}");
                    }
                    client.close().await.unwrap();
                }
            }
        }
        lab.assert_no_drift().await;
    });
}

/// A rollback tells how far it is while the database is at work, and stops there when asked to.
#[test]
fn a_rollback_at_work_tells_how_far_it_is_and_stops() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE first (first_id uuid PRIMARY KEY); CREATE TABLE last (last_id uuid PRIMARY KEY)",
        )
        .await;
        let rows =
            (1..=40).map(|n| create(if n <= 30 { "first" } else { "last" }, id(n), json!({})));
        lab.store.append(rows.collect()).await.unwrap();
        let request = RollbackRequest::to(RollbackTarget::BeforeEvent(1));
        let plan = rollback::plan(&*lab.store, request).await.unwrap();
        let confirmed = plan.confirm(false).unwrap();
        let mut holder = superuser(&lab).await;
        run_sql(&mut holder, "BEGIN; LOCK TABLE last")
            .await
            .unwrap();
        let control = Control::default();
        let work = rollback::execute(&*lab.store, &confirmed, &control);
        let watch = async {
            // The rows of the first table have been looked at; the other one is locked.
            for _ in 0..10_000_000 {
                if control.progress() == (30, 80) {
                    break;
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(control.progress(), (30, 80));
            control.stop();
        };
        let (outcome, ()) = tokio::join!(work, watch);
        assert_eq!(outcome.expect_err("stopped").code, ErrorCode::Stopped);
        run_sql(&mut holder, "ROLLBACK").await.unwrap();
        assert_eq!(lab.store.head().await.unwrap(), 40);

        let plan = rollback::plan(
            &*lab.store,
            RollbackRequest::to(RollbackTarget::BeforeEvent(1)),
        );
        let confirmed = plan.await.unwrap().confirm(false).unwrap();
        let control = Control::default();
        rollback::execute(&*lab.store, &confirmed, &control)
            .await
            .unwrap();
        assert_eq!(control.progress(), (80, 80));
        lab.assert_no_drift().await;
    });
}
