//! What `init` makes of functions and roles, whoever runs it (§3).

use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::verify;
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::{login, login_url, name, run_sql, superuser};
use crate::support::{Database, create, fresh_address, id, options, run};

const THING: &str = "CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text)";

#[test]
fn each_function_with_the_stores_rights_has_a_pinned_search_path_and_none_is_everybodys() {
    run(async {
        let lab = Database::lab(Backend::Postgres).await;
        let mut client = superuser(&lab).await;
        let definers: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace = 'sourcing'::regnamespace",
        )
        .fetch_one(&mut client)
        .await
        .unwrap();
        assert!(definers >= 4, "{definers}");
        let loose: Vec<String> = sqlx::query_scalar(
            "SELECT oid::regprocedure::text FROM pg_proc
              WHERE pronamespace = 'sourcing'::regnamespace
                AND (prosecdef AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'))
                     OR EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0))",
        )
        .fetch_all(&mut client)
        .await
        .unwrap();
        assert_eq!(loose, [""; 0]);
        // Nor may everybody do anything else there, but see who wrote last.
        let open: Vec<String> = sqlx::query_scalar(
            "SELECT concat(privilege_type, ' ', c.oid::regclass) FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl)
              WHERE c.relnamespace = 'sourcing'::regnamespace AND grantee = 0",
        )
        .fetch_all(&mut client)
        .await
        .unwrap();
        assert_eq!(open, ["SELECT sourcing.writer"]);
    });
}

#[test]
fn init_again_gives_the_roles_what_others_have_made_since() {
    run(async {
        let lab = Database::with(Backend::Postgres, THING).await;
        let database = name(&lab);
        lab.sql(&format!(
            "CREATE ROLE maker_{database}; GRANT {database}_owner TO maker_{database};
             CREATE SCHEMA theirs AUTHORIZATION maker_{database};
             SET ROLE maker_{database};
             CREATE TABLE theirs.made (made_id uuid PRIMARY KEY, n serial, name text)"
        ))
        .await
        .unwrap();
        let mut reader = login(&lab, "reader", "reader").await;
        let select = "SELECT FROM theirs.made";
        run_sql(&mut reader, select).await.expect_err("not yet");
        let table = async || {
            let tables = lab.store.tables().await.unwrap();
            tables
                .into_iter()
                .find(|table| table.name == "theirs.made")
                .unwrap()
        };
        assert_eq!(
            table().await.key(),
            None,
            "the event store may not write it"
        );

        let again = store::init(&lab.address, &options(), None).await.unwrap();
        again.store.close().await;
        run_sql(&mut reader, select).await.unwrap();
        if !lab.grants_settings().await {
            // The owner's role does not own the event store: its members' tables are not those of trusted ones.
            assert_eq!(table().await.key(), None);
            lab.sql("ALTER TABLE theirs.made OWNER TO postgres")
                .await
                .unwrap();
        }
        assert_eq!(table().await.key(), Some("made_id"));
        let url = login_url(&lab, "nmr", "writer").await;
        let writer = store::open(&Address::Postgres(url), &options())
            .await
            .unwrap();
        writer
            .append(vec![create("theirs.made", id(1), json!({"name": "a"}))])
            .await
            .unwrap();
        writer.close().await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_role_that_may_make_roles_and_is_no_superuser_makes_them_and_is_told_what_a_rollback_lacks() {
    run(async {
        let (address, directory) = fresh_address(Backend::Postgres).await;
        let Address::Postgres(url) = &address else {
            panic!("a PostgreSQL database");
        };
        let database = url.rsplit_once('/').unwrap().1;
        let maker = format!("maker_{database}");
        let mut admin = PgConnection::connect(url).await.unwrap();
        run_sql(
            &mut admin,
            &format!(
                "CREATE ROLE {maker} LOGIN CREATEROLE PASSWORD 'ebb-test'; ALTER DATABASE {database} OWNER TO {maker};
                 GRANT CREATE ON SCHEMA public TO {maker};
                 CREATE TABLE theirs (theirs_id uuid PRIMARY KEY)"
            ),
        )
        .await
        .unwrap();
        let own = Address::Postgres(url.replace("postgres:ebb-test", &format!("{maker}:ebb-test")));
        let made = store::init(&own, &options(), Some(THING)).await.unwrap();
        let said = made.roles.unwrap();
        assert!(said.contains("are there to be granted"), "{said}");
        let roles: Vec<String> = sqlx::query_scalar(
            "SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = 'ebb: a role of the event store of the database ' || current_database()
              AND NOT rolcanlogin AND NOT rolsuper AND NOT rolcreaterole ORDER BY rolname",
        )
        .fetch_all(&mut admin)
        .await
        .unwrap();
        let expected =
            ["operator", "owner", "reader", "writer"].map(|right| format!("{database}_{right}"));
        assert_eq!(roles, expected);
        assert!(expected.iter().all(|role| said.contains(role)), "{said}");
        made.store
            .append(vec![
                create("thing", id(1), json!({"name": "a"})),
                create("thing", id(2), json!({"name": "b"})),
            ])
            .await
            .unwrap();
        assert_eq!(verify::drift(&*made.store).await.unwrap().findings, []);
        let tables = made.store.tables().await.unwrap();
        let theirs = tables.iter().find(|table| table.name == "theirs").unwrap();
        assert_eq!(theirs.key(), None, "nobody gave it to the event store");

        // The superuser's lab of tests, for its logins.
        let lab = Database::there(address.clone(), directory).await;
        let url = login_url(&lab, "nmr", "writer").await;
        let writer = store::open(&Address::Postgres(url), &options())
            .await
            .unwrap();
        writer
            .append(vec![create("thing", id(3), json!({}))])
            .await
            .unwrap();
        let url = login_url(&lab, "tga", "operator").await;
        let operator = store::open(&Address::Postgres(url), &options())
            .await
            .unwrap();
        for store in [&operator, &made.store] {
            let request = RollbackRequest::to(RollbackTarget::BeforeEvent(1));
            let plan = rollback::plan(&**store, request).await.unwrap();
            assert_eq!(plan.blockers.len(), 1);
            let said = &plan.blockers[0].message;
            assert!(
                said.contains(&maker) && said.contains("session_replication_role"),
                "{said}"
            );
        }
        // What the plan says is lacking is all that is. Where it cannot be granted, only a superuser has it.
        let (give, take) = match lab.grants_settings().await {
            true => (
                format!(
                    "LOCK TABLE pg_parameter_acl IN SHARE ROW EXCLUSIVE MODE; GRANT SET ON PARAMETER session_replication_role TO {maker}"
                ),
                format!(
                    "LOCK TABLE pg_parameter_acl IN SHARE ROW EXCLUSIVE MODE; REVOKE SET ON PARAMETER session_replication_role FROM {maker}"
                ),
            ),
            false => (
                format!("ALTER ROLE {maker} SUPERUSER"),
                format!("ALTER ROLE {maker} NOSUPERUSER"),
            ),
        };
        run_sql(&mut admin, &give).await.unwrap();
        for store in [writer, operator, made.store] {
            store.close().await;
        }
        lab.roll_back(RollbackTarget::BeforeEvent(1), Strategy::Minimal)
            .await
            .unwrap();
        lab.assert_no_drift().await;
        run_sql(&mut admin, &take).await.unwrap();
    });
}
