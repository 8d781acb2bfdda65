//! Performing effects on tasks of their own, against the store's trait and the domain.

mod reads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::effect::{Effect, PlanRequest, RequestId, Slot};
use super::message::{Message, Overview};
use crate::eventsourcing::rollback::{self, ConfirmedRollback, Control};
use crate::eventsourcing::{EventId, EventStore, Result, activity, bursts, inspect, strip, verify};

/// How often a rollback at work says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How often it is looked who holds the writer's lock, while a rollback has not begun to write.
const WRITER_INTERVAL: Duration = Duration::from_secs(1);

/// How many events are counted at once for a filter: what is counted so far is told in between.
const COUNTED_AT_ONCE: EventId = 50_000;

/// The tasks at work.
pub(super) struct Effects {
    store: Arc<dyn EventStore>,
    answers: UnboundedSender<Message>,
    tasks: JoinSet<()>,
    /// The reads at work, by what they read: a newer one makes the older one useless.
    reads: HashMap<Slot, AbortHandle>,
    /// The rollback at work.
    control: Option<Arc<Control>>,
}

impl Effects {
    pub(super) fn new(store: Arc<dyn EventStore>, answers: UnboundedSender<Message>) -> Self {
        Self {
            store,
            answers,
            tasks: JoinSet::new(),
            reads: HashMap::new(),
            control: None,
        }
    }

    /// Waits for a task to end; an error is a task that panicked. Pending while none is at work.
    pub(super) async fn ended(&mut self) -> std::result::Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => Err(error),
            Some(_) => Ok(()),
            None => std::future::pending().await,
        }
    }

    /// Begins with an effect; its answer comes as a message.
    pub(super) fn perform(&mut self, effect: Effect) {
        let (store, answers) = (self.store.clone(), self.answers.clone());
        // A message that nobody receives is one for screens that are closed already.
        let answer = move |message| drop(answers.send(message));
        match effect {
            Effect::Overview(request) => self.read(Slot::Overview, async move {
                let read = async {
                    let head = store.head().await?;
                    Ok(Overview {
                        head,
                        events: store.event_count(head).await?,
                        history: store.history(head).await?,
                    })
                };
                answer(Message::Overview(request, read.await));
            }),
            Effect::Watch(known, pause) => self.read(Slot::Watch, async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                answer(Message::Head(store.next_head(known).await));
            }),
            Effect::Page(request, page) => self.read(Slot::Page, async move {
                answer(Message::Page(request, store.page(&page).await));
            }),
            Effect::Matches(request, filter, head) => self.read(Slot::Matches, async move {
                let mut count = 0;
                let mut last = head;
                while last > 0 {
                    let first = (last - COUNTED_AT_ONCE + 1).max(1);
                    match store.count_events(&filter, first, last).await {
                        Ok(more) => count += more,
                        Err(error) => return answer(Message::Matches(request, Err(error))),
                    }
                    last = first - 1;
                    answer(Message::Matches(request, Ok((count, last == 0))));
                }
            }),
            Effect::Strip(request, head, spans) => self.read(Slot::Strip, async move {
                let strip = strip::strip(&*store, head, spans).await;
                answer(Message::Strip(request, strip));
            }),
            Effect::Travel(request, moment) => self.read(Slot::Locate, async move {
                let last = store.position_through(moment).await;
                answer(Message::Travelled(request, moment, last));
            }),
            Effect::Burst(request, filter, from, direction) => {
                self.read(Slot::Locate, async move {
                    let first = bursts::nearest(&*store, &filter, from, direction).await;
                    answer(Message::Burst(request, direction, first));
                });
            }
            Effect::Locate(request, moment) => self.read(Slot::Locate, async move {
                let before = store.position_before(moment).await;
                answer(Message::Located(request, moment, before));
            }),
            Effect::Inspect(request, id) => self.read(Slot::Detail, async move {
                let found = inspect::event(&*store, id).await;
                answer(Message::Inspected(request, Box::new(found)));
            }),
            Effect::Tables(request) => self.read(Slot::Tables, async move {
                answer(Message::Tables(request, store.tables().await));
            }),
            Effect::Count(request, tables, at, large) => self.read(Slot::Counts, async move {
                answer(Message::Counting(request, store.head().await));
                for table in tables {
                    let counted = reads::count(&*store, &table, at, large).await;
                    answer(Message::Counted(request, table.name, counted));
                }
            }),
            Effect::WholeRow(request, asked, key, start, n) => {
                self.read(Slot::WholeRow, async move {
                    let row = reads::whole_row(&*store, &asked, key, (&start, n)).await;
                    answer(Message::WholeRow(request, row));
                });
            }
            Effect::Rows(request, asked, start, limit) => self.read(Slot::Rows, async move {
                answer(Message::Rows(
                    request,
                    reads::grid_page(&*store, &asked, &start, limit).await,
                ));
            }),
            Effect::Row(request, key, at) => self.read(Slot::Row, async move {
                let found = inspect::row(&*store, &key, at).await;
                answer(Message::Row(request, Box::new(found)));
            }),
            Effect::NamedBy(request, key, naming) => self.read(Slot::NamedBy, async move {
                for (table, column) in naming {
                    let counted = reads::named_by(&*store, &key, &table, &column).await;
                    answer(Message::NamedBy(request, (table.name, column), counted));
                }
            }),
            Effect::Life(request, key, before, limit) => self.read(Slot::Life, async move {
                let life = inspect::row_history_before(&*store, &key, before, limit).await;
                answer(Message::Life(request, life));
            }),
            Effect::Plan(request, asked) => self.read(Slot::Plan, async move {
                let plan = match asked {
                    PlanRequest::Rollback(asked) => rollback::plan(&*store, asked).await,
                    PlanRequest::Undo(reason, loss) => {
                        rollback::plan_undo(&*store, reason, loss).await
                    }
                    PlanRequest::Redo(reason, loss) => {
                        rollback::plan_redo(&*store, reason, loss).await
                    }
                };
                let counts = match &plan {
                    Ok(plan) if plan.takes_back_everything() && !plan.is_empty() => {
                        Some((plan.head, plan.course.clone()))
                    }
                    _ => None,
                };
                let undone = plan.as_ref().ok().map(|plan| plan.undone.clone());
                answer(Message::Planned(request, Box::new(plan)));
                if let Some(undone) = undone {
                    let authors = rollback::count_authors(&*store, &undone).await;
                    answer(Message::Authors(request, authors));
                }
                if let Some((head, course)) = counts {
                    let counted = rollback::count_replay(&*store, head, course).await;
                    answer(Message::ReplayCounted(request, counted));
                }
            }),
            Effect::Changes(request, changes, first, places) => {
                self.read(Slot::Changes, async move {
                    let lots: Result<Vec<_>> = changes.lots(places, usize::MAX).collect();
                    let rows = lots.map(|lots| lots.into_iter().flatten().collect());
                    answer(Message::Changes(request, first, rows));
                });
            }
            Effect::Shown(request, changes, text) => {
                // It reads all of the plan's rows, and is let go between lots when a newer one comes.
                self.read(Slot::Shown, async move {
                    answer(Message::Shown(
                        request,
                        reads::shown_rows(&changes, &text).await,
                    ));
                });
            }
            Effect::Verify(request) => self.verify(request),
            Effect::Activity(request, by) => self.read(Slot::Activity, async move {
                let counts = activity::of_whole_log(&*store, by, |_, _| {}).await;
                answer(Message::Activity(request, by, counts));
            }),
            Effect::Export(request, file) => self.read(Slot::Export, async move {
                let written = reads::export_to(&*store, &file).await;
                answer(Message::Exported(
                    request,
                    written.map(|events| (events, file)),
                ));
            }),
            Effect::Copy(_) | Effect::Suspend => {
                unreachable!("the runtime does what concerns the terminal")
            }
            Effect::Execute(request, confirmed) => self.execute(request, *confirmed),
            Effect::Stop => {
                if let Some(control) = &self.control {
                    control.stop();
                }
            }
            Effect::Cancel(slot) => {
                if let Some(read) = self.reads.remove(&slot) {
                    read.abort();
                }
            }
        }
    }

    /// A read: dropped when a newer one of its kind begins.
    fn read(&mut self, slot: Slot, work: impl Future<Output = ()> + Send + 'static) {
        let read = self.tasks.spawn(work);
        if let Some(older) = self.reads.insert(slot, read) {
            older.abort();
        }
    }

    /// Compares the tables with the log, and tells how far it is.
    fn verify(&mut self, request: RequestId) {
        let (store, answers) = (self.store.clone(), self.answers.clone());
        self.read(Slot::Verification, async move {
            let mut told = tokio::time::Instant::now();
            let progress = |rows| {
                if told.elapsed() >= PROGRESS_INTERVAL {
                    told = tokio::time::Instant::now();
                    drop(answers.send(Message::Verifying(request, rows)));
                }
            };
            let verified = async {
                let head = store.head().await?;
                Ok((head, verify::drift_with(&*store, progress).await?))
            };
            let verified = verified.await;
            drop(answers.send(Message::Verified(request, verified)));
        });
    }

    /// A write: never dropped, so that its outcome arrives.
    fn execute(&mut self, request: RequestId, confirmed: ConfirmedRollback) {
        let control = Arc::new(Control::default());
        self.control = Some(control.clone());
        let (store, answers) = (self.store.clone(), self.answers.clone());
        self.tasks.spawn(async move {
            let work = rollback::execute(&*store, &confirmed, &control);
            tokio::pin!(work);
            let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
            let began = tokio::time::Instant::now();
            let mut told = (0, 0);
            let mut looks = tokio::time::interval(WRITER_INTERVAL);
            looks.reset();
            let mut writer = None;
            let outcome = loop {
                tokio::select! {
                    outcome = &mut work => break outcome,
                    _ = looks.tick() => {
                        // Who it is, is not worth a failure: the rollback tells its own.
                        let now = store.writer().await.unwrap_or_default();
                        if now != writer {
                            writer = now;
                            drop(answers.send(Message::Waiting(writer.clone())));
                        }
                    }
                    _ = ticks.tick() => {
                        let progress = control.progress();
                        // That it has not begun is told too, once it is to be noticed.
                        let waits = progress == (0, 0) && began.elapsed() > WRITER_INTERVAL;
                        if progress != told || waits {
                            told = progress;
                            let elapsed = began.elapsed().as_millis();
                            let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
                            drop(answers.send(Message::Progress(progress.0, progress.1, elapsed)));
                        }
                    }
                }
            };
            drop(answers.send(Message::Executed(request, outcome)));
        });
    }
}
