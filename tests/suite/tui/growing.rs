//! A table in whose middle one is while rows come and go everywhere, against a copy of its keys that is kept beside it.

use std::collections::BTreeSet;

use ebbtide::eventsourcing::EventId;
use ebbtide::eventsourcing::rows::{self, ROWS_AT_ONCE};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::tui::effect::{Effect, RequestId};
use ebbtide::tui::keymap::Key;
use ebbtide::tui::message::{GridPage, Message, Overview};
use ebbtide::tui::model::{Grid, GridRow, Model, Screen};
use ebbtide::tui::update::{start, update};
use proptest::prelude::Rng;
use serde_json::json;
use uuid::Uuid;

use super::transitions::SIZE;
use crate::support::{Database, create, delete, id, on_both, random};

/// Does what is asked about rows, and what follows from that, until nothing is asked any more.
async fn settle(lab: &Database, model: &mut Model, effects: Vec<Effect>) {
    let mut waiting = effects;
    while let Some(effect) = waiting.pop() {
        let Effect::Rows(request, asked, start, limit) = effect else {
            continue;
        };
        let page = rows::page(&*lab.store, &asked, &start, limit)
            .await
            .unwrap();
        let read = page.rows.into_iter().zip(page.left_out);
        let rows = read.map(|(row, left_out)| GridRow {
            row,
            left_out,
            since: None,
        });
        let page = GridPage {
            rows: rows.collect(),
            total: page.total,
            next: page.next,
        };
        waiting.extend(update(model, Message::Rows(request, Ok(page))));
    }
}

/// The molecules, on the screen.
async fn opened(lab: &Database) -> Model {
    let mut model = Model::new(lab.store.info().clone(), SIZE);
    start(&mut model);
    model.screen = Screen::Tables;
    let tables = lab.store.tables().await.unwrap();
    let table = tables
        .iter()
        .find(|table| table.name == "molecule")
        .unwrap();
    model.tables.grid = Some(Grid::new(table.clone(), None));
    model.tables.list = Some(tables);
    let effects = update(&mut model, Message::Key(Key::Char('r')));
    settle(lab, &mut model, effects).await;
    model
}

fn grid(model: &Model) -> &Grid {
    model.tables.grid.as_ref().unwrap()
}

/// Tells that the log has grown, as watching it does.
fn grow(model: &mut Model, head: EventId) -> Vec<Effect> {
    update(model, Message::Head(Ok(head)));
    let overview = Overview {
        head,
        events: head.unsigned_abs(),
        history: Default::default(),
    };
    let request = model.overview_wanted.expect("the log is looked at");
    update(model, Message::Overview(request, Ok(overview)))
}

/// That the rows in sight follow one another as they do in the table, and that what is said of their number is so.
fn assert_shows(model: &Model, keys: &BTreeSet<Uuid>, what: &str) {
    let grid = grid(model);
    assert!(grid.wanted.is_none() && !model.is_going(), "{what}");
    let lines = (grid.top..grid.known_rows()).take(SIZE.grid());
    let shown: Vec<Uuid> = lines
        .map(|at| {
            grid.key_of(grid.row(at).expect("what is in sight is read"))
                .unwrap()
        })
        .collect();
    let first = shown.first().copied().unwrap_or_default();
    let expected: Vec<Uuid> = keys.range(first..).take(shown.len()).copied().collect();
    assert_eq!(shown, expected, "{what}");
    assert!(
        shown.len() == SIZE.grid().min(keys.range(first..).count()),
        "{what}: as many as there are"
    );
    if grid.top == 0 {
        assert_eq!(keys.first(), shown.first(), "{what}");
    }
    if let Some(rows) = grid.rows.filter(|_| grid.is_counted()) {
        assert_eq!(rows, keys.len(), "{what}");
    }
}

on_both! {
    async fn no_row_is_passed_over_however_many_come_and_go(backend) {
        let rounds = match backend {
            Backend::Sqlite => 12,
            Backend::Postgres => 3,
        };
        for seed in 0..rounds {
            let mut random = random(seed);
            let mut below = move |bound: usize| usize::try_from(random.next_u64() % bound as u64).unwrap();
            let lab = Database::mad_lab(backend).await;
            let stored = lab.store.tables().await.unwrap();
            let table = stored.iter().find(|table| table.name == "molecule").unwrap();
            let mut keys = BTreeSet::new();
            let all = rows::RowsRequest {
                table: table.clone(), at: None, selection: Default::default(), first: usize::MAX,
                detail: ebbtide::eventsourcing::timeline::Detail::Whole,
            };
            for row in rows::page(&*lab.store, &all, &Default::default(), ROWS_AT_ONCE).await.unwrap().rows {
                keys.insert(row["molecule_id"].as_str().unwrap().parse::<Uuid>().unwrap());
            }
            let first: Vec<Uuid> = (0..300).map(|_| id(below(1 << 40) as u128)).collect();
            keys.extend(&first);
            let molecule = |uuid: &Uuid| create("molecule", *uuid, json!({"smiles": uuid.to_string()}));
            let mut head = lab.append(first.iter().map(molecule).collect()).await.last().unwrap().id;
            let mut past = vec![(head, keys.clone())];
            let mut model = opened(&lab).await;
            let effects = grow(&mut model, head);
            settle(&lab, &mut model, effects).await;
            let mut shown = keys.clone();
            for step in 0..80 {
                let before = grid(&model).selected_key().map(|key| key.uuid);
                let mut stays = None;
                let pressed = match below(12) {
                    0 => {
                        // Somewhere in the table, often right above what is in sight.
                        let near = grid(&model).selected_key().map_or(0, |key| key.uuid.as_u128());
                        let count = 1 + below(60);
                        let mut fresh = BTreeSet::new();
                        for _ in 0..count {
                            let uuid = match below(2) {
                                0 => id(below(1 << 40) as u128),
                                _ => Uuid::from_u128(near.saturating_sub(1 + below(1 << 20) as u128)),
                            };
                            fresh.extend(Some(uuid).filter(|uuid| !keys.contains(uuid)));
                        }
                        let events = lab.append(fresh.iter().map(molecule).collect()).await;
                        head = events.last().map_or(head, |event| event.id);
                        keys.extend(fresh);
                        None
                    }
                    1 => {
                        let gone: BTreeSet<Uuid> = (0..below(50)).filter_map(|_| first.get(below(300)).copied()).collect();
                        let gone: Vec<Uuid> = gone.into_iter().filter(|uuid| keys.remove(uuid)).collect();
                        let events = lab.append(gone.iter().map(|uuid| delete("molecule", *uuid)).collect()).await;
                        head = events.last().map_or(head, |event| event.id);
                        None
                    }
                    2 => Some(Key::Home),
                    3 => Some(Key::End),
                    4 | 5 => Some(Key::PageUp),
                    6 | 7 => Some(Key::Up),
                    8 | 9 => Some(Key::PageDown),
                    10 => Some(Key::Down),
                    _ => {
                        // To the past and back.
                        stays = before;
                        let effects = match model.position {
                            Some(_) => {
                                shown = keys.clone();
                                update(&mut model, Message::Key(Key::Char('T')))
                            }
                            None => {
                                let (after, then) = past[below(past.len())].clone();
                                shown = then;
                                model.timeline.locate_wanted = Some(RequestId(9000));
                                update(&mut model, Message::Travelled(RequestId(9000), Default::default(), Ok(after)))
                            }
                        };
                        settle(&lab, &mut model, effects).await;
                        None
                    }
                };
                let what = format!("seed {seed}, step {step}, {pressed:?}");
                if let Some(key) = pressed {
                    let effects = update(&mut model, Message::Key(key));
                    settle(&lab, &mut model, effects).await;
                }
                if past.last().is_some_and(|(last, _)| *last < head) {
                    past.push((head, keys.clone()));
                    stays = before;
                    let effects = grow(&mut model, head);
                    settle(&lab, &mut model, effects).await;
                    if model.position.is_none() {
                        shown = keys.clone();
                    }
                    if grid(&model).is_outdated {
                        let effects = update(&mut model, Message::Key(Key::Char('r')));
                        settle(&lab, &mut model, effects).await;
                    }
                }
                assert_shows(&model, &shown, &what);
                // The cursor is on the row on which it was, or on the next one.
                if let Some(before) = stays {
                    let next = shown.range(before..).next().or(shown.last()).copied();
                    assert_eq!(grid(&model).selected_key().map(|key| key.uuid), next, "{what}");
                }
            }
        }
    }
}
