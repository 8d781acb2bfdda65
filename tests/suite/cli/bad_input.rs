//! Bad input: a clear sentence, a hint, the right exit code, nothing written, no panic.

use ebbtide::eventsourcing::store::Backend;

use super::{command, ebb};
use crate::support::{Database, on_both, run, server};

#[test]
fn a_wrong_command_line_ends_with_2() {
    let lab = run(Database::mad_lab(Backend::Sqlite));
    let place = lab.argument();
    for arguments in [
        vec!["log"],
        vec![],
        vec!["-d", &place, "rollback"],
        vec![
            "-d",
            &place,
            "rollback",
            "--before-event",
            "1",
            "--after-event",
            "2",
        ],
        vec!["-d", &place, "rollback", "--before-event", "soon"],
        vec![
            "-d",
            &place,
            "rollback",
            "--before-event",
            "1",
            "--strategy",
            "magic",
        ],
        vec![
            "-d",
            &place,
            "rollback",
            "--before-event",
            "1",
            "--yes",
            "--dry-run",
        ],
        vec!["-d", &place, "log", "--event", "make"],
        vec!["-d", &place, "verify", "--magic"],
        vec!["-d", &place, &place],
        vec![&place, "log"],
        vec!["-d", &place, "demo", "--at", "x.db"],
        vec!["-d", &place, "demo", "--fresh"],
    ] {
        let ended = ebb(&arguments).ends_with(2);
        assert_eq!(ended.stdout(), "", "{arguments:?}");
        assert!(!ended.stderr().is_empty(), "{arguments:?}");
    }
}

on_both! {
    async fn what_is_no_json_no_uuid_no_timestamp_and_no_event_is_named(backend) {
        let lab = Database::mad_lab(backend).await;
        let (log, rows) = (lab.log().await, lab.rows().await);
        let place = lab.argument();
        let molecule = "c053009a-9b1d-44a7-8267-f5befdb03eb0";
        for (arguments, code, word) in [
            (vec!["create", "molecule", "{smiles}"], "bad-json", "JSON"),
            (vec!["create", "molecule", "[]"], "bad-data", "object"),
            (vec!["create", "molecule", "{\"smiles\": \"X\", \"colour\": 1}"], "unknown-column", "colour"),
            (vec!["create", "molecul", "{}"], "unknown-table", "molecul"),
            (vec!["update", "molecule", "me", "{}"], "bad-uuid", "me"),
            (vec!["update", "molecule", "00000000-0000-4000-8000-000000000001", "{}"], "row-missing", "molecule"),
            (vec!["delete", "molecule", molecule], "constraint-violated", "molecule_id"),
            (vec!["log", "--since", "yesterday"], "bad-timestamp", "yesterday"),
            (vec!["log", "--uuid", "xyz"], "bad-uuid", "xyz"),
            (vec!["log", "--type", "molecul"], "unknown-table", "molecul"),
            (vec!["show", "19"], "unknown-event", "#19"),
            (vec!["show", "0"], "unknown-event", "#0"),
            (vec!["table", "molecul"], "unknown-table", "molecul"),
            (vec!["table", "molecule", "--at-event", "19"], "unknown-event", "#19"),
            (vec!["table", "molecule", "--at", "noon"], "bad-timestamp", "noon"),
            (vec!["history", "molecule", "me"], "bad-uuid", "me"),
            (vec!["history", "molecule", "00000000-0000-4000-8000-000000000001"], "row-missing", "molecule"),
            (vec!["rollback", "--before", "tomorrow", "--yes"], "bad-timestamp", "tomorrow"),
            (vec!["rollback", "--before-event", "99", "--yes"], "unknown-event", "#99"),
            (vec!["undo", "--yes"], "nothing-to-undo", "undo"),
            (vec!["redo", "--yes"], "nothing-to-undo", "redo"),
            (vec!["append", "/nowhere/at/all.jsonl"], "file-not-found", "all.jsonl"),
        ] {
            let all: Vec<&str> = ["-d", &place, "--json"].into_iter().chain(arguments.iter().copied()).collect();
            let error = ebb(&all).ends_with(1).error();
            assert_eq!(error["code"], code, "{arguments:?}: {error}");
            assert!(error["message"].as_str().unwrap().contains(word), "{arguments:?}: {error}");
        }
        assert_eq!((lab.log().await, lab.rows().await), (log, rows), "nothing was written");
    }

    async fn read_only_refuses_every_write(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        for arguments in [
            vec!["create", "fragment", "{\"smiles\": \"X\"}"],
            vec!["append"],
            vec!["rollback", "--before-event", "15", "--yes"],
            vec!["init"],
        ] {
            let all: Vec<&str> = ["-d", &place, "--read-only", "--json"].into_iter().chain(arguments).collect();
            let error = ebb(&all).ends_with(3);
            assert!(error.stderr().contains("read-only"), "{}", error.stderr());
        }
        // What only reads goes on.
        ebb(&["-d", &place, "--read-only", "rollback", "--before-event", "15", "--dry-run"]).ends_with(0);
        ebb(&["-d", &place, "--read-only", "verify"]).ends_with(0);
        assert_eq!(lab.store.head().await.unwrap(), 18);
    }
}

#[test]
fn a_database_that_cannot_be_opened_is_a_sentence_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(directory.path().join("text.db"), "no database ".repeat(200)).unwrap();
    std::fs::write(directory.path().join("empty.db"), "").unwrap();
    let wrong_password = server().replace("ebb-test", "wr0ngword");
    for (place, code) in [
        (path("none.db"), "file-not-found"),
        (directory.path().display().to_string(), "not-a-database"),
        (path("text.db"), "not-a-database"),
        (path("empty.db"), "no-event-store"),
        ("mysql://lab/mad".to_owned(), "bad-address"),
        (
            "postgres://u:s3cret@127.0.0.1:1/mad".to_owned(),
            "unreachable",
        ),
        (
            "postgres://u:s3cret@127.0.0.1:port/mad".to_owned(),
            "bad-address",
        ),
        (wrong_password, "login-refused"),
        (server(), "no-event-store"),
    ] {
        for command in [vec!["log"], vec!["verify"], vec!["undo", "--yes"]] {
            let all: Vec<&str> = ["-d", &place, "--json"]
                .into_iter()
                .chain(command)
                .collect();
            let ended = ebb(&all).ends_with(1);
            let error = ended.error();
            assert_eq!(error["code"], code, "{place}: {error}");
            for secret in ["s3cret", "wr0ngword", "ebb-test"] {
                assert!(!ended.stderr().contains(secret), "{}", ended.stderr());
            }
        }
    }
    assert!(
        !directory.path().join("none.db").exists(),
        "reading creates nothing"
    );
}

#[test]
fn a_password_on_a_wrong_command_line_is_not_echoed() {
    let url = "postgres://u:s3cret@127.0.0.1:1/mad";
    for arguments in [
        vec![url, "log"],
        vec!["-d", url, url],
        vec!["-d", url, "demo", "--at", "x.db"],
    ] {
        let ended = ebb(&arguments).ends_with(2);
        assert!(!ended.stderr().contains("s3cret"), "{}", ended.stderr());
    }
}

#[test]
fn a_failure_in_words_has_its_hint_and_no_json() {
    let ended = command()
        .args(["-d", "/nowhere/lab.db", "log"])
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(
        said,
        "error: there is no file /nowhere/lab.db\nhint: check the path; `ebb init` makes a new database, `ebb demo` one with an example\n"
    );
}
