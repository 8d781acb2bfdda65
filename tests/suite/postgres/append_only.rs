//! Nobody changes the log: not the role that owns it, and no superuser, by any statement on rows (§2).

use ebbtide::eventsourcing::store::Backend;
use serde_json::json;

use super::{login, refusal, run_sql, superuser};
use crate::support::{Database, create, id, run, update};

/// What was tried, alone or after something that would make it pass for the event store's own.
const TRIES: [&str; 6] = [
    "UPDATE sourcing.eventstore SET actor = 'x'",
    "DELETE FROM sourcing.eventstore WHERE id = 18",
    "TRUNCATE sourcing.eventstore",
    "INSERT INTO sourcing.eventstore (id, event, type, uuid, actor, hash) VALUES (19, 'create', 'fragment', gen_random_uuid(), 'x', 'x')",
    "INSERT INTO sourcing.eventstore (id, event, type, uuid) VALUES (18, 'create', 'fragment', gen_random_uuid())
         ON CONFLICT (id) DO UPDATE SET actor = 'x'",
    "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'no_table') ON CONFLICT (id) DO UPDATE SET actor = 'x'",
];

const DISGUISES: [&str; 10] = [
    "SELECT",
    "UPDATE sourcing.writer SET expanding = 0",
    "UPDATE sourcing.writer SET expanding = 1",
    "UPDATE sourcing.writer SET (expanding, transaction) = (0, pg_current_xact_id())",
    "SELECT sourcing.take_writer(); UPDATE sourcing.writer SET expanding = 0",
    "INSERT INTO sourcing.writer VALUES (true) ON CONFLICT (only_one) DO UPDATE SET expanding = 0",
    "DELETE FROM sourcing.writer; INSERT INTO sourcing.writer (expanding) VALUES (0)",
    "TRUNCATE sourcing.writer; INSERT INTO sourcing.writer (expanding) VALUES (0)",
    "SELECT sourcing.take_writer(); INSERT INTO sourcing.waiting VALUES (1, false)",
    "SET ebb.expanding = 'batch'",
];

/// The SQLSTATE of a right that is lacking.
const LACKS_RIGHTS: &str = "42501";

#[test]
fn nobody_changes_the_log_by_a_statement_on_rows() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let log = lab.log().await;
        let mut owner = login(&lab, "chief", "owner").await;
        let mut replica = superuser(&lab).await;
        run_sql(&mut replica, "SET session_replication_role = replica")
            .await
            .unwrap();
        // A member of the owner's role that does not own the event store lacks the rights besides.
        let lacks_rights = !lab.grants_settings().await;
        for (client, lacks_rights) in [
            (&mut owner, lacks_rights),
            (&mut superuser(&lab).await, false),
            (&mut replica, false),
        ] {
            for disguise in DISGUISES {
                for attempt in TRIES {
                    let (state, message) = refusal(client, &format!("{disguise}; {attempt}")).await;
                    assert!(
                        ["EB012", "EB008"].contains(&state.as_str())
                            || lacks_rights && state == LACKS_RIGHTS,
                        "{disguise}; {attempt}: {state} {message}"
                    );
                    assert_eq!(lab.log().await, log, "{disguise}; {attempt}");
                }
            }
        }
        let event = "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'fragment', '{\"smiles\": \"X\"}')";
        run_sql(&mut owner, event).await.unwrap();
        lab.assert_no_drift().await;
    });
}

#[test]
fn events_that_are_applied_are_not_applied_again() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        lab.append(vec![create("fragment", id(1), json!({"smiles": "P"}))])
            .await;
        lab.append(vec![update("fragment", id(1), json!({"smiles": "Q"}))])
            .await;
        let (log, rows) = (lab.log().await, lab.rows().await);
        let owners = match lab.grants_settings().await {
            true => "EB012",
            false => LACKS_RIGHTS,
        };
        for (client, expected) in [
            (&mut login(&lab, "chief", "owner").await, owners),
            (&mut superuser(&lab).await, "EB012"),
        ] {
            for sql in [
                "INSERT INTO sourcing.waiting VALUES (20, false)",
                "UPDATE sourcing.waiting SET applied = false",
            ] {
                let (state, message) = refusal(
                    client,
                    &format!("SELECT sourcing.take_writer(); {sql}; INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'fragment', '{{\"smiles\": \"R\"}}')"),
                )
                .await;
                assert_eq!(state, expected, "{sql}: {message}");
            }
        }
        assert_eq!((lab.log().await, lab.rows().await), (log, rows));
    });
}

/// From inside a trigger of a table of theirs, too: not by a superuser's mistake, and not by what a writer says to be.
#[test]
fn nobody_gives_ids_from_a_trigger() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let log = lab.log().await;
        for (client, disguise) in [
            (&mut superuser(&lab).await, "SELECT"),
            (&mut login(&lab, "titrator", "writer").await, "SELECT"),
            (
                &mut login(&lab, "forger", "writer").await,
                "SET ebb.expanding = 'batch'",
            ),
        ] {
            run_sql(
                client,
                "CREATE TEMP TABLE copied (id bigint);
                 CREATE FUNCTION pg_temp.copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     INSERT INTO sourcing.eventstore (id, event, type, uuid, actor, data)
                     VALUES (NEW.id, 'create', 'fragment', gen_random_uuid(), 'x', '{\"smiles\": \"X\"}');
                     RETURN NEW; END $$;
                 CREATE TRIGGER copy AFTER INSERT ON copied FOR EACH ROW EXECUTE FUNCTION pg_temp.copy()",
            )
            .await
            .unwrap();
            let (state, message) = refusal(
                client,
                &format!("{disguise}; INSERT INTO copied VALUES (19)"),
            )
            .await;
            assert_eq!(state, "EB008", "{disguise}: {message}");
        }
        assert_eq!(lab.log().await, log);
    });
}
