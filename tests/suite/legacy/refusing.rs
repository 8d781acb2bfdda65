//! Nothing is written, by nobody, and whoever may only read can read everything.

use ebbtide::eventsourcing::rollback::{self, Control, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, verify};
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{Maker, Old, of_each};
use crate::cli::{ebb, ebb_with_input};
use crate::support::{create, fresh_address, id, options, rows_query, run};

const MOLECULE: &str = "c053009a-9b1d-44a7-8267-f5befdb03eb0";

/// Everything that reads, in words and in JSON.
fn read_all(place: &str) {
    for json in [&[][..], &["--json"]] {
        for arguments in [
            &[][..],
            &["log"],
            &[
                "log",
                "--search",
                "typo",
                "--actor",
                "",
                "--since",
                "2020-01-01",
            ],
            &["show", "1"],
            &["show", "20"],
            &["table"],
            &["table", "molecule"],
            &["table", "molecule", "--at-event", "6"],
            &["table", "molecule", "--at", "2020-02-17T03:09:48.810674"],
            &["history", "molecule", MOLECULE],
            &["rollback", "--before-event", "16", "--dry-run"],
            &["verify", "--drift"],
        ] {
            let all: Vec<&str> = ["-d", place]
                .iter()
                .chain(json)
                .chain(arguments)
                .copied()
                .collect();
            let read = ebb(&all).ends_with(0);
            assert_ne!(read.stdout(), "", "{arguments:?}");
        }
    }
}

of_each! {
    async fn every_write_is_refused_and_says_why(maker) {
        let mut old = Old::mad_lab(maker).await;
        old.their_rollback("2020-02-17T03:09:59.145749").await;
        let place = old.lab.argument();
        let before = old.whole().await;
        read_all(&place);
        for (arguments, input) in [
            (&["create", "molecule", r#"{"smiles": "X"}"#][..], ""),
            (&["update", "molecule", MOLECULE, r#"{"smiles": "X"}"#], ""),
            (&["delete", "molecule", MOLECULE], ""),
            (&["append", "-"], r#"{"event": "create", "type": "molecule", "data": {"smiles": "X"}}"#),
            (&["rollback", "--before-event", "16", "--yes"], ""),
            (&["undo", "--yes"], ""),
            (&["redo", "--yes"], ""),
            (&["--read-only", "undo", "--yes"], ""),
        ] {
            let all: Vec<&str> = ["-d", &place, "--json"].iter().chain(arguments).copied().collect();
            let error = ebb_with_input(&all, input).ends_with(3).error();
            assert_eq!(error["code"], "read-only", "{arguments:?}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("mdb or Molar") && message.contains("ebb init"), "{arguments:?}: {message}");
        }
        // The library refuses by itself.
        let store = &*old.lab.store;
        assert!(store.info().read_only.as_deref().is_some_and(|why| why.contains("mdb or Molar")));
        let refused = store.append(vec![create("molecule", id(1), json!({"smiles": "X"}))]).await;
        assert_eq!(refused.expect_err("read-only").code, ErrorCode::ReadOnly);
        let request = RollbackRequest::to(RollbackTarget::BeforeEvent(16));
        let confirmed = rollback::plan(store, request).await.unwrap().confirm(false).unwrap();
        for refused in [
            rollback::execute(store, &confirmed, &Control::default()).await,
            store.execute(&confirmed, &Control::default()).await,
        ] {
            assert_eq!(refused.expect_err("read-only").code, ErrorCode::ReadOnly);
        }
        // A demo there would overwrite it.
        ebb(&["-d", &place, "demo", "--no-tui"]).ends_with(3);
        assert_eq!(old.whole().await, before, "something was written");
    }

    async fn a_role_that_may_only_select_reads_everything(maker) {
        let mut old = Old::mad_lab(maker).await;
        old.their_rollback("2020-02-17T03:09:59.145749").await;
        let place = old.role("
            REVOKE ALL ON DATABASE {database} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;
            GRANT CONNECT ON DATABASE {database} TO {role};
            GRANT USAGE ON SCHEMA public, sourcing TO {role};
            GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
            GRANT SELECT ON sourcing.eventstore TO {role};
            DO $$ BEGIN IF to_regnamespace('\"user\"') IS NOT NULL THEN
                GRANT USAGE ON SCHEMA \"user\" TO {role}; GRANT SELECT ON \"user\".\"user\" TO {role};
            END IF; END $$;
        ").await;
        let before = old.whole().await;
        read_all(&place);
        let error = ebb(&["-d", &place, "--json", "create", "molecule", "{}"]).ends_with(3).error();
        assert_eq!(error["code"], "read-only");
        // The same as the owner sees.
        let reader = store::open(&place.parse().unwrap(), &options()).await.unwrap();
        let findings = verify::drift(&*reader).await.unwrap();
        assert_eq!(findings, verify::drift(&*old.lab.store).await.unwrap());
        assert_eq!((findings.events, findings.findings.len()), (50, 0));
        assert_eq!(old.whole().await, before, "something was written");
    }

    async fn init_refuses_it_and_changes_nothing(maker) {
        let old = Old::mad_lab(maker).await;
        let before = old.whole().await;
        let error = store::init(&old.lab.address, &options(), None).await.map(drop).expect_err("theirs");
        assert!(error.message.contains("mdb or Molar") && error.hint.is_some(), "{}", error.message);
        assert_eq!(old.whole().await, before, "something was written");
    }
}

/// Not ebb's own restraint alone: what a cast would write while a value is read, the server refuses.
#[test]
fn the_server_refuses_what_would_be_written_while_reading() {
    run(async {
        let old = Old::mad_lab(Maker::Mdb).await;
        let counted = "
            CREATE TABLE visits (at timestamptz);
            CREATE TYPE mood AS ENUM ('good');
            CREATE FUNCTION count_visit(mood) RETURNS json LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO public.visits VALUES (now()) RETURNING '1'::json $$;
            CREATE CAST (mood AS json) WITH FUNCTION count_visit(mood);
            ALTER TABLE molecule ADD COLUMN mood mood DEFAULT 'good';
        ";
        old.lab.sql(counted).await.unwrap();
        let place = old
            .role(
                "GRANT USAGE ON SCHEMA sourcing TO {role};
                 GRANT ALL ON ALL TABLES IN SCHEMA public, sourcing TO {role}",
            )
            .await;
        let before = old.whole().await;
        let address: Address = place.parse().unwrap();
        let store = store::open(&address, &options()).await.unwrap();
        let table = ebbtide::eventsourcing::inspect::table(&*store, "molecule").await;
        let refused = store
            .rows(&rows_query(&table.unwrap(), None, 10))
            .await
            .expect_err("it writes");
        assert_eq!(refused.code, ErrorCode::ReadOnly, "{}", refused.message);
        assert_eq!(old.whole().await, before, "something was written");
    });
}

/// A log of theirs may have been changed a little; what is like it and is not it stays refused.
#[test]
fn a_log_is_theirs_by_its_columns() {
    run(async {
        let theirs = include_str!("mdb.sql");
        for (column, other, opens) in [
            ("event varchar(2044)", "comment text, event text", true),
            ("uuid uuid", "uuid uuid, user_id text", true),
            (
                "\"timestamp\" timestamp ",
                "\"timestamp\" timestamptz ",
                false,
            ),
            ("data jsonb", "data json", false),
            ("uuid uuid", "uid uuid", false),
            ("id bigint", "id integer", false),
            ("event varchar(2044)", "event \"char\"", false),
        ] {
            assert!(theirs.contains(column));
            let (address, _directory) = fresh_address(Backend::Postgres).await;
            let Address::Postgres(url) = &address else {
                unreachable!("it was asked for")
            };
            let sql = theirs.replace(column, other);
            let mut client = PgConnection::connect(url).await.unwrap();
            client
                .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
                .await
                .unwrap();
            client.close().await.unwrap();
            match (store::open(&address, &options()).await, opens) {
                (Ok(store), true) => assert_eq!(store.head().await.unwrap(), 0, "{other}"),
                (Err(refused), false) => {
                    assert_eq!(refused.code, ErrorCode::NoEventStore, "{other}");
                    let message = &refused.message;
                    assert!(message.contains("ebb did not make"), "{other}: {message}");
                }
                (opened, _) => panic!("{other}: {:?}", opened.map(drop)),
            }
        }
    });
}
