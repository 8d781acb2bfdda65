//! Who may do what, and what a client tries that may not (§2 to §4).

use ebbtide::eventsourcing::rollback::RollbackTarget;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use ebbtide::eventsourcing::{ErrorCode, verify};
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::PgConnection;

use super::{login, login_url, name, refusal, run_sql, superuser};
use crate::support::{Database, create, id, options, run};

const CREATE: &str = r#"INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'fragment', '{"smiles": "X"}')"#;

/// Neither the log nor the tables may change.
struct Unchanged {
    log: Vec<ebbtide::eventsourcing::Event>,
    rows: Vec<(String, ebbtide::eventsourcing::Row)>,
}

impl Unchanged {
    async fn now(lab: &Database) -> Self {
        Self {
            log: lab.log().await,
            rows: lab.rows().await,
        }
    }

    async fn check(&self, lab: &Database, after: &str) {
        assert_eq!(lab.log().await, self.log, "the log after {after}");
        assert_eq!(lab.rows().await, self.rows, "the tables after {after}");
    }
}

async fn refused_with(client: &mut PgConnection, state: &str, sql: &str) {
    let (found, message) = refusal(client, sql).await;
    assert_eq!(found, state, "{sql}: {message}");
}

#[test]
fn a_writer_writes_events_and_nothing_else() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut writer = login(&lab, "nmr", "writer").await;
        run_sql(&mut writer, CREATE).await.unwrap();
        let actor: String =
            sqlx::query_scalar("SELECT actor FROM sourcing.eventstore WHERE id = 19")
                .fetch_one(&mut writer)
                .await
                .unwrap();
        assert_eq!(actor, format!("nmr_{}", name(&lab)));

        let unchanged = Unchanged::now(&lab).await;
        for sql in [
            "INSERT INTO fragment SELECT gen_random_uuid(), now(), now(), '{}', 'Y'",
            "UPDATE fragment SET smiles = 'Y'",
            "DELETE FROM molecule_fragment",
            "TRUNCATE xy_data",
            "ALTER TABLE fragment ADD COLUMN x int",
            "UPDATE sourcing.eventstore SET actor = 'x'",
            "DELETE FROM sourcing.eventstore",
            "TRUNCATE sourcing.eventstore",
            "ALTER TABLE sourcing.eventstore DISABLE TRIGGER ALL",
            "DROP TRIGGER b_accept ON sourcing.eventstore",
            "UPDATE sourcing.writer SET expanding = 0",
            "DELETE FROM sourcing.writer",
            "SELECT * FROM sourcing.writer FOR UPDATE",
            "INSERT INTO sourcing.deleting VALUES (1, gen_random_uuid())",
            "DELETE FROM sourcing.seen",
            "UPDATE sourcing.seen SET may_wait = '{}'",
            "INSERT INTO sourcing.batch VALUES ('{create}', '{fragment}', '{NULL}', ARRAY['{}'::jsonb])",
            "DELETE FROM sourcing.touched",
            "INSERT INTO sourcing.ebb_migrations DEFAULT VALUES",
            "CREATE TABLE sourcing.mine (x int)",
            "CREATE OR REPLACE FUNCTION sourcing.may_roll_back() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
            "SELECT sourcing.make_roles()",
            "SELECT sourcing.run('DROP TABLE fragment', NULL, NULL)",
            "SELECT sourcing.apply('x', sourcing.shape('fragment'), 'delete', gen_random_uuid(), '{}', now(), now())",
            "SELECT sourcing.apply_run('delete', sourcing.shape('fragment'), '{}', '{}', '{}', true)",
            "SELECT sourcing.write_touched()",
            "SELECT sourcing.may_roll_back()",
            "SELECT setval('sourcing.inserted', 0)",
            "SELECT nextval('sourcing.inserted')",
        ] {
            refused_with(&mut writer, "42501", sql).await;
        }
        unchanged.check(&lab, "what a writer may not").await;
    });
}

#[test]
fn what_the_event_store_gives_cannot_be_given() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut writer = login(&lab, "nmr", "writer").await;
        let unchanged = Unchanged::now(&lab).await;
        for (state, column, value) in [
            ("EB008", "id", "19"),
            ("EB008", "id", "-1"),
            ("EB008", "hash", "'\\x00'"),
            ("EB008", "origin", "3"),
            ("EB008", "filled", "'{\"smiles\": \"Y\"}'"),
            ("EB008", "actor", "'tga'"),
            ("42501", "\"timestamp\"", "'2020-02-17 03:11'"),
            ("42501", "\"timestamp\"", "now()"),
        ] {
            refused_with(
                &mut writer,
                state,
                &format!("INSERT INTO sourcing.eventstore (event, type, data, {column}) VALUES ('create', 'fragment', '{{\"smiles\": \"X\"}}', {value})"),
            )
            .await;
        }
        for (state, event) in [
            (
                "EB009",
                "('restore', 'fragment', '93d1dd17-8f7b-4f61-8cb4-dbeab0e7730f', '{\"smiles\": \"X\"}')",
            ),
            (
                "EB009",
                "('rollback-end', NULL, NULL, '{\"before\": \"2020-02-17\"}')",
            ),
            (
                "42501",
                "('rollback', NULL, NULL, '{\"before\": \"2020-02-17\"}')",
            ),
            ("EB007", "('drop', 'fragment', NULL, '{}')"),
            ("EB007", "(NULL, 'fragment', NULL, '{}')"),
            ("EB005", "('create', 'fragment', NULL, '[]')"),
            ("EB005", "('create', NULL, NULL, '{}')"),
        ] {
            refused_with(
                &mut writer,
                state,
                &format!(
                    "INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES {event}"
                ),
            )
            .await;
        }
        // The same by the function that programs call.
        for (kind, moment) in [
            ("create", "now()"),
            ("create", "'2020-01-01'"),
            ("restore", "NULL"),
            ("rollback", "NULL"),
        ] {
            for count in [1, 5] {
                let (state, message) = refusal(
                    &mut writer,
                    &format!(
                        "SELECT sourcing.append(array_agg('{kind}'::text), array_agg(CASE '{kind}' WHEN 'rollback' THEN NULL ELSE 'fragment'::text END), array_agg(NULL::uuid),
                                array_agg(jsonb_build_object('smiles', i)), array_agg({moment}::timestamptz)) FROM generate_series(1, {count}) AS i"
                    ),
                )
                .await;
                assert!(
                    ["42501", "EB009"].contains(&state.as_str()),
                    "{kind} {moment}: {state} {message}"
                );
                assert!(message.starts_with("event 1: "), "{message}");
            }
        }
        unchanged.check(&lab, "forgeries").await;
    });
}

#[test]
fn no_setting_of_a_session_switches_a_check_off() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut writer = login(&lab, "nmr", "writer").await;
        refused_with(
            &mut writer,
            "42501",
            "SET session_replication_role = replica",
        )
        .await;
        run_sql(&mut writer, "CREATE TEMP TABLE writer (only_one boolean, transaction xid8, stamp timestamptz, expanding integer); INSERT INTO writer VALUES (true, NULL, NULL, 0)")
            .await
            .unwrap();
        for setting in [
            "search_path = pg_temp, sourcing, public",
            "standard_conforming_strings = off",
            "transform_null_equals = on",
            "array_nulls = off",
            "DateStyle = 'SQL, DMY'",
            "TimeZone = 'Asia/Kolkata'",
            "IntervalStyle = 'sql_standard'",
            "bytea_output = 'escape'",
            "extra_float_digits = -15",
            "xmloption = 'document'",
            "quote_all_identifiers = on",
            "row_security = off",
            "check_function_bodies = off",
            "constraint_exclusion = on",
            "enable_indexscan = off",
            "jit_above_cost = 0",
            "ebb.person = 'postgres'",
            "default_transaction_deferrable = on",
        ] {
            run_sql(&mut writer, &format!("SET {setting}"))
                .await
                .unwrap();
            refused_with(&mut writer, "EB008", "INSERT INTO sourcing.eventstore (event, type, data, actor) VALUES ('create', 'fragment', '{}', 'tga')").await;
            refused_with(&mut writer, "EB003", "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'fragment', '{\"nonsense\": 1}')").await;
            refused_with(&mut writer, "P0002", "INSERT INTO sourcing.eventstore (event, type, uuid) VALUES ('delete', 'fragment', '10000000-0000-4000-8000-000000000099')").await;
        }
        run_sql(&mut writer, r#"INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'fragment', $${"smiles": "\\", "metadata": {"a": [null]}}$$)"#)
            .await
            .unwrap();
        lab.assert_no_drift().await;
        let event = lab.store.event(19).await.unwrap().unwrap();
        assert_eq!(
            event.actor,
            format!("nmr_{}/postgres", name(&lab)),
            "the role comes first, whatever the person is called"
        );
        run_sql(&mut writer, "RESET ALL").await.unwrap();

        // Whoever may set it is told, rather than left with rows that no constraint has seen.
        let mut owner = superuser(&lab).await;
        refused_with(
            &mut owner,
            "55000",
            &format!("SET session_replication_role = replica; {CREATE}"),
        )
        .await;
        for sql in [
            "UPDATE sourcing.eventstore SET actor = 'x'",
            "DELETE FROM sourcing.eventstore",
            "TRUNCATE sourcing.eventstore",
        ] {
            refused_with(
                &mut owner,
                "EB012",
                &format!("SET session_replication_role = replica; {sql}"),
            )
            .await;
        }
    });
}

#[test]
fn type_reaches_tables_that_take_part_and_nothing_else() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        lab.sql(
            "CREATE VIEW seen AS SELECT * FROM fragment;
             CREATE MATERIALIZED VIEW kept AS SELECT * FROM fragment;
             CREATE SEQUENCE numbers;
             CREATE TABLE parted (parted_id uuid PRIMARY KEY, name text) PARTITION BY HASH (parted_id);
             CREATE TABLE part PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
             CREATE SCHEMA a; CREATE TABLE a.b (b_id uuid PRIMARY KEY); CREATE TABLE \"a.b\" (b_id uuid PRIMARY KEY)",
        )
        .await
        .unwrap();
        let mut writer = login(&lab, "nmr", "writer").await;
        run_sql(
            &mut writer,
            "CREATE TEMP TABLE fragments (fragment_id uuid PRIMARY KEY)",
        )
        .await
        .unwrap();
        let unchanged = Unchanged::now(&lab).await;
        for name in [
            "sourcing.eventstore",
            "sourcing.writer",
            "eventstore",
            "pg_catalog.pg_class",
            "pg_class",
            "information_schema.tables",
            "seen",
            "kept",
            "numbers",
            "part",
            "fragments",
            "pg_temp.fragments",
            "public.fragment",
            "Fragment",
            "fragment ",
            "\"fragment\"",
            "fragment; DROP TABLE fragment",
            "fragment'--",
            "",
            "fragment_pkey",
        ] {
            let (state, message) = refusal(
                &mut writer,
                &format!("INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', '{}', '{{}}')", name.replace('\'', "''")),
            )
            .await;
            assert!(
                ["EB001", "EB002"].contains(&state.as_str()),
                "{name}: {state} {message}"
            );
        }
        unchanged.check(&lab, "names of other things").await;
        for name in ["parted", "a.b"] {
            run_sql(
                &mut writer,
                &format!(
                    "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', '{name}')"
                ),
            )
            .await
            .unwrap();
        }
        let tables = lab.store.tables().await.unwrap();
        let named: Vec<bool> = tables
            .iter()
            .filter(|table| table.name == "a.b")
            .map(|table| table.key().is_some())
            .collect();
        assert_eq!(
            named.iter().filter(|tracked| **tracked).count(),
            1,
            "two tables of one name: one of them takes part"
        );
    });
}

#[test]
fn a_name_and_a_key_mean_one_row_only() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE SCHEMA a; CREATE SCHEMA \"a.b\"; CREATE SCHEMA x; CREATE SCHEMA \"x.y\";
             CREATE TABLE a.\"b.c\" (i uuid PRIMARY KEY); CREATE TABLE \"a.b\".c (i uuid PRIMARY KEY);
             CREATE TABLE \"x.y\".z (i uuid PRIMARY KEY); CREATE TABLE x.t (i int); CREATE INDEX \"y.z\" ON x.t (i);
             CREATE TABLE made (made_id uuid GENERATED ALWAYS AS (md5(name)::uuid) STORED PRIMARY KEY, name text)",
        )
        .await;
        let tables = lab.store.tables().await.unwrap();
        let tracked: Vec<bool> = tables
            .iter()
            .filter(|table| table.name == "a.b.c")
            .map(|table| table.key().is_some())
            .collect();
        assert_eq!(tracked.iter().filter(|tracked| **tracked).count(), 1);
        lab.append(vec![
            create("a.b.c", id(1), json!({})),
            // An index of that name is no table.
            create("x.y.z", id(2), json!({})),
        ])
        .await;
        // The database would choose another row than the event says.
        let error = lab
            .refused(vec![create("made", id(3), json!({"name": "a"}))])
            .await;
        assert_eq!(error.code, ErrorCode::UntrackedTable, "{}", error.message);
        assert!(error.message.contains("generated"), "{}", error.message);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_rollback_is_understood_in_any_session() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut client = superuser(&lab).await;
        run_sql(&mut client, r#"SET standard_conforming_strings = off; SET backslash_quote = off; INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17T03:09:59.145749"}')"#)
            .await
            .unwrap();
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_table_of_ones_own_gives_no_rights() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut writer = login(&lab, "mallory", "writer").await;
        let mallory = format!("mallory_{}", name(&lab));
        lab.sql(&format!("GRANT CREATE ON DATABASE {} TO {mallory}; CREATE TABLE proof (who text); GRANT INSERT ON proof TO PUBLIC", name(&lab)))
            .await
            .unwrap();
        run_sql(
            &mut writer,
            "CREATE SCHEMA mine;
             GRANT ALL ON SCHEMA mine TO PUBLIC;
             CREATE FUNCTION mine.prove() RETURNS text LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO public.proof VALUES (current_user); RETURN 'x'; END $$;
             CREATE FUNCTION mine.proving() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN NEW; END $$;
             CREATE TABLE mine.by_default (by_default_id uuid PRIMARY KEY, name text DEFAULT mine.prove());
             CREATE TABLE mine.by_trigger (by_trigger_id uuid PRIMARY KEY);
             CREATE TRIGGER proving BEFORE INSERT ON mine.by_trigger FOR EACH ROW EXECUTE FUNCTION mine.proving();
             CREATE TABLE mine.by_check (by_check_id uuid PRIMARY KEY, CHECK (mine.prove() = 'x'));
             CREATE FUNCTION mine.proven(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN mine.prove(); END $$;
             CREATE TABLE mine.by_generation (by_generation_id uuid PRIMARY KEY, a text, name text GENERATED ALWAYS AS (mine.proven(a)) STORED);
             CREATE DOMAIN mine.proof AS text CHECK (mine.prove() = VALUE);
             CREATE TABLE mine.by_domain (by_domain_id uuid PRIMARY KEY, name mine.proof);
             CREATE DOMAIN mine.key AS uuid CHECK (mine.prove() = 'x');
             CREATE TABLE mine.by_key (by_key_id mine.key PRIMARY KEY);
             GRANT ALL ON ALL TABLES IN SCHEMA mine TO PUBLIC",
        )
        .await
        .unwrap();
        for table in [
            "mine.by_default",
            "mine.by_trigger",
            "mine.by_check",
            "mine.by_generation",
            "mine.by_domain",
            "mine.by_key",
        ] {
            let (state, message) = refusal(
                &mut writer,
                &format!(
                    "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', '{table}')"
                ),
            )
            .await;
            assert_eq!(state, "EB002", "{message}");
            assert!(
                message.contains(&mallory) || message.contains("not uuid"),
                "{message}"
            );
        }
        // Functions and operators of one's own, found first by every name that is not pinned.
        run_sql(
            &mut writer,
            "CREATE FUNCTION mine.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN '{}'; END $$;
             CREATE FUNCTION mine.coerce(bigint, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN true; END $$;
             CREATE OPERATOR mine.= (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = mine.coerce);
             CREATE FUNCTION mine.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN mine.prove(); END $$;
             CREATE FUNCTION mine.pg_trigger_depth() RETURNS integer LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION mine.same(oid, regclass) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN true; END $$;
             CREATE OPERATOR mine.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = mine.same);
             CREATE FUNCTION mine.same(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN true; END $$;
             CREATE OPERATOR mine.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = mine.same);
             CREATE FUNCTION mine.same(jsonb, jsonb) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM mine.prove(); RETURN true; END $$;
             CREATE OPERATOR mine.<> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = mine.same)",
        )
        .await
        .unwrap();
        lab.sql("CREATE TABLE whole (whole_id uuid PRIMARY KEY); CREATE TABLE part (part_id uuid PRIMARY KEY, whole uuid REFERENCES whole ON DELETE CASCADE)")
            .await
            .unwrap();
        let first = "SET search_path = mine, pg_catalog, public";
        run_sql(&mut writer, first).await.unwrap();
        run_sql(&mut writer, CREATE).await.unwrap();
        let events = [
            ("create", "whole", id(1), json!({})),
            ("create", "part", id(2), json!({"whole": id(1)})),
            ("update", "part", id(2), json!({"whole": id(1)})),
            ("delete", "whole", id(1), json!({})),
        ];
        for (kind, table, uuid, data) in events {
            // As a program calls it, several of a kind at once included.
            run_sql(&mut writer, &format!("SELECT sourcing.append(ARRAY['{kind}'], ARRAY['{table}'], ARRAY['{uuid}'::uuid], ARRAY['{data}'::jsonb], ARRAY[NULL::timestamptz])"))
                .await
                .unwrap();
        }
        run_sql(&mut writer, "SELECT sourcing.append(array_agg('create'::text), array_agg('whole'::text), array_agg(NULL::uuid), array_agg('{}'::jsonb), array_agg(NULL::timestamptz)) FROM generate_series(1, 9)")
            .await
            .unwrap();
        let mut operator = login(&lab, "tga", "operator").await;
        run_sql(&mut operator, first).await.unwrap();
        run_sql(&mut operator, r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17T03:09:59.145749"}')"#)
            .await
            .unwrap();
        lab.assert_no_drift().await;
        let proofs: Vec<String> = sqlx::query_scalar("SELECT who FROM public.proof")
            .fetch_all(&mut superuser(&lab).await)
            .await
            .unwrap();
        assert_eq!(proofs, Vec::<String>::new(), "code of mallory's ran");
    });
}

#[test]
fn a_trigger_does_not_look_where_strangers_may_put_functions() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE proof (who text);
             CREATE TABLE thing (thing_id uuid PRIMARY KEY, name varchar(20));
             CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := lower(NEW.name); RETURN NEW; END $$;
             CREATE TRIGGER tidy BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION tidy();
             CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) $$;
             CREATE TABLE other (other_id uuid PRIMARY KEY, name text);
             CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := helper(NEW.name); RETURN NEW; END $$;
             CREATE TRIGGER shout BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION shout()",
        )
        .await;
        // While only trusted roles may make functions in public, triggers find theirs there.
        lab.append(vec![create("other", id(1), json!({"name": "a"}))])
            .await;
        assert_eq!(lab.row("other", id(1)).await.unwrap()["name"], "A");
        let mut writer = login(&lab, "mallory", "writer").await;
        let mallory = format!("mallory_{}", name(&lab));
        lab.sql(&format!(
            "GRANT CREATE ON SCHEMA public TO {mallory}; GRANT INSERT ON proof TO PUBLIC"
        ))
        .await
        .unwrap();
        run_sql(
            &mut writer,
            "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.proof VALUES (current_user); RETURN 'x'; END $$",
        )
        .await
        .unwrap();
        run_sql(&mut writer, r#"INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'thing', '{"name": "ABC"}')"#).await.unwrap();
        let error = lab
            .refused(vec![create("other", id(2), json!({"name": "b"}))])
            .await;
        let hint = error.hint.unwrap();
        assert!(hint.contains("REVOKE CREATE ON SCHEMA public"), "{hint}");
        let rows = lab.rows().await;
        assert!(
            rows.iter().all(|(table, _)| table != "proof"),
            "code of mallory's ran"
        );
        assert!(
            rows.iter()
                .any(|(table, row)| table == "thing" && row["name"] == "abc")
        );
    });
}

#[test]
fn an_operator_rolls_back_and_an_owner_imports() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut operator = login(&lab, "tga", "operator").await;
        run_sql(&mut operator, CREATE).await.unwrap();
        refused_with(&mut operator, "42501", r#"INSERT INTO sourcing.eventstore (event, type, data, "timestamp") VALUES ('create', 'fragment', '{"smiles": "Z"}', now())"#).await;
        run_sql(&mut operator, r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17T03:09:59.145749"}')"#).await.unwrap();
        assert_eq!(lab.rows().await.len(), 12);
        lab.assert_no_drift().await;
        refused_with(&mut operator, "42501", "DELETE FROM molecule").await;

        let role_owns = lab.grants_settings().await;
        let mut owner = login(&lab, "pi", "owner").await;
        run_sql(&mut owner, r#"INSERT INTO sourcing.eventstore (event, type, data, "timestamp") VALUES ('create', 'fragment', '{"smiles": "Z"}', now())"#).await.unwrap();
        for sql in [
            "UPDATE sourcing.eventstore SET actor = 'x'",
            "DELETE FROM sourcing.eventstore",
            "TRUNCATE sourcing.eventstore",
        ] {
            let state = match role_owns {
                true => "EB012",
                false => "42501",
            };
            refused_with(&mut owner, state, sql).await;
        }
        // A table of a member of the owner role takes part, where that role owns the event store: its code would run with the
        // rights of a superuser otherwise.
        run_sql(&mut owner, &format!("SET ROLE {}_owner", name(&lab)))
            .await
            .unwrap();
        lab.sql(&format!(
            "GRANT CREATE ON SCHEMA public TO {}_owner",
            name(&lab)
        ))
        .await
        .unwrap();
        run_sql(
            &mut owner,
            "CREATE TABLE sample (sample_id uuid PRIMARY KEY, name text)",
        )
        .await
        .unwrap();
        let event = r#"RESET ROLE; INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{"name": "a"}')"#;
        match role_owns {
            true => run_sql(&mut owner, event).await.unwrap(),
            false => {
                let (_, message) = refusal(&mut owner, event).await;
                assert!(message.contains("neither a superuser"), "{message}");
            }
        }
        lab.assert_no_drift().await;
    });
}

#[test]
fn ebb_works_with_each_roles_rights() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        // A table that is made afterwards is readable, and takes part.
        lab.sql("CREATE TABLE later (later_id uuid PRIMARY KEY)")
            .await
            .unwrap();
        let open = async |right: &str| {
            let url = login_url(&lab, &format!("somebody_{right}"), right).await;
            store::open(&Address::Postgres(url), &options())
                .await
                .unwrap()
        };
        let reader = open("reader").await;
        assert!(
            reader
                .info()
                .read_only
                .as_ref()
                .is_some_and(|why| why.contains("may only read")),
            "{:?}",
            reader.info()
        );
        assert_eq!(
            reader
                .page(&PageRequest {
                    filter: Filter::default(),
                    from: None,
                    until: None,
                    direction: Direction::Older,
                    limit: 100,
                    detail: Detail::Summary,
                })
                .await
                .unwrap()
                .entries
                .len(),
            18
        );
        assert!(
            reader
                .tables()
                .await
                .unwrap()
                .iter()
                .all(|table| table.key().is_some())
        );
        assert_eq!(verify::drift(&*reader).await.unwrap().findings, []);
        let error = reader
            .append(vec![create("later", id(1), json!({}))])
            .await
            .expect_err("a reader");
        assert_eq!(error.code, ErrorCode::NotAllowed, "{}", error.message);

        let writer = open("writer").await;
        assert_eq!(writer.info().read_only, None);
        writer
            .append(vec![create("later", id(1), json!({}))])
            .await
            .unwrap();
        let error = writer
            .append(vec![ebbtide::eventsourcing::NewEvent {
                timestamp: Some(chrono::Utc::now()),
                ..create("later", id(2), json!({}))
            }])
            .await
            .expect_err("a writer does not import");
        assert_eq!(error.code, ErrorCode::NotAllowed, "{}", error.message);

        let operator = open("operator").await;
        let request =
            ebbtide::eventsourcing::rollback::RollbackRequest::to(RollbackTarget::BeforeEvent(15));
        let plan = ebbtide::eventsourcing::rollback::plan(&*operator, request)
            .await
            .unwrap();
        assert_eq!(plan.blockers, []);
        ebbtide::eventsourcing::rollback::execute(
            &*operator,
            &plan.confirm(false).unwrap(),
            &ebbtide::eventsourcing::rollback::Control::default(),
        )
        .await
        .unwrap();
        assert_eq!(lab.rows().await.len(), 12);
        lab.assert_no_drift().await;
        for store in [reader, writer, operator] {
            store.close().await;
        }
    });
}

#[test]
fn without_the_right_to_make_roles_the_event_store_is_made_all_the_same() {
    run(async {
        let (address, _directory) = crate::support::fresh_address(Backend::Postgres).await;
        let Address::Postgres(url) = &address else {
            panic!("PostgreSQL")
        };
        let database = url.rsplit_once('/').unwrap().1;
        let mut admin = <PgConnection as sqlx::Connection>::connect(url)
            .await
            .unwrap();
        run_sql(&mut admin, &format!("CREATE ROLE alice_{database} LOGIN PASSWORD 'ebb-test'; ALTER DATABASE {database} OWNER TO alice_{database}; GRANT CREATE ON SCHEMA public TO alice_{database}")).await.unwrap();
        let own = Address::Postgres(
            url.replace("postgres:ebb-test", &format!("alice_{database}:ebb-test")),
        );
        let made = store::init(
            &own,
            &options(),
            Some("CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text)"),
        )
        .await
        .unwrap();
        let roles = made.roles.unwrap();
        assert!(roles.contains("may not create roles"), "{roles}");
        made.store
            .append(vec![create("thing", id(1), json!({"name": "a"}))])
            .await
            .unwrap();
        assert_eq!(verify::drift(&*made.store).await.unwrap().findings, []);
        made.store.close().await;

        // A role of that name which is somebody else's is left alone.
        run_sql(&mut admin, &format!("CREATE ROLE {database}_reader LOGIN"))
            .await
            .unwrap();
        let again = store::init(&address, &options(), None).await.unwrap();
        let roles = again.roles.unwrap();
        assert!(
            roles.contains(&format!("{database}_reader"))
                && roles.starts_with("no roles were made"),
            "{roles}"
        );
        again.store.close().await;
    });
}
