//! What goes wrong under a client (Bad input): tables that change, statements that are cancelled, servers that go away.

use ebbtide::eventsourcing::rollback::{self, Control, RollbackRequest, RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, timeline};
use ebbtide::store::{self, Address};
use serde_json::json;

use super::{login_url, name, refusal, run_sql, superuser};
use crate::support::{Database, create, fresh_address, id, options, run};

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
        let request = RollbackRequest {
            target: RollbackTarget::BeforeEvent(15),
            strategy: Strategy::Minimal,
            reason: None,
        };
        let plan = rollback::plan(&*lab.store, request.clone()).await.unwrap();
        lab.sql("DROP TABLE xy_data").await.unwrap();
        let error = lab.store.rows(xy_data, None, 10).await.expect_err("gone");
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
            let page = odd.rows(&table, None, 100).await.unwrap();
            rows.extend(page.rows.into_iter().map(|row| (table.name.clone(), row)));
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
        let (address, _directory) = fresh_address(Backend::Postgres).await;
        let Address::Postgres(url) = &address else {
            panic!("PostgreSQL")
        };
        let (server, database) = url.rsplit_once('/').unwrap();
        let latin = format!("{database}_latin1");
        let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(url)
            .await
            .unwrap();
        run_sql(&mut admin, &format!("CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")).await.unwrap();
        let address = Address::Postgres(format!("{server}/{latin}"));
        let lab = store::init(
            &address,
            &options(),
            Some("CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text)"),
        )
        .await
        .unwrap()
        .store;
        lab.append(vec![create("thing", id(1), json!({"name": "caf\u{e9}"}))])
            .await
            .unwrap();
        let event = lab.event(1).await.unwrap().unwrap();
        assert_eq!(event.data["name"], "caf\u{e9}");
        let error = lab
            .append(vec![create("thing", id(2), json!({"name": "分子"}))])
            .await
            .expect_err("not in LATIN1");
        assert!(error.message.contains("LATIN1"), "{}", error.message);
        assert_eq!(lab.head().await.unwrap(), 1);
        lab.close().await;
    });
}
