//! Waiting for the log to grow.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::store;
use futures_util::FutureExt;
use serde_json::json;

use super::schema;
use crate::support::{Database, create, id, on_each, options};

on_each! {
    async fn another_head_is_told_at_once(backend) {
        let lab = Database::mad_lab(backend).await;
        for known in [0, 17, 19, 1000] {
            assert_eq!(lab.store.next_head(known).await.unwrap(), 18, "{known}");
        }
    }

    async fn who_waits_hears_of_what_this_store_and_others_append(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let other = store::open(&lab.address, &options()).await.unwrap();
        let mut head = 0;
        for n in 1..=4 {
            let event = create("sample", id(n), json!({"name": n.to_string()}));
            let appending = async {
                match n % 2 {
                    0 => other.append(vec![event]).await.unwrap(),
                    _ => lab.append(vec![event]).await,
                }
            };
            let (next, appended) = tokio::join!(lab.store.next_head(head), appending);
            head = appended[0].id;
            assert_eq!(next.unwrap(), head);
        }
        let (next, outcome) = tokio::join!(
            lab.store.next_head(head),
            lab.roll_back(RollbackTarget::BeforeEvent(3), Strategy::Minimal)
        );
        let end = outcome.unwrap().rollback_end.unwrap();
        assert_eq!(next.unwrap(), end);
        other.close().await;
    }

    async fn waiting_can_be_given_up_and_begun_anew(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        for n in 1..=3u8 {
            let waiting = lab.store.next_head((n - 1).into());
            assert!(waiting.now_or_never().is_none());
            // Several may wait at once.
            let event = create("sample", id(n.into()), json!({"name": n.to_string()}));
            let (one, another, _) = tokio::join!(
                lab.store.next_head((n - 1).into()),
                lab.store.next_head((n - 1).into()),
                lab.append(vec![event])
            );
            assert_eq!((one.unwrap(), another.unwrap()), (n.into(), n.into()));
        }
    }
}

/// A program may let go of the store where no runtime is.
#[test]
fn a_store_that_waited_can_be_dropped_anywhere() {
    use ebbtide::eventsourcing::store::Backend;
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let lab = crate::support::run(async {
            let lab = Database::mad_lab(backend).await;
            assert_eq!(lab.store.next_head(0).await.unwrap(), 18);
            lab
        });
        drop(lab);
    }
}
