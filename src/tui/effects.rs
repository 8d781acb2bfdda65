//! Performing effects on tasks of their own, against the store's trait and the domain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::effect::{Effect, PlanRequest, RequestId, Slot};
use super::message::{Message, Overview};
use crate::eventsourcing::rollback::{self, ConfirmedRollback, Control};
use crate::eventsourcing::{EventStore, inspect};

/// How often a rollback at work says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How often it is looked who holds the writer's lock, while a rollback has not begun to write.
const WRITER_INTERVAL: Duration = Duration::from_secs(1);

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
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
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
            Effect::Page(request, page) => self.read(Slot::Page, async move {
                answer(Message::Page(request, store.page(&page).await));
            }),
            Effect::Inspect(request, id) => self.read(Slot::Detail, async move {
                let found = inspect::event(&*store, id).await;
                answer(Message::Inspected(request, Box::new(found)));
            }),
            Effect::Tables(request) => self.read(Slot::Tables, async move {
                answer(Message::Tables(request, store.tables().await));
            }),
            Effect::Count(request, tables) => self.read(Slot::Counts, async move {
                for table in tables {
                    let rows = store.row_count(&table).await;
                    answer(Message::Counted(request, table.name, rows));
                }
            }),
            Effect::Rows(request, table, after, limit) => self.read(Slot::Rows, async move {
                let rows = store.rows(&table, after.as_ref(), limit).await;
                answer(Message::Rows(request, rows));
            }),
            Effect::Plan(request, wanted) => self.read(Slot::Plan, async move {
                let plan = match wanted {
                    PlanRequest::Rollback(wanted) => rollback::plan(&*store, wanted).await,
                    PlanRequest::Undo => rollback::plan_undo(&*store, None, false).await,
                    PlanRequest::Redo => rollback::plan_redo(&*store, None, false).await,
                };
                let counts = match &plan {
                    Ok(plan) if plan.takes_back_everything() && !plan.is_empty() => {
                        Some((plan.head, plan.course.clone()))
                    }
                    _ => None,
                };
                answer(Message::Planned(request, Box::new(plan)));
                if let Some((head, course)) = counts {
                    let counted = rollback::count_replay(&*store, head, course).await;
                    answer(Message::ReplayCounted(request, counted));
                }
            }),
            Effect::Changes(request, changes, places) => self.read(Slot::Changes, async move {
                let rows = changes.page(places.clone());
                answer(Message::Changes(request, places.start, rows));
            }),
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

    /// A write: never dropped, so that its outcome arrives.
    fn execute(&mut self, request: RequestId, confirmed: ConfirmedRollback) {
        let control = Arc::new(Control::default());
        self.control = Some(control.clone());
        let (store, answers) = (self.store.clone(), self.answers.clone());
        self.tasks.spawn(async move {
            let work = rollback::execute(&*store, &confirmed, &control);
            tokio::pin!(work);
            let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
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
                        if progress != told {
                            told = progress;
                            drop(answers.send(Message::Progress(progress.0, progress.1)));
                        }
                    }
                }
            };
            drop(answers.send(Message::Executed(request, outcome)));
        });
    }
}
