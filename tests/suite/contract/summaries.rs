//! A page of rows as a list shows it: long values are left out, and those that are there are the same.

use ebbtide::eventsourcing::rows::{self, RowsRequest, RowsStart};
use ebbtide::eventsourcing::schema::Table;
use ebbtide::eventsourcing::selection::Selection;
use ebbtide::eventsourcing::store::{Backend, RowsQuery, VALUE_BEGINNING, VALUE_LIMIT};
use ebbtide::eventsourcing::timeline::Detail;
use ebbtide::eventsourcing::{EventStore, Row, inspect};
use serde_json::{Value, json};
use uuid::Uuid;

use super::with_types;
use crate::support::{Database, all_rows, create, id, on_each, rows_query};

fn schema(backend: Backend) -> String {
    let bytes = match backend {
        Backend::Sqlite => "BLOB",
        Backend::Postgres => "bytea",
    };
    with_types(
        &format!(
            "CREATE TABLE sample (sample_id {{uuid}} PRIMARY KEY NOT NULL, name TEXT);
             CREATE TABLE spectrum (
                 spectrum_id {{uuid}} PRIMARY KEY NOT NULL,
                 sample_id {{uuid}} REFERENCES sample (sample_id),
                 title TEXT, info {{json}}, raw {bytes}, n INTEGER
             );
             CREATE TABLE note (text TEXT, more TEXT);"
        ),
        backend,
    )
}

/// Text in which a compression finds nothing.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    let text: String = std::iter::repeat_with(next).take(length).collect();
    text.replace(['\\', '\'', '"'], "µ")
}

fn spectrum(n: usize) -> Row {
    // Around the limit, and far beyond.
    let length = [0, 10, VALUE_LIMIT - 9, VALUE_LIMIT, VALUE_LIMIT + 9, 50_000][n % 6];
    let sample = [Value::Null, json!(id(1)), json!(id(2))][n % 3].clone();
    let data = json!({
        "title": noise(n as u64, length),
        "info": {"text": noise(n as u64 + 1000, [50_000, 3][n % 2]), "values": vec![n; n % 4]},
        "raw": format!("\\x{}", "0a9f".repeat([0, 8000, 20][n % 3])),
        "n": n,
        "sample_id": sample,
    });
    data.as_object().unwrap().clone()
}

async fn spectra(backend: Backend) -> (Database, Table) {
    let lab = Database::with(backend, &schema(backend)).await;
    let samples = [1, 2].map(|n| create("sample", id(n), json!({"name": format!("sample {n}")})));
    lab.store.append(samples.to_vec()).await.unwrap();
    let spectra =
        (0..40).map(|n| create("spectrum", id(100 + n), Value::Object(spectrum(n as usize))));
    lab.store.append(spectra.collect()).await.unwrap();
    let table = inspect::table(&*lab.store, "spectrum").await.unwrap();
    (lab, table)
}

/// The rows, those of a summary with what was left out of them, read three at a time.
async fn read(store: &dyn EventStore, request: &RowsRequest) -> Vec<(Row, Vec<String>)> {
    let (mut all, mut next) = (Vec::new(), Some(RowsStart::default()));
    while let Some(start) = next {
        let page = rows::page(store, request, &start, 3).await.unwrap();
        assert!(page.rows.len() <= 3);
        let left_out = page.left_out.into_iter();
        let names = left_out.map(|sizes| sizes.into_keys().collect());
        all.extend(page.rows.into_iter().zip(names));
        next = page.next;
    }
    all
}

on_each! {
    async fn a_summary_leaves_out_long_values_and_nothing_else(backend) {
        let (lab, table) = spectra(backend).await;
        let selections = [("", None), ("n>=3", None), ("", Some("-n")), ("n<20", Some("title"))];
        for at in [None, Some(lab.store.head().await.unwrap())] {
            for (line, sort) in selections {
                let selection = Selection::parse_line(&table, line, sort).unwrap();
                let request = RowsRequest {
                    table: table.clone(),
                    at,
                    selection: selection.clone(),
                    first: usize::MAX,
                    detail: Detail::Summary,
                };
                let brief = read(&*lab.store, &request).await;
                let whole = all_rows(&*lab.store, &table, at, selection, None).await;
                assert_eq!(brief.len(), whole.len(), "{line} {sort:?} {at:?}");
                for ((brief, left_out), whole) in brief.iter().zip(&whole) {
                    for (name, value) in whole {
                        let length = value.as_str().map_or_else(|| value.to_string().len(), str::len);
                        // A size as stored, or as text, is near the limit what the database makes of it.
                        match left_out.contains(name) {
                            true => assert!(length >= VALUE_LIMIT, "{name}: {length} bytes are not long"),
                            false => assert!(length < 4 * VALUE_LIMIT || name == "raw", "{name}: {length} bytes are long"),
                        }
                        match (left_out.contains(name), value) {
                            (false, _) => assert_eq!(&brief[name], value),
                            (true, Value::String(text)) if name == "title" => {
                                let beginning: String = text.chars().take(VALUE_BEGINNING).collect();
                                assert_eq!(brief[name], beginning);
                            }
                            (true, _) if name == "info" => assert_eq!(brief[name], Value::Null),
                            (true, _) => assert!(brief[name].to_string().len() < VALUE_LIMIT),
                        }
                    }
                }
                let any = |name: &str| brief.iter().any(|(_, left_out)| left_out.iter().any(|one| one == name));
                assert!(any("title") && any("info"), "{line} {sort:?} {at:?}");
            }
        }
    }

    async fn a_row_is_read_whole_where_a_list_has_its_summary(backend) {
        let (lab, table) = spectra(backend).await;
        let request = |table: &Table| RowsRequest {
            table: table.clone(),
            at: None,
            selection: Selection::default(),
            first: usize::MAX,
            detail: Detail::Summary,
        };
        let start = RowsStart::default();
        let found = rows::whole(&*lab.store, &request(&table), Some(id(105)), (&start, 0)).await.unwrap();
        assert_eq!(found.unwrap()["title"], spectrum(5)["title"]);
        let gone = rows::whole(&*lab.store, &request(&table), Some(Uuid::nil()), (&start, 0)).await.unwrap();
        assert_eq!(gone, None);
        // Rows without a uuid are found by their place.
        for n in 0..5 {
            lab.sql(&format!("INSERT INTO note VALUES ('{}', '{n}')", noise(n, 9000))).await.unwrap();
        }
        let notes = inspect::table(&*lab.store, "note").await.unwrap();
        let mut page = rows::page(&*lab.store, &request(&notes), &start, 2).await.unwrap();
        let second = page.next.take().unwrap();
        for (n, start, place) in [(0, &start, 0), (1, &start, 1), (3, &second, 1), (4, &second, 2)] {
            let found = rows::whole(&*lab.store, &request(&notes), None, (start, place)).await.unwrap().unwrap();
            assert_eq!((found["more"].as_str().unwrap(), &found["text"]), (n.to_string().as_str(), &json!(noise(n, 9000))));
        }
        assert_eq!(rows::whole(&*lab.store, &request(&notes), None, (&second, 3)).await.unwrap(), None);
        // The same where all rows have been looked at, so that their number is known.
        let placed = RowsStart::placed();
        let page = rows::page(&*lab.store, &request(&notes), &placed, 2).await.unwrap();
        assert_eq!(page.total, Some(5));
        assert!(page.left_out.iter().all(|sizes| sizes.contains_key("text")), "{:?}", page.left_out);
        let starts = page.next.unwrap().pages(2).unwrap();
        for (n, start, place) in [(0, &placed, 0), (1, &placed, 1), (1, &starts[0], 1), (2, &starts[1], 0), (4, &starts[2], 0)] {
            let found = rows::whole(&*lab.store, &request(&notes), None, (start, place)).await.unwrap().unwrap();
            assert_eq!((found["more"].as_str().unwrap(), &found["text"]), (n.to_string().as_str(), &json!(noise(n, 9000))));
        }
    }

    async fn rows_that_name_a_row_are_found_by_the_database(backend) {
        let (lab, table) = spectra(backend).await;
        for limit in [1, 4, 100] {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let query = RowsQuery {
                    naming: Some(("sample_id", id(2))),
                    ..rows_query(&table, cursor.as_ref(), limit)
                };
                let page = lab.store.rows(&query).await.unwrap();
                found.extend(page.rows.iter().map(|one| one.row["n"].as_u64().unwrap()));
                cursor = page.rows.last().map(|one| one.cursor.clone());
                if !page.has_more {
                    break;
                }
            }
            let named: Vec<u64> = (0..40).filter(|n| n % 3 == 2).collect();
            assert_eq!(found, named, "by {limit}");
        }
        // What people type comes to the same, with other conditions beside it and in the past too.
        let head = lab.store.head().await.unwrap();
        let line = format!("n>5, sample_id={}", id(2));
        for at in [None, Some(head)] {
            let selection = Selection::parse_line(&table, &line, None).unwrap();
            let found = all_rows(&*lab.store, &table, at, selection, None).await;
            let found: Vec<u64> = found.iter().map(|row| row["n"].as_u64().unwrap()).collect();
            assert_eq!(found, (6..40).filter(|n| n % 3 == 2).collect::<Vec<_>>(), "{at:?}");
        }
    }
}
