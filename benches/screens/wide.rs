//! A table of sixty columns with long texts, and events of it among the others.

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{EventKind, NewEvent, Row};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::work::{self, Shape};

/// The wide table's name.
pub(crate) const TABLE: &str = "measurement";

/// So many events at the end of the log are those that the cursor runs over: two in three are of the wide table, and small
/// transactions bring them.
pub(crate) const IN_SIGHT: usize = 10_000;

/// Before them, one in so many is.
const RARELY: usize = 100;

/// One in so many of them is larger than 100 kB.
const LARGE: usize = 100;

/// Values of a spectrum that is larger than 100 kB.
const LARGE_VALUES: usize = 15_000;

const REMARKS: usize = 20;
const READINGS: usize = 20;
const TALLIES: usize = 14;

/// The example's tables, and the wide one.
pub(crate) fn schema(backend: Backend) -> String {
    let mut sql = ebbtide::demo::schema(backend).to_owned();
    let json = match backend {
        Backend::Sqlite => "JSON",
        Backend::Postgres => "jsonb",
    };
    // The names of the types are those that both databases know.
    let columns = [
        (REMARKS, "remark", "text"),
        (READINGS, "reading", "real"),
        (TALLIES, "tally", "integer"),
    ];
    let columns: String = columns
        .into_iter()
        .flat_map(|(count, name, kind)| (1..=count).map(move |n| format!(", {name}_{n} {kind}")))
        .collect();
    sql += &format!(
        "\nCREATE TABLE {TABLE} ({TABLE}_id uuid PRIMARY KEY NOT NULL, name text NOT NULL, created_on timestamp NOT NULL, \
         updated_on timestamp NOT NULL, metadata {json}, spectrum {json}{columns});\n"
    );
    sql
}

/// So many events: the laboratory's work, and among it the wide table's.
pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    let is_wide = |place: usize| match place + IN_SIGHT < count {
        true => place.is_multiple_of(RARELY),
        false => !place.is_multiple_of(3),
    };
    let wide = (0..count).filter(|place| is_wide(*place)).count();
    let mut others = work::events(Shape::Mixed, count - wide).into_iter();
    let mut made = 0;
    let all = (0..count).filter_map(|place| match is_wide(place) {
        true => {
            made += 1;
            Some(event(made))
        }
        false => others.next(),
    });
    all.collect()
}

/// The wide table's n-th event: a create, or one in twenty an update of the row before.
fn event(n: usize) -> NewEvent {
    let is_update = n.is_multiple_of(20);
    let row = if is_update { n - 1 } else { n };
    let data = match is_update {
        true => changed(n),
        false => created(n),
    };
    NewEvent {
        kind: match is_update {
            true => EventKind::Update,
            false => EventKind::Create,
        },
        table: TABLE.to_owned(),
        // Rows that were made after one another lie far from one another.
        uuid: Some(Uuid::from_u128(
            (row as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
        )),
        data,
        timestamp: None,
    }
}

fn created(n: usize) -> Row {
    let values = if n % LARGE == 1 { LARGE_VALUES } else { 8 };
    let spectrum: Vec<Value> = (0..values).map(|at| json!((n + at) % 1_000_003)).collect();
    let mut data = Row::new();
    data.insert("name".to_owned(), json!(format!("measurement {n}")));
    data.insert(
        "metadata".to_owned(),
        json!({"operator": "ada", "run": n, "machine": {"name": "Mad NMR", "field": 9.5}}),
    );
    data.insert("spectrum".to_owned(), Value::Array(spectrum));
    for at in 1..=REMARKS {
        data.insert(format!("remark_{at}"), json!(remark(n, at)));
    }
    for at in 1..=READINGS {
        data.insert(
            format!("reading_{at}"),
            json!((n * at % 4096) as f64 / 16.0),
        );
    }
    for at in 1..=TALLIES {
        data.insert(format!("tally_{at}"), json!(n * at % 100_000));
    }
    data
}

fn changed(n: usize) -> Row {
    let mut data = Row::new();
    data.insert("remark_3".to_owned(), json!(remark(n, 3)));
    data.insert("reading_7".to_owned(), json!((n % 512) as f64 / 8.0));
    data
}

/// Between 40 and some 400 characters, of one byte and of more, over several lines now and then.
fn remark(n: usize, at: usize) -> String {
    let parts = [
        "baseline drifts at 25 °C, ",
        "シム調整済み, ",
        "see the run before\n",
        "peak at 3.41 ppm is the solvent's, ",
    ];
    let mut text = format!("{n}/{at}: ");
    for part in 0..2 + (n * 7 + at * 3) % 12 {
        text.push_str(parts[(n + at + part) % parts.len()]);
    }
    text
}
