//! The Mad Lab's story as people type it: by psql, as a plain writer, and rolled back as an operator.

use std::process::Command;

use ebbtide::eventsourcing::NewEvent;
use ebbtide::eventsourcing::store::Backend;

use super::servers::variable;
use super::{login_url, name};
use crate::cli::ebb;
use crate::support::{Database, run, run_with_input};

/// Runs SQL by psql, which must end well, and returns what it prints.
fn psql(url: &str, sql: &str) -> String {
    let output = run_with_input(
        Command::new(format!("{}/psql", variable("EBB_TEST_PROGRAMS"))).args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set=ON_ERROR_STOP=1",
            url,
        ]),
        sql,
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{sql}\n{said}");
    assert_eq!(said, "", "{sql}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn insert(event: &NewEvent) -> String {
    format!(
        "INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ({}, {}, {}, {}) RETURNING id;\n",
        literal(event.kind.as_str()),
        literal(&event.table),
        event
            .uuid
            .map_or("NULL".to_owned(), |uuid| literal(&uuid.to_string())),
        literal(&serde_json::to_string(&event.data).unwrap()),
    )
}

#[test]
fn the_story_by_psql_is_rolled_back_by_an_operator_twice_in_a_row() {
    run(async {
        let lab = Database::lab(Backend::Postgres).await;
        let writer = login_url(&lab, "noting", "writer").await;
        let operator = login_url(&lab, "undoing", "operator").await;
        let story = ebbtide::demo::story().unwrap();
        // The rows before events 5 and 15, and at the end.
        let mut stages = Vec::new();
        for part in [&story[..4], &story[4..14], &story[14..]] {
            psql(&writer, &part.iter().map(insert).collect::<String>());
            stages.push(lab.rows().await);
        }
        assert_eq!(lab.store.head().await.unwrap(), 18);
        let log = lab.log().await;
        let by = format!("noting_{}", name(&lab));
        assert!(log.iter().all(|event| event.actor == by), "{by}");

        let before = |event: i64| {
            psql(
                &writer,
                &format!("SELECT \"timestamp\" FROM sourcing.eventstore WHERE id = {event}"),
            )
        };
        let roll_back = |moment: &str| {
            let data = literal(&serde_json::json!({ "before": moment }).to_string());
            psql(
                &operator,
                &format!(
                    "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', {data}) RETURNING id"
                ),
            )
        };
        let verified = async || {
            let run = ebb(&["-d", &lab.argument(), "verify"]).ends_with(0);
            assert_eq!(run.stderr(), "");
            assert!(
                run.stdout().ends_with("the tables are what the log says\n"),
                "{}",
                run.stdout()
            );
            assert_eq!(run.stdout().lines().count(), 1, "{}", run.stdout());
        };
        let (fifth, fifteenth) = (before(5), before(15));
        for (moment, rows, replayed) in [
            (&fifteenth, &stages[1], 14),
            (&fifteenth, &stages[1], 14),
            (&fifth, &stages[0], 4),
            (&fifteenth, &stages[1], 14),
        ] {
            let head = lab.store.head().await.unwrap();
            assert_eq!(roll_back(moment), (head + 1).to_string());
            assert_eq!(&lab.rows().await, rows, "before {moment}");
            verified().await;
            let log = lab.log().await;
            let origins: Vec<i64> = log[head as usize..]
                .iter()
                .filter_map(|event| event.origin)
                .collect();
            assert_eq!(
                origins,
                (1..=replayed).collect::<Vec<i64>>(),
                "before {moment}"
            );
        }
        // What was rolled back is not lost either.
        for _ in 0..4 {
            ebb(&["-d", &operator, "undo", "--yes"]).ends_with(0);
        }
        assert_eq!(lab.rows().await, stages[2]);
        verified().await;
    });
}
