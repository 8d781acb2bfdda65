//! Whose code runs with the event store's rights: only that of roles it trusts (§2, §3).

use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, inspect};
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::{HOSTILE_OPERATORS, login, login_url, name, refusal, run_sql, superuser};
use crate::cli::ebb;
use crate::support::{Database, create, delete, fresh_address, id, options, row, rows_query, run};

const TABLES: &str = "
    CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text);
    CREATE TABLE proof (who text);
    GRANT INSERT ON proof TO PUBLIC;
";

/// A writer with a schema of her own, whose functions note who they run as.
async fn mallory(lab: &Database) -> PgConnection {
    let mallory = login(lab, "mallory", "writer").await;
    lab.sql(&format!(
        "CREATE SCHEMA mine AUTHORIZATION mallory_{}; GRANT USAGE ON SCHEMA mine TO PUBLIC;
         GRANT TRIGGER, REFERENCES ON thing TO mallory_{0}",
        name(lab)
    ))
    .await
    .unwrap();
    let mut client = mallory;
    run_sql(
        &mut client,
        "CREATE FUNCTION mine.prove() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.proof VALUES (current_user); RETURN false; END $$;
         CREATE FUNCTION mine.proving() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN NEW; END $$",
    )
    .await
    .unwrap();
    client
}

/// Who her code has run as, besides herself.
async fn ran_as(lab: &Database) -> Vec<String> {
    sqlx::query_scalar("SELECT DISTINCT who FROM proof WHERE who NOT LIKE 'mallory%'")
        .fetch_all(&mut superuser(lab).await)
        .await
        .unwrap()
}

const ROLLBACK: &str = r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-01-01"}')"#;

const CREATE: &str = "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'thing')";

#[test]
fn a_trigger_of_somebody_elses_gives_no_rights() {
    run(async {
        for trigger in [
            "CREATE TRIGGER theirs BEFORE INSERT ON public.thing FOR EACH ROW EXECUTE FUNCTION mine.proving()",
            "CREATE TRIGGER theirs BEFORE INSERT ON public.thing FOR EACH ROW WHEN (mine.prove()) EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ] {
            let lab = Database::with(Backend::Postgres, TABLES).await;
            let mut mallory = mallory(&lab).await;
            run_sql(&mut mallory, trigger).await.unwrap();
            let (state, message) = refusal(&mut mallory, CREATE).await;
            assert_eq!(state, "EB002", "{message}");
            assert!(
                message.contains("theirs") && message.contains("mallory"),
                "{message}"
            );
            assert_eq!(ran_as(&lab).await, [""; 0]);
            lab.sql("DROP TRIGGER theirs ON thing").await.unwrap();
            run_sql(&mut mallory, CREATE).await.unwrap();
        }
    });
}

#[test]
fn a_reference_of_somebody_elses_gives_no_rights() {
    run(async {
        let lab = Database::with(Backend::Postgres, TABLES).await;
        let mut mallory = mallory(&lab).await;
        lab.append(vec![
            create("thing", id(1), json!({})),
            create("thing", id(2), json!({})),
        ])
        .await;
        run_sql(
            &mut mallory,
            &format!(
                "CREATE TABLE mine.note (n int, thing uuid REFERENCES public.thing ON DELETE CASCADE ON UPDATE CASCADE);
                 INSERT INTO mine.note VALUES (1, '{}');
                 ALTER TABLE mine.note ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY theirs ON mine.note USING (mine.prove());
                 GRANT ALL ON mine.note TO PUBLIC",
                id(1)
            ),
        )
        .await
        .unwrap();
        // Her row stands in the way, and another's does not.
        let error = lab.refused(vec![delete("thing", id(1))]).await;
        assert_eq!(error.code, ErrorCode::UntrackedTable, "{}", error.message);
        lab.append(vec![delete("thing", id(2))]).await;
        assert_eq!(ran_as(&lab).await, [""; 0]);
        // A rollback cannot look at her table.
        let mut client = superuser(&lab).await;
        let (state, message) = refusal(&mut client, ROLLBACK).await;
        assert_eq!(state, "EB013", "{message}");
        assert!(
            message.contains("mine.note") && message.contains("mallory"),
            "{message}"
        );
        // One that takes no row away does not have to.
        lab.roll_back(RollbackTarget::BeforeEvent(3), Strategy::Minimal)
            .await
            .unwrap();
        assert_eq!(ran_as(&lab).await, [""; 0]);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_temporary_table_does_not_stand_in_for_one_that_a_trigger_names() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            &format!(
                "{TABLES}
                 CREATE SCHEMA lab; CREATE TABLE lab.audit (name text); GRANT USAGE ON SCHEMA lab TO PUBLIC; GRANT INSERT ON lab.audit TO PUBLIC;
                 CREATE FUNCTION acting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF NEW.name IS NOT NULL THEN INSERT INTO audit VALUES (NEW.name); END IF; RETURN NEW; END $$;
                 CREATE TRIGGER acting BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION acting()"
            ),
        )
        .await;
        let mut mallory = mallory(&lab).await;
        let event = r#"INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'thing', '{"name": "a"}')"#;
        assert_eq!(refusal(&mut mallory, event).await.0, "42P01");
        // A temporary table is nothing bad in itself.
        run_sql(
            &mut mallory,
            "CREATE TEMP TABLE loaded (n serial, at timestamptz DEFAULT now(), name text CHECK (name <> ''))",
        )
        .await
        .unwrap();
        run_sql(&mut mallory, CREATE).await.unwrap();
        for audit in [
            "CREATE TEMP TABLE audit (name text); CREATE TRIGGER theirs BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION mine.proving()",
            "CREATE TEMP TABLE audit (name text, x boolean DEFAULT mine.prove())",
            "CREATE TEMP TABLE audit (name text CHECK (NOT mine.prove()))",
            "CREATE TEMP TABLE audit (name text); CREATE RULE theirs AS ON INSERT TO audit DO ALSO SELECT mine.prove()",
            "CREATE TEMP TABLE audit (name text); ALTER TABLE audit ENABLE ROW LEVEL SECURITY; CREATE POLICY theirs ON audit WITH CHECK (NOT mine.prove())",
            "CREATE DOMAIN mine.proven AS text CHECK (NOT mine.prove()); CREATE TEMP TABLE audit (name mine.proven)",
            "CREATE TEMP VIEW audit AS SELECT name FROM public.thing WHERE mine.prove()",
        ] {
            run_sql(
                &mut mallory,
                &format!("{audit}; GRANT ALL ON audit TO PUBLIC"),
            )
            .await
            .unwrap();
            let (state, message) = refusal(&mut mallory, event).await;
            assert_eq!(state, "42501", "{audit}: {message}");
            assert!(message.contains("audit"), "{message}");
            assert_eq!(ran_as(&lab).await, [""; 0], "{audit}");
            run_sql(&mut mallory, "DISCARD TEMP").await.unwrap();
        }
    });
}

#[test]
fn a_table_whose_rows_are_hidden_from_the_event_store_takes_no_part() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, lab text);
             CREATE TABLE note (note_id uuid PRIMARY KEY, lab text, thing uuid REFERENCES thing ON DELETE CASCADE);
             ALTER TABLE note ENABLE ROW LEVEL SECURITY;
             CREATE POLICY theirs ON note USING (lab = current_setting('app.lab', true))",
        )
        .await;
        let owned_by = async |role: &str| {
            lab.sql(&format!("ALTER TABLE sourcing.eventstore OWNER TO {role}"))
                .await
                .unwrap();
        };
        // From a superuser no rows are hidden.
        let role_owns = lab.grants_settings().await;
        if !role_owns {
            lab.append(vec![create("note", id(9), json!({"lab": "a"}))])
                .await;
            lab.append(vec![delete("note", id(9))]).await;
            owned_by(&format!("{}_owner", name(&lab))).await;
        }
        let error = lab
            .refused(vec![create("note", id(1), json!({"lab": "a"}))])
            .await;
        assert_eq!(error.code, ErrorCode::UntrackedTable, "{}", error.message);
        assert!(error.message.contains("BYPASSRLS"), "{}", error.message);
        // With that right it sees them all, and so does a rollback, whatever the session's settings.
        lab.sql(&format!("ALTER ROLE {}_owner BYPASSRLS", name(&lab)))
            .await
            .unwrap();
        if !role_owns {
            let tables = lab.store.tables().await.unwrap();
            let note = tables.iter().find(|table| table.name == "note");
            assert_eq!(note.unwrap().key(), Some("note_id"));
            owned_by("postgres").await;
        }
        let before = lab.store.head().await.unwrap();
        lab.append(vec![
            create("thing", id(1), json!({})),
            create("note", id(2), json!({"lab": "a", "thing": id(1)})),
            create("note", id(3), json!({"lab": "b", "thing": id(1)})),
        ])
        .await;
        let mut client = superuser(&lab).await;
        run_sql(&mut client, &format!("SET app.lab = 'a'; INSERT INTO sourcing.eventstore (event, type, uuid) VALUES ('delete', 'thing', '{}')", id(1)))
            .await
            .unwrap();
        assert_eq!(lab.store.head().await.unwrap(), before + 6);
        run_sql(&mut client, ROLLBACK).await.unwrap();
        assert_eq!(lab.rows().await, []);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_table_of_a_strangers_runs_nothing_as_whoever_looks_at_it() {
    run(async {
        let lab = Database::with(Backend::Postgres, TABLES).await;
        let mut mallory = mallory(&lab).await;
        lab.append(vec![create("thing", id(1), json!({}))]).await;
        run_sql(
            &mut mallory,
            &format!(
                "CREATE TABLE mine.note (n int PRIMARY KEY, thing uuid REFERENCES public.thing);
                 ALTER TABLE mine.note ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY theirs ON mine.note USING (mine.prove());
                 CREATE TYPE mine.mood AS ENUM ('good');
                 CREATE FUNCTION mine.cast(mine.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN '1'; END $$;
                 CREATE CAST (mine.mood AS json) WITH FUNCTION mine.cast(mine.mood);
                 CREATE FUNCTION mine.words(mine.mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN 'good'; END $$;
                 CREATE CAST (mine.mood AS text) WITH FUNCTION mine.words(mine.mood);
                 CREATE TABLE mine.moody (mood mine.mood PRIMARY KEY, moods mine.mood[], n float8, nothing mine.mood);
                 CREATE TABLE mine.honest (n int PRIMARY KEY, thing uuid REFERENCES public.thing);
                 INSERT INTO mine.note VALUES (1, NULL);
                 INSERT INTO mine.moody VALUES ('good', '{{good,NULL}}', 1.5, NULL);
                 INSERT INTO mine.honest VALUES (1, '{}');
                 GRANT SELECT ON ALL TABLES IN SCHEMA mine TO PUBLIC",
                id(1)
            ),
        )
        .await
        .unwrap();
        let url = login_url(&lab, "tga", "operator").await;
        let store = store::open(&Address::Postgres(url.clone()), &options())
            .await
            .unwrap();

        // The plan names what it does not look into, and so does the database.
        let request = RollbackRequest::to(RollbackTarget::BeforeEvent(1));
        let plan = rollback::plan(&*store, request).await.unwrap();
        let said: Vec<&str> = plan.blockers.iter().map(|b| b.message.as_str()).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        for (said, table) in said.iter().zip(["mine.honest", "mine.note"]) {
            assert!(said.contains(table) && said.contains("mallory"), "{said}");
        }
        let mut operator = PgConnection::connect(&url).await.unwrap();
        let (state, message) = refusal(&mut operator, ROLLBACK).await;
        assert_eq!(state, "EB013", "{message}");

        // What her policy would hide is not read; the rest is, by what the server alone knows of it.
        let table = inspect::table(&*store, "mine.note").await.unwrap();
        for error in [
            store.row_count(&table).await.expect_err("a policy"),
            store
                .rows(&rows_query(&table, None, 9))
                .await
                .map(drop)
                .expect_err("a policy"),
        ] {
            assert_eq!(error.code, ErrorCode::NotAllowed, "{}", error.message);
            assert!(
                error
                    .message
                    .starts_with("the rows of mine.note cannot be read"),
                "{}",
                error.message
            );
            assert!(error.hint.is_some_and(|hint| hint.contains("BYPASSRLS")));
        }
        for (name, expected) in [
            ("mine.honest", json!({"n": 1, "thing": id(1)})),
            (
                "mine.moody",
                json!({"mood": "good", "moods": "{good,NULL}", "n": 1.5, "nothing": null}),
            ),
        ] {
            let table = inspect::table(&*store, name).await.unwrap();
            assert_eq!(store.row_count(&table).await.unwrap(), 1);
            let page = store.rows(&rows_query(&table, None, 9)).await.unwrap();
            let rows: Vec<_> = page.rows.into_iter().map(|found| found.row).collect();
            assert_eq!(rows, [row(expected)]);
        }
        let listed = ebb(&["-d", &url, "table"]).ends_with(0).stdout();
        assert!(
            listed.contains("mine.honest") && listed.contains("cannot be read"),
            "{listed}"
        );
        assert_eq!(ran_as(&lab).await, [""; 0]);
        store.close().await;
    });
}

#[test]
fn a_partition_of_somebody_elses_gives_no_rights() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            &format!(
                "{TABLES}
                 CREATE TABLE parted (parted_id uuid PRIMARY KEY, name text) PARTITION BY HASH (parted_id);
                 CREATE TABLE branch PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY HASH (parted_id);
                 CREATE TABLE part PARTITION OF branch FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
            ),
        )
        .await;
        let mut mallory = mallory(&lab).await;
        lab.append(vec![create("parted", id(1), json!({}))]).await;
        let owner = format!("mallory_{}", name(&lab));
        lab.sql(&format!("ALTER TABLE part OWNER TO {owner}"))
            .await
            .unwrap();
        run_sql(
            &mut mallory,
            "ALTER TABLE part ADD CHECK (NOT mine.prove())",
        )
        .await
        .unwrap();
        let create = "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'parted')";
        let (state, message) = refusal(&mut mallory, create).await;
        assert_eq!(state, "EB002", "{message}");
        assert!(
            message.contains("part") && message.contains(&owner),
            "{message}"
        );
        let (state, message) = refusal(&mut superuser(&lab).await, ROLLBACK).await;
        assert_eq!(state, "EB013", "{message}");
        assert_eq!(ran_as(&lab).await, [""; 0]);
        lab.sql("ALTER TABLE part OWNER TO postgres").await.unwrap();
        lab.sql("ALTER TABLE part DROP CONSTRAINT part_check")
            .await
            .unwrap();
        run_sql(&mut mallory, create).await.unwrap();
    });
}

#[test]
fn init_does_not_look_where_strangers_may_put_operators() {
    run(async {
        let (address, _directory) = fresh_address(Backend::Postgres).await;
        let Address::Postgres(url) = &address else {
            panic!("a PostgreSQL database");
        };
        let mut client = PgConnection::connect(url).await.unwrap();
        run_sql(&mut client, HOSTILE_OPERATORS).await.unwrap();
        for schema in [None, Some("CREATE TABLE thing (thing_id uuid PRIMARY KEY)")] {
            let made = store::init(&address, &options(), schema).await.unwrap();
            made.store.close().await;
        }
        let proof: Vec<String> = sqlx::query_scalar("SELECT DISTINCT who FROM public.proof")
            .fetch_all(&mut client)
            .await
            .unwrap();
        assert_eq!(proof, [""; 0], "a stranger's operator ran");
    });
}
