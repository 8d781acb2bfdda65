//! Reading the log and the tables: pages, filters, positions.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::selection::Selection;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest, SUMMARY_LIMIT};
use ebbtide::eventsourcing::{Event, EventKind, Row, RowKey, inspect};
use serde_json::{Value, json};

use super::schema;
use crate::support::{Database, all_rows, create, delete, id, moment, on_each, rows_query, update};

/// The ids of a whole log, read page by page.
async fn paged(lab: &Database, filter: &Filter, direction: Direction, limit: usize) -> Vec<i64> {
    let (mut ids, mut from) = (Vec::new(), None);
    loop {
        let page = lab
            .store
            .page(&PageRequest {
                filter: filter.clone(),
                from,
                until: None,
                direction,
                limit,
                detail: Detail::Summary,
            })
            .await
            .unwrap();
        assert!(page.entries.len() <= limit);
        ids.extend(page.entries.iter().map(|entry| entry.event.id));
        from = ids.last().copied();
        if !page.more {
            return ids;
        }
    }
}

/// Whether a filter shows an event, as the words of its fields say.
fn shows(filter: &Filter, event: &Event) -> bool {
    let key = event.row.as_ref();
    let contains = |text: String, part: &str| text.to_lowercase().contains(&part.to_lowercase());
    filter
        .table
        .as_ref()
        .is_none_or(|table| key.is_some_and(|key| key.table == *table))
        && filter.kind.is_none_or(|kind| event.kind == kind)
        && filter.uuid_prefix.as_ref().is_none_or(|prefix| {
            key.is_some_and(|key| key.uuid.to_string().starts_with(prefix.as_str()))
        })
        && filter
            .actor
            .as_ref()
            .is_none_or(|actor| match actor.strip_prefix('=') {
                Some(exactly) => event.actor == exactly,
                None => contains(event.actor.clone(), actor),
            })
        && filter.since.is_none_or(|since| event.timestamp >= since)
        && filter.until.is_none_or(|until| event.timestamp <= until)
        && filter.search.as_ref().is_none_or(|search| {
            let texts = event.data.values().filter_map(Value::as_str);
            let is_row = |key: &RowKey| {
                search.len() >= 8 && key.uuid.to_string().starts_with(search.as_str())
            };
            // Parts of JSON may have a blank between them or not.
            let compact = search.replace("\": ", "\":").replace(", ", ",");
            let data = Value::Object(event.data.clone()).to_string();
            contains(data.clone(), search)
                || search.contains('"') && contains(data, &compact)
                || texts
                    .into_iter()
                    .any(|text| contains(text.to_owned(), search))
                || key.is_some_and(is_row)
        })
}

on_each! {
    async fn pages_show_what_the_filter_says_in_both_directions(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.append(vec![create("molecule", id(1), json!({"smiles": "vessel=\"r1\" of CHLOÉ\nand Zoé"}))]).await;
        let options = ebbtide::store::OpenOptions { person: Some("Zoé MÜLLER".to_owned()), ..crate::support::options() };
        let named = ebbtide::store::open(&lab.address, &options).await.unwrap();
        named.append(vec![update("molecule", id(1), json!({"smiles": "ABD"}))]).await.unwrap();
        let log = lab.log().await;
        let none = Filter::default;
        let searched = |text: &str| Filter { search: Some(text.into()), ..none() };
        for filter in [
            none(),
            Filter { table: Some("molecule".into()), ..none() },
            Filter { kind: Some(EventKind::Update), ..none() },
            Filter { uuid_prefix: Some("c053".into()), ..none() },
            Filter { uuid_prefix: Some("c053009a-9b1d-44a7-8267-f5befdb03eb0".into()), ..none() },
            Filter { actor: Some("NOBODY".into()), ..none() },
            Filter { actor: Some("E".into()), ..none() },
            Filter { actor: Some("ZOÉ".into()), ..none() },
            Filter { actor: Some("é mü".into()), ..none() },
            Filter { actor: Some(format!("={}", log[0].actor)), ..none() },
            Filter { actor: Some(format!("={}", &log[0].actor[..3])), ..none() },
            Filter { since: Some(moment("2020-02-17T03:09:59.145749")), ..none() },
            Filter { until: Some(moment("2020-02-17T03:09:48.748453")), ..none() },
            searched("typo"),
            searched("100%_\\'"),
            // As the text itself has it, and not only as its JSON does; whatever the case of its letters.
            searched("vessel=\"R1\""),
            searched("chloé\nand"),
            searched("ZOÉ"),
            searched("of ABC\n"),
            // Its JSON, as either database writes it.
            searched("\"smiles\": \"DEF\""),
            searched("\"smiles\":\"DEF\""),
            searched("\"experiment_machine_id\": \""),
            // The row itself, and those that name it.
            searched("c053009a"),
            searched("c053009a-9b1d"),
            searched("c053009"),
            Filter { table: Some("molecule".into()), kind: Some(EventKind::Create), search: Some("DEF".into()), ..none() },
        ] {
            let expected: Vec<i64> = log.iter().filter(|event| shows(&filter, event)).map(|event| event.id).collect();
            for limit in [1, 4, 100] {
                assert_eq!(paged(&lab, &filter, Direction::Newer, limit).await, expected, "{filter:?}");
                let mut older = paged(&lab, &filter, Direction::Older, limit).await;
                older.reverse();
                assert_eq!(older, expected, "{filter:?}");
            }
            for (first, last) in [(1, 18), (4, 13), (7, 7), (15, 40), (9, 8)] {
                let expected: Vec<i64> = expected.iter().copied().filter(|id| (first..=last).contains(id)).collect();
                let count = lab.store.count_events(&filter, first, last).await.unwrap();
                assert_eq!(count, expected.len() as u64, "{filter:?} {first} {last}");
                // Piece by piece, with and without more than a page in it.
                for (direction, from, until) in [(Direction::Newer, first - 1, last), (Direction::Older, last + 1, first)] {
                    for limit in [1, 2, 100] {
                        let request = PageRequest {
                            filter: filter.clone(), from: Some(from), until: Some(until), direction, limit, detail: Detail::Summary,
                        };
                        let page = lab.store.page(&request).await.unwrap();
                        let mut wanted = expected.clone();
                        if direction == Direction::Older {
                            wanted.reverse();
                        }
                        let found: Vec<i64> = page.entries.iter().map(|entry| entry.event.id).collect();
                        assert_eq!(found, wanted[..limit.min(wanted.len())], "{request:?}");
                        assert_eq!(page.more, wanted.len() > limit, "{request:?}");
                    }
                }
            }
        }
    }

    async fn a_summary_leaves_out_what_is_large(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        // Not compressible, as PostgreSQL would store it small otherwise.
        let mut noise = String::new();
        let mut state: u64 = 1;
        while noise.len() < 4 * usize::try_from(SUMMARY_LIMIT).unwrap() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise.push(char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap()));
        }
        lab.append(vec![create("sample", id(1), json!({"name": "large", "info": {"noise": noise}}))]).await;
        let request = |detail| PageRequest {
            filter: Filter::default(), from: None, until: None, direction: Direction::Older, limit: 5, detail,
        };
        let summary = lab.store.page(&request(Detail::Summary)).await.unwrap();
        assert!(summary.entries[0].event.data.is_empty());
        assert!(summary.entries[0].left_out.unwrap() > u64::try_from(SUMMARY_LIMIT).unwrap());
        let whole = lab.store.page(&request(Detail::Whole)).await.unwrap();
        assert_eq!(whole.entries[0].event.data["info"]["noise"], noise);
        assert_eq!(whole.entries[0].left_out, None);
    }

    async fn a_position_is_the_longest_run_before_a_moment(backend) {
        let lab = Database::mad_lab(backend).await;
        for (text, before, through) in [
            ("2020-02-17T03:09:48.219183", 0, 1),
            ("2020-02-17T03:09:48.748453", 6, 9),
            ("2020-02-17T03:09:48.748454", 9, 9),
            ("2020-02-17T04:09:59.145749+01:00", 14, 15),
            ("2099-01-01", 18, 18),
            ("1999-01-01", 0, 0),
        ] {
            assert_eq!(lab.store.position_before(moment(text)).await.unwrap(), before, "{text}");
            assert_eq!(lab.store.position_through(moment(text)).await.unwrap(), through, "{text}");
        }
    }

    async fn rows_are_paged_in_the_order_of_their_key(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let order = [5, 3, 9, 1, 7, 2, 8];
        let new = order.iter().map(|n| create("sample", id(*n), json!({"name": n.to_string()})));
        lab.append(new.collect()).await;
        for n in 0..5 {
            lab.sql(&format!("INSERT INTO setting VALUES ('it''s {n}', {n}, 'v'), ('it''s {n}', -{n} - 1, NULL)")).await.unwrap();
        }
        for (name, column, expected) in [
            ("sample", "name", vec!["1", "2", "3", "5", "7", "8", "9"]),
            ("setting", "name", (0..5).flat_map(|n| [n, n]).map(|n| ["it's 0", "it's 1", "it's 2", "it's 3", "it's 4"][n]).collect()),
        ] {
            let table = inspect::table(&*lab.store, name).await.unwrap();
            for limit in [1, 2, 3, 100] {
                let (mut found, mut cursor) = (Vec::new(), None);
                loop {
                    let query = rows_query(&table, cursor.as_ref(), limit);
                    let page = lab.store.rows(&query).await.unwrap();
                    found.extend(page.rows.iter().map(|one| one.row[column].as_str().unwrap().to_owned()));
                    cursor = page.rows.last().map(|one| one.cursor.clone());
                    if !page.has_more {
                        break;
                    }
                }
                // A table without a uuid key may come in another order, but every row once.
                if name == "setting" {
                    found.sort();
                }
                assert_eq!(found, expected, "{name} by {limit}");
            }
            assert_eq!(lab.store.row_count(&table).await.unwrap(), expected.len() as u64);
        }
    }

    async fn tables_are_as_the_database_defines_them(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let tables = lab.store.tables().await.unwrap();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["booking", "sample", "setting", "spectrum"]);
        let sample = &tables[1];
        assert_eq!(sample.key(), Some("sample_id"));
        let columns: Vec<(&str, bool, bool)> = sample.columns.iter()
            .map(|column| (column.name.as_str(), column.nullable, column.generated)).collect();
        assert_eq!(columns, [
            ("sample_id", false, false), ("created_on", false, false), ("updated_on", false, false),
            ("name", false, false), ("info", true, false), ("mass", true, false),
            ("parent_id", true, false), ("double_mass", true, true),
        ]);
        let reference = sample.column("parent_id").unwrap().references.as_ref().unwrap();
        assert_eq!((reference.table.as_str(), reference.column.as_str()), ("sample", "sample_id"));
    }

    async fn a_row_can_be_followed_and_a_table_seen_as_it_was(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        lab.append(vec![update("sample", id(1), json!({"name": "b"}))]).await;
        lab.append(vec![create("sample", id(2), json!({"name": "c"}))]).await;
        lab.append(vec![delete("sample", id(1))]).await;
        let table = inspect::table(&*lab.store, "sample").await.unwrap();
        let names = |position| {
            let (lab, table) = (&lab, &table);
            async move {
                let rows = all_rows(&*lab.store, table, Some(position), Selection::default(), None).await;
                rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            }
        };
        assert_eq!(names(0).await, Vec::<String>::new());
        assert_eq!(names(1).await, ["a"]);
        assert_eq!(names(3).await, ["b", "c"]);
        assert_eq!(names(4).await, ["c"]);
        let key = RowKey { table: "sample".into(), uuid: id(1) };
        let life = inspect::row_history(&*lab.store, &key).await.unwrap();
        let ids: Vec<i64> = life.iter().map(|event| event.event.id).collect();
        assert_eq!(ids, [1, 2, 4]);
        let name = life[1].columns.iter().find(|change| change.column == "name").unwrap();
        assert_eq!((&name.from, &name.to), (&json!("a"), &json!("b")));
    }

    /// Against the plainest way: every row read, those that meet the condition kept, and sorted.
    async fn rows_are_selected_and_sorted_now_and_at_any_position(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let mut events = Vec::new();
        for n in 1..=250u16 {
            let mass = match n % 7 {
                0 => Value::Null,
                _ => json!((n * 37) % 100),
            };
            events.push(create("sample", id(n.into()), json!({"name": format!("n{}", n * 7 % 251), "mass": mass})));
        }
        for chunk in events.chunks(50) {
            lab.append(chunk.to_vec()).await;
        }
        for n in 1..=20u16 {
            lab.append(vec![update("sample", id(3), json!({"mass": n}))]).await;
        }
        lab.append(vec![update("sample", id(4), json!({"name": ""}))]).await;
        lab.append((100..120u16).map(|n| delete("sample", id(n.into()))).collect()).await;
        lab.roll_back(RollbackTarget::BeforeEvent(260), Strategy::Minimal).await.unwrap();
        let table = inspect::table(&*lab.store, "sample").await.unwrap();
        let head = lab.store.head().await.unwrap();
        for at in [None, Some(0), Some(130), Some(262), Some(280), Some(head)] {
            let everything = all_rows(&*lab.store, &table, at, Selection::default(), None).await;
            for (conditions, keeps) in [
                (vec![], (|_| true) as fn(&Row) -> bool),
                (vec!["mass>=50"], |row| row["mass"].as_i64().is_some_and(|mass| mass >= 50)),
                (vec!["mass="], |row| row["mass"].is_null()),
                (vec!["mass!=", "name~5"], |row| !row["mass"].is_null() && row["name"].as_str().is_some_and(|name| name.contains('5'))),
                (vec!["name=n8"], |row| row["name"] == "n8"),
                (vec!["name~N8"], |row| row["name"].as_str().is_some_and(|name| name.contains("n8"))),
                (vec!["name=\"\""], |row| row["name"] == ""),
            ] {
                for sort in [None, Some("mass"), Some("-mass"), Some("name")] {
                    let mut wanted: Vec<Row> = everything.iter().filter(|row| keeps(row)).cloned().collect();
                    let mass = |row: &Row| row["mass"].as_i64();
                    match sort {
                        Some("mass") => wanted.sort_by_key(|row| (mass(row).is_none(), mass(row))),
                        Some("-mass") => wanted.sort_by_key(|row| (mass(row).is_none(), mass(row).map(|mass| -mass))),
                        Some(_) => wanted.sort_by_key(|row| row["name"].as_str().unwrap().to_owned()),
                        None => {}
                    }
                    let conditions: Vec<String> = conditions.iter().map(|text| (*text).to_owned()).collect();
                    for limit in [None, Some(0), Some(7)] {
                        let selection = Selection::parse(&table, &conditions, sort).unwrap();
                        let found = all_rows(&*lab.store, &table, at, selection, limit).await;
                        let wanted = &wanted[..limit.unwrap_or(usize::MAX).min(wanted.len())];
                        assert_eq!(found, wanted, "{at:?} {conditions:?} {sort:?} {limit:?}");
                        let columns = |row: &Row| row.keys().cloned().collect::<Vec<_>>();
                        assert!(found.iter().map(columns).eq(wanted.iter().map(columns)), "in the table's order");
                    }
                }
            }
        }
        let setting = inspect::table(&*lab.store, "setting").await.unwrap();
        lab.sql("INSERT INTO setting VALUES ('b', 1, 'x'), ('a', 2, 'z'), ('a', 1, 'y')").await.unwrap();
        let selection = Selection::parse(&setting, &["name=a".to_owned()], Some("-value")).unwrap();
        let found = all_rows(&*lab.store, &setting, None, selection, None).await;
        let values: Vec<&Value> = found.iter().map(|row| &row["value"]).collect();
        assert_eq!(values, ["z", "y"], "a table that takes no part");
    }

    async fn moments_are_compared_however_they_are_written(backend) {
        let lab = Database::mad_lab(backend).await;
        let table = inspect::table(&*lab.store, "fragment").await.unwrap();
        // The columns have 03:09:48.50927 and later ones; the log prints it with all digits and its zone.
        for (condition, rows) in [
            ("created_on=2020-02-17T03:09:48.509270Z", 1),
            ("created_on = 2020-02-17 03:09:48.50927", 1),
            ("created_on>=2020-02-17T03:09:48.509270Z", 3),
            ("created_on>2020-02-17T03:09:48.509270Z", 2),
            ("created_on<=2020-02-17T04:09:48.509270+01:00", 1),
        ] {
            let selection = Selection::parse(&table, &[condition.to_owned()], None).unwrap();
            let found = all_rows(&*lab.store, &table, None, selection, None).await;
            assert_eq!(found.len(), rows, "{condition}");
        }
        let error = Selection::parse(&table, &["created_on<banana".to_owned()], None).expect_err("no moment");
        assert!(error.message.contains("holds moments"), "{}", error.message);
    }

    async fn a_past_has_what_columns_were_added_with_and_tables_that_are_gone(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        lab.append(vec![create("spectrum", id(2), json!({"sample_id": id(1), "title": "t"}))]).await;
        lab.sql("ALTER TABLE sample ADD COLUMN weight INTEGER NOT NULL DEFAULT 15").await.unwrap();
        lab.append(vec![update("sample", id(1), json!({"weight": 2}))]).await;
        let table = inspect::table(&*lab.store, "sample").await.unwrap();
        let then = all_rows(&*lab.store, &table, Some(1), Selection::default(), None).await;
        assert_eq!(then[0]["weight"], 15);
        let found = inspect::event(&*lab.store, 3).await.unwrap().unwrap();
        let weight = found.columns.iter().find(|change| change.column == "weight").unwrap();
        assert_eq!((&weight.from, &weight.to), (&json!(15), &json!(2)));
        lab.sql("DROP TABLE booking").await.unwrap();
        lab.sql("DROP TABLE spectrum").await.unwrap();
        let gone = ebbtide::eventsourcing::schema::Table::gone("spectrum");
        let error = Selection::parse(&gone, &["title=t".to_owned()], None).expect_err("no column");
        assert_eq!(error.hint.as_deref(), Some("the table is gone, and its columns with it"));
        let then = all_rows(&*lab.store, &gone, Some(2), Selection::default(), None).await;
        assert_eq!((&then[0]["uuid"], &then[0]["title"]), (&json!(id(2)), &json!("t")));
    }

    async fn what_cannot_be_asked_of_rows_is_said(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let table = inspect::table(&*lab.store, "sample").await.unwrap();
        for (condition, sort, words) in [
            (Some("mas=1"), None, "sample has no column \"mas\""),
            (Some("mass"), None, "\"mass\" is no condition"),
            (Some("mass>"), None, "there is no value to compare with"),
            (Some("mass>heavy"), None, "sample.mass holds numbers, and \"heavy\" is none of them"),
            (Some("info<3"), None, "have no order here"),
            (None, Some("info"), "sample cannot be sorted by info"),
            (None, Some("-nam"), "sample has no column \"nam\""),
        ] {
            let conditions: Vec<String> = condition.into_iter().map(str::to_owned).collect();
            let error = Selection::parse(&table, &conditions, sort).expect_err(words);
            assert!(error.message.contains(words), "{}", error.message);
        }
    }

    async fn an_event_shows_its_row_before_and_after(backend) {
        let lab = Database::mad_lab(backend).await;
        let found = inspect::event(&*lab.store, 8).await.unwrap().unwrap();
        assert_eq!(found.transaction, (7, 9));
        assert_eq!(found.before, None);
        assert_eq!(found.after.unwrap()["order"], 1);
        let found = inspect::event(&*lab.store, 10).await.unwrap().unwrap();
        assert_eq!(found.before.unwrap()["smiles"], "A-UGLY-TYPO-C");
        assert_eq!(found.after.unwrap()["smiles"], "ABC");
        assert!(inspect::event(&*lab.store, 19).await.unwrap().is_none());
    }
}

/// The stores must agree; they are compared here once on the whole story.
#[test]
fn both_stores_tell_the_same_story() {
    crate::support::run(async {
        let sqlite = Database::mad_lab(Backend::Sqlite).await;
        let postgres = Database::mad_lab(Backend::Postgres).await;
        let told = |log: Vec<Event>| {
            log.into_iter()
                .map(|event| {
                    (
                        event.id,
                        event.kind,
                        event.row,
                        event.timestamp,
                        event.filled,
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(told(sqlite.log().await), told(postgres.log().await));
        let (ours, theirs) = (sqlite.rows().await, postgres.rows().await);
        assert_eq!(ours.len(), 16);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.0, theirs.0);
            for (name, value) in &ours.1 {
                let same = ebbtide::eventsourcing::value::same(value, &theirs.1[name]);
                assert!(same, "{}.{name}: {value} and {}", ours.0, theirs.1[name]);
            }
        }
    });
}
