//! Opening and making: each thing that can be wrong is a sentence with a hint, and nothing is written.

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, Result};
use ebbtide::store::{self, Address, OpenOptions};
use serde_json::json;

use super::schema;
use crate::support::{Database, create, fresh_address, id, on_both, options, run, server};

async fn refusal(address: &Address) -> ebbtide::eventsourcing::Error {
    let opened: Result<_> = store::open(address, &options()).await;
    let error = match opened {
        Ok(_) => panic!("{address} was opened"),
        Err(error) => error,
    };
    assert!(error.hint.is_some(), "no hint: {}", error.message);
    error
}

#[test]
fn a_missing_file_is_not_created() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none.db");
        let error = refusal(&Address::Sqlite(path.clone())).await;
        assert_eq!(error.code, ErrorCode::FileNotFound);
        assert!(error.message.contains("none.db"));
        assert!(!path.exists());
    });
}

#[test]
fn a_directory_and_a_text_file_are_no_databases() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let error = refusal(&Address::Sqlite(directory.path().to_owned())).await;
        assert_eq!(error.code, ErrorCode::NotADatabase);
        let path = directory.path().join("notes.txt");
        let text = "these are my notes and no database at all\n".repeat(100);
        std::fs::write(&path, &text).unwrap();
        let address = Address::Sqlite(path.clone());
        let opened = store::open(&address, &options())
            .await
            .map(drop)
            .expect_err("text");
        assert_eq!(opened.code, ErrorCode::NotADatabase, "{}", opened.message);
        let made = store::init(&address, &options(), None)
            .await
            .map(drop)
            .expect_err("text");
        assert_eq!(made.code, ErrorCode::NotADatabase, "{}", made.message);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text,
            "it was left as it is"
        );
    });
}

#[test]
fn a_locked_file_says_so() {
    run(async {
        use sqlx::{Connection, Executor, SqliteConnection};
        let lab = Database::with(Backend::Sqlite, &schema(Backend::Sqlite)).await;
        let url = format!("sqlite:{}", lab.argument());
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        let refused = lab
            .store
            .append(vec![create("sample", id(1), json!({"name": "a"}))])
            .await;
        let error = refused.expect_err("locked");
        assert_eq!(error.code, ErrorCode::Locked, "{}", error.message);
        assert!(error.hint.is_some());
        // Readers do not wait.
        assert_eq!(lab.store.head().await.unwrap(), 0);
        other.execute("ROLLBACK").await.unwrap();
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))])
            .await;
    });
}

#[test]
fn a_server_that_is_away_says_so() {
    run(async {
        // Port 1 of this machine: nobody listens there.
        let address = "postgres://u:s3cret@127.0.0.1:1/lab".parse().unwrap();
        let error = refusal(&address).await;
        assert_eq!(error.code, ErrorCode::Unreachable);
        assert!(error.message.contains("127.0.0.1:1"), "{}", error.message);
        assert!(!format!("{error:?}").contains("s3cret"));
    });
}

#[test]
fn a_wrong_password_is_never_echoed() {
    run(async {
        let wrong = server().replace("ebb-test", "wr0ngword");
        let error = refusal(&Address::Postgres(wrong)).await;
        assert_eq!(error.code, ErrorCode::LoginRefused, "{}", error.message);
        assert!(!format!("{error:?}").contains("wr0ngword"));
    });
}

#[test]
fn a_database_that_the_server_does_not_have_is_named() {
    run(async {
        let url = server();
        let (place, _) = url.rsplit_once('/').unwrap();
        let error = refusal(&Address::Postgres(format!("{place}/no_such_lab"))).await;
        assert_eq!(error.code, ErrorCode::BadAddress);
        assert!(error.message.contains("no_such_lab"));
    });
}

on_both! {
    async fn a_database_without_an_event_store_says_so(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let (address, _directory) = fresh_address(backend).await;
        if let Address::Sqlite(path) = &address {
            std::fs::write(path, "").unwrap();
        }
        let error = refusal(&address).await;
        assert_eq!(error.code, ErrorCode::NoEventStore, "{}", error.message);
        assert!(error.hint.unwrap().contains("ebb init"));
        drop(lab);
    }

    async fn an_event_store_of_a_newer_program_is_left_alone(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        let (table, blob) = match backend {
            Backend::Sqlite => ("ebb_migrations", "x'00'"),
            Backend::Postgres => ("sourcing.ebb_migrations", "'\\x00'"),
        };
        lab.sql(&format!(
            "INSERT INTO {table} (version, description, success, checksum, execution_time) VALUES (9999, 'future', true, {blob}, 0)"
        )).await.unwrap();
        let error = refusal(&lab.address).await;
        assert_eq!(error.code, ErrorCode::StoreTooNew, "{}", error.message);
        let made = store::init(&lab.address, &options(), None).await.map(drop).expect_err("newer");
        assert_eq!(made.code, ErrorCode::StoreTooNew, "{}", made.message);
    }

    async fn init_again_keeps_the_log(backend) {
        let lab = Database::mad_lab(backend).await;
        let again = store::init(&lab.address, &options(), None).await.unwrap().store;
        assert_eq!(again.head().await.unwrap(), 18);
        lab.assert_no_drift().await;
    }

    async fn a_schema_that_fails_changes_nothing(backend) {
        let (address, _directory) = fresh_address(backend).await;
        let broken = "CREATE TABLE fine (fine_id TEXT PRIMARY KEY); CREATE TABEL broken ()";
        let error = store::init(&address, &options(), Some(broken)).await.map(drop).expect_err("broken");
        assert!(error.message.contains("nothing was changed"), "{}", error.message);
        match &address {
            Address::Sqlite(path) => assert!(!path.exists()),
            Address::Postgres(_) => assert_eq!(refusal(&address).await.code, ErrorCode::NoEventStore),
        }
    }

    async fn an_event_store_of_another_program_is_left_alone(backend) {
        let (address, _directory) = fresh_address(backend).await;
        let make = match backend {
            Backend::Sqlite => "CREATE TABLE eventstore (id INTEGER PRIMARY KEY, event TEXT)",
            Backend::Postgres => "CREATE SCHEMA sourcing; CREATE TABLE sourcing.eventstore (id bigint PRIMARY KEY, event text)",
        };
        match &address {
            Address::Sqlite(path) => {
                use sqlx::{Connection, Executor};
                let url = format!("sqlite:{}?mode=rwc", path.display());
                sqlx::SqliteConnection::connect(&url).await.unwrap().execute(make).await.unwrap();
            }
            Address::Postgres(url) => {
                use sqlx::{Connection, Executor};
                sqlx::PgConnection::connect(url).await.unwrap().execute(sqlx::raw_sql(make)).await.unwrap();
            }
        }
        assert_eq!(refusal(&address).await.code, ErrorCode::NoEventStore);
        let made = store::init(&address, &options(), None).await.map(drop).expect_err("foreign");
        assert!(made.message.contains("ebb did not make"), "{}", made.message);
    }

    async fn read_only_is_enforced_by_the_database(backend) {
        let lab = Database::mad_lab(backend).await;
        let read_only = OpenOptions { read_only: true, ..options() };
        let store = store::open(&lab.address, &read_only).await.unwrap();
        assert!(store.info().read_only.is_some());
        assert_eq!(store.head().await.unwrap(), 18);
        let error = store.append(vec![create("molecule", id(1), json!({"smiles": "X"}))]).await.expect_err("read-only");
        assert_eq!(error.code, ErrorCode::ReadOnly, "{}", error.message);
        assert_eq!(lab.store.head().await.unwrap(), 18);
    }
}
