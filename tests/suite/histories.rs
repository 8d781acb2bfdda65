//! Generated histories, with rollbacks, undos and redos in them, against an oracle that is written another way: it keeps
//! a copy of all rows after every transaction, applies events by rules of its own, and computes the effective
//! events from the definition.

mod oracle;

use ebbtide::eventsourcing::history::Standing;
use ebbtide::eventsourcing::rollback::{
    self, Control, RollbackPlan, RollbackRequest, RollbackTarget, RowAction, Strategy as Written,
};
use ebbtide::eventsourcing::schema::Table;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{Event, EventKind, NewEvent, Row, row, value, verify};
use oracle::{Oracle, Rows};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::contract::schema;
use crate::support::{Database, create, delete, event, id, run, update};

/// One transaction.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Change>),
    /// To before or after an event, at this fraction of the log.
    RollBack {
        at: u8,
        keep: bool,
        replay: bool,
    },
    Undo,
    Redo,
}

#[derive(Clone, Debug)]
struct Change {
    kind: EventKind,
    /// Samples are 1 to 5, spectra 11 to 13.
    row: u128,
    data: Value,
}

impl Change {
    fn to_event(&self) -> NewEvent {
        let table = if self.row > 10 { "spectrum" } else { "sample" };
        match self.kind {
            EventKind::Create => create(table, id(self.row), self.data.clone()),
            EventKind::Update => update(table, id(self.row), self.data.clone()),
            EventKind::Delete => delete(table, id(self.row)),
            other => event(other, table, Some(id(self.row)), json!({})),
        }
    }
}

fn info() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(json!(null)),
        1 => Just(json!([1, 2])),
        6 => (0..2u8, 0..4u8).prop_map(|(key, value)| json!({ format!("k{key}"): value })),
        2 => (0..2u8).prop_map(|key| json!({ format!("k{key}"): null, "deep": {"x": key} })),
    ]
}

fn sample(row: u128) -> impl Strategy<Value = Value> {
    (0..5u8, info(), 0..5u128, 0..16u8).prop_map(move |(name, info, parent, which)| {
        let mut data = Row::new();
        if which & 1 > 0 {
            data.insert("name".into(), format!("name {name}").into());
        }
        if which & 2 > 0 {
            data.insert("info".into(), info);
        }
        if which & 4 > 0 {
            let parent = if parent == 0 {
                Value::Null
            } else {
                json!(id(parent))
            };
            data.insert("parent_id".into(), parent);
        }
        if which & 8 > 0 {
            data.insert("mass".into(), (row as u64 * 10 + u64::from(name)).into());
        }
        data.into()
    })
}

fn change() -> impl Strategy<Value = Change> {
    let samples = (1..5u128).prop_flat_map(|row| {
        (Just(row), 0..9u8, sample(row)).prop_map(|(row, kind, mut data)| {
            let kind =
                [EventKind::Create, EventKind::Update, EventKind::Delete][usize::from(kind / 4)];
            if kind == EventKind::Create && data.get("name").is_none() {
                data["name"] = format!("row {row}").into();
            }
            Change { kind, row, data }
        })
    });
    let spectra = (11..13u128, 0..9u8, 1..5u128, 0..5u128).prop_map(|(row, kind, of, to)| {
        let kind = [EventKind::Create, EventKind::Update, EventKind::Delete][usize::from(kind / 4)];
        let to = if to == 0 { Value::Null } else { json!(id(to)) };
        Change {
            kind,
            row,
            data: json!({"sample_id": id(of), "reference_id": to}),
        }
    });
    prop_oneof![3 => samples, 1 => spectra]
}

/// What every history begins with, so that most changes find a row.
fn beginning() -> Step {
    let sample = |row: u128| Change {
        kind: EventKind::Create,
        row,
        data: json!({"name": format!("row {row}"), "info": {"k0": 0}}),
    };
    Step::Append((1..4).map(sample).collect())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        7 => prop::collection::vec(change(), 1..4).prop_map(Step::Append),
        2 => (any::<u8>(), any::<bool>(), any::<bool>())
            .prop_map(|(at, keep, replay)| Step::RollBack { at, keep, replay }),
        1 => Just(Step::Undo),
        1 => Just(Step::Redo),
    ]
}

/// One database, with its oracle.
struct World {
    lab: Database,
    oracle: Oracle,
    /// Whether each rollback is written by the other strategy than the step says.
    other_way: bool,
}

impl World {
    async fn new(backend: Backend, other_way: bool) -> Self {
        Self::of(Database::with(backend, &schema(backend)).await, other_way)
    }

    /// On PostgreSQL, by plain INSERTs.
    async fn by_insert() -> Self {
        let lab = Database::with_inserts(&schema(Backend::Postgres)).await;
        Self::of(lab, false)
    }

    fn of(lab: Database, other_way: bool) -> Self {
        Self {
            lab,
            oracle: Oracle::default(),
            other_way,
        }
    }

    /// Takes a step; an error is the refusal's code.
    async fn take(&mut self, step: &Step) -> Result<(), &'static str> {
        let rows_before = self.rows().await;
        let result = match step {
            Step::Append(changes) => self.append(changes).await,
            Step::RollBack { at, keep, replay } => self.roll_back(*at, *keep, *replay).await,
            Step::Undo => {
                let plan = rollback::plan_undo(&*self.lab.store, None, false).await;
                self.carry_out(plan.map_err(|error| error.code.as_str())?)
                    .await
            }
            Step::Redo => {
                let plan = rollback::plan_redo(&*self.lab.store, None, false).await;
                self.carry_out(plan.map_err(|error| error.code.as_str())?)
                    .await
            }
        };
        if result.is_err() {
            assert_eq!(self.rows().await, rows_before, "the rows after a refusal");
        }
        self.check().await;
        result
    }

    async fn append(&mut self, changes: &[Change]) -> Result<(), &'static str> {
        let events = changes.iter().map(Change::to_event).collect();
        match self.lab.store.append(events).await {
            Ok(stored) => {
                self.oracle.append(&stored);
                Ok(())
            }
            Err(error) => Err(error.code.as_str()),
        }
    }

    async fn roll_back(&mut self, at: u8, keep: bool, replay: bool) -> Result<(), &'static str> {
        let head = self.lab.store.head().await.unwrap();
        if head == 0 {
            return Err("empty");
        }
        let event = 1 + i64::from(at) * head / 256;
        let request = RollbackRequest {
            strategy: if replay {
                Written::Replay
            } else {
                Written::Minimal
            },
            ..RollbackRequest::to(if keep {
                RollbackTarget::AfterEvent(event)
            } else {
                RollbackTarget::BeforeEvent(event)
            })
        };
        let plan = rollback::plan(&*self.lab.store, request).await.unwrap();
        assert_eq!(
            plan.keeps_through,
            self.oracle.keeps(event, keep),
            "the target of #{event}"
        );
        self.carry_out(plan).await
    }

    async fn carry_out(&mut self, plan: RollbackPlan) -> Result<(), &'static str> {
        let strategy = match self.other_way {
            true => plan.strategy().other(),
            false => plan.strategy(),
        };
        let plan = plan.with_strategy(strategy);
        let now = self.oracle.rows().clone();
        let then = self.oracle.rows_at(plan.keeps_through).clone();
        check_plan(&plan, &now, &then, &self.lab.store.tables().await.unwrap());
        let authors = rollback::count_authors(&*self.lab.store, &plan.undone);
        let authors = authors.await.unwrap().into_iter();
        let made: u64 = authors.map(|(_, events)| events).sum();
        assert_eq!(made, plan.events_undone, "each event has its author");
        let outcome = rollback::execute(
            &*self.lab.store,
            &plan.clone().confirm(true).unwrap(),
            &Control::default(),
        )
        .await
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.details));
        let planned = match plan.events_to_append() {
            Some(planned) => planned,
            None => rollback::count_replay(&*self.lab.store, plan.head, plan.course.clone())
                .await
                .unwrap(),
        };
        assert_eq!(outcome.events_appended, planned);
        let log = self.lab.log().await;
        let appended = &log[usize::try_from(plan.head).unwrap()..];
        assert_eq!(appended.len() as u64, outcome.events_appended);
        self.oracle.roll_back(appended, plan.keeps_through);
        Ok(())
    }

    async fn rows(&self) -> Rows {
        self.lab
            .rows()
            .await
            .into_iter()
            .map(|(table, row)| {
                let key = row
                    .values()
                    .next()
                    .and_then(Value::as_str)
                    .unwrap()
                    .parse()
                    .unwrap();
                ((table, key), row)
            })
            .collect()
    }

    /// Tables = oracle; fold of the whole log = fold of the effective events = tables; the standing of each event.
    async fn check(&self) {
        let rows = self.rows().await;
        assert_rows(&rows, self.oracle.rows(), "the tables and the oracle");
        assert_eq!(verify::drift(&*self.lab.store).await.unwrap().findings, []);
        let head = self.lab.store.head().await.unwrap();
        let history = self.lab.store.history(head).await.unwrap();
        let effective = self.oracle.effective();
        let log = self.lab.log().await;
        for event in &log {
            let id = event.id;
            let counts = matches!(
                history.standing(head, id, event.row.as_ref()),
                Standing::Effective
            );
            assert_eq!(counts, effective.contains(&id), "#{id} of {head}");
        }
        // All rollbacks at once, as each by itself.
        for found in history.rollbacks_at(head) {
            let by = history.standing(head, found.rollback.id, None).undone_by();
            assert_eq!(
                found.taken_back_by, by,
                "rollback #{} of {head}",
                found.rollback.id
            );
        }
        assert_rows(
            &self.fold(&log, |event| effective.contains(&event.id)).await,
            &rows,
            "the effective events and the tables",
        );
        assert_rows(
            &self.fold(&log, |_| true).await,
            &rows,
            "the whole log and the tables",
        );
    }

    async fn fold(&self, log: &[Event], counts: impl Fn(&Event) -> bool) -> Rows {
        let tables = self.lab.store.tables().await.unwrap();
        let mut rows = Rows::new();
        for event in log.iter().filter(|event| counts(event)) {
            let Some(key) = &event.row else { continue };
            let table = tables.iter().find(|table| table.name == key.table).unwrap();
            let place = (key.table.clone(), key.uuid);
            if let Some(state) = row::apply(table, rows.remove(&place), event) {
                rows.insert(place, state);
            }
        }
        rows
    }
}

/// The rows without what the clock gave them.
fn timeless(rows: &Rows) -> Rows {
    let mut rows = rows.clone();
    for row in rows.values_mut() {
        row.retain(|column, _| column != "created_on" && column != "updated_on");
    }
    rows
}

fn assert_rows(found: &Rows, expected: &Rows, what: &str) {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "{what}"
    );
    for (key, row) in found {
        let of = |row: &Row, column: &str| row.get(column).cloned().unwrap_or(Value::Null);
        for column in row.keys().chain(expected[key].keys()) {
            let (found, expected) = (of(row, column), of(&expected[key], column));
            assert!(
                value::same(&found, &expected),
                "{what}: {column} of {key:?} is {found}, not {expected}"
            );
        }
    }
}

/// What the plan shows is the difference of the two copies.
fn check_plan(plan: &RollbackPlan, now: &Rows, then: &Rows, tables: &[Table]) {
    assert_eq!(plan.blockers, []);
    let count = |action| {
        plan.changes
            .entries()
            .filter(|row| row.action == action)
            .count()
    };
    let gone = now.keys().filter(|key| !then.contains_key(*key)).count();
    let back = then.keys().filter(|key| !now.contains_key(*key)).count();
    let changed = now
        .iter()
        .filter(|(key, row)| then.get(*key).is_some_and(|then| then != *row))
        .count();
    assert_eq!(
        (
            count(RowAction::Remove),
            count(RowAction::BringBack),
            count(RowAction::Change)
        ),
        (gone, back, changed)
    );
    for change in plan.changes.page(0..plan.changes.len()).unwrap() {
        let key = (change.key.table.clone(), change.key.uuid);
        let table = tables.iter().find(|table| table.name == key.0).unwrap();
        assert_eq!(change.mismatch(table, then.get(&key)), None);
    }
}

/// The events without what the clock gave them.
fn told(log: &[Event]) -> Vec<Value> {
    log.iter()
        .map(|event| {
            let mut data = event.data.clone();
            for column in ["created_on", "updated_on", "before"] {
                data.shift_remove(column);
            }
            data.sort_keys();
            json!([
                event.id,
                event.kind.as_str(),
                event.row.as_ref().map(ToString::to_string),
                data,
                event.origin
            ])
        })
        .collect()
}

/// So many cases, always the same ones, so that a failure is the change's own; or as many others as `PROPTEST_CASES` says.
fn runner(cases: u32) -> TestRunner {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let wanted: Option<u32> =
        wanted.map(|cases| cases.parse().expect("PROPTEST_CASES is a number"));
    let config = Config {
        cases: wanted.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    match wanted {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    }
}

#[test]
fn any_history_is_folded_taken_back_and_told_the_same_on_every_store() {
    let mut runner = runner(24);
    let result = runner.run(&prop::collection::vec(step(), 4..18), |mut steps| {
        steps.insert(0, beginning());
        run(async {
            let mut sqlite = World::new(Backend::Sqlite, false).await;
            let mut postgres = World::new(Backend::Postgres, false).await;
            let mut inserting = World::by_insert().await;
            let mut other = World::new(Backend::Sqlite, true).await;
            for step in &steps {
                let done = sqlite.take(step).await;
                let told_there = told(&sqlite.lab.log().await);
                for (world, how) in [
                    (&mut postgres, "by the library"),
                    (&mut inserting, "by INSERT"),
                ] {
                    assert_eq!(world.take(step).await, done, "{step:?} {how} and on SQLite");
                    assert_eq!(
                        told(&world.lab.log().await),
                        told_there,
                        "after {step:?} {how}"
                    );
                }
            }
            for (world, how) in [(&postgres, "the library"), (&inserting, "INSERT")] {
                assert_rows(
                    &timeless(&world.rows().await),
                    &timeless(&sqlite.rows().await),
                    how,
                );
            }
            for step in &steps {
                // Written by the other strategy, the same steps lead elsewhere, as other events lie between: its own
                // oracle judges each.
                let _ = other.take(step).await;
            }
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn minimal_and_replay_leave_the_same_rows() {
    let mut runner = runner(8);
    let changes = prop::collection::vec(prop::collection::vec(change(), 1..4), 4..16);
    let result = runner.run(
        &(changes, any::<u8>(), any::<bool>()),
        |(transactions, at, keep)| {
            run(async {
                let mut left = Vec::new();
                for (backend, other_way) in [
                    (Backend::Sqlite, false),
                    (Backend::Sqlite, true),
                    (Backend::Postgres, true),
                ] {
                    let mut world = World::new(backend, other_way).await;
                    for changes in &transactions {
                        let _ = world.append(changes).await;
                    }
                    let _ = world
                        .take(&Step::RollBack {
                            at,
                            keep,
                            replay: false,
                        })
                        .await;
                    left.push(timeless(&world.rows().await));
                }
                assert_rows(&left[0], &left[1], "minimal and replay");
                assert_rows(&left[0], &left[2], "minimal, and replay on PostgreSQL");
            });
            Ok(())
        },
    );
    if let Err(error) = result {
        panic!("{error}");
    }
}
