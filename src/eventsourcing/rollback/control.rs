//! A rollback at work: how far it is, and asking it to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::eventsourcing::error::{Error, ErrorCode, Result};

/// The line between the one who waits for a rollback and the store that carries it out: how far it is, and
/// whether it should stop.
#[derive(Debug, Default)]
pub struct Control {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl Control {
    /// Asks it to stop. It undoes everything so far, and answers `Stopped`; or it was already past
    /// stopping, and answers its outcome.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The store's word of how far it is.
    pub fn report(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// Steps done, and steps in all; both 0 before the first word.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (
            self.done.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        )
    }

    /// The answer of a rollback that was asked to stop and did.
    ///
    /// # Errors
    /// `Stopped`, when it was.
    pub fn check(&self) -> Result<()> {
        if self.is_stopped() {
            return Err(Error::new(
                ErrorCode::Stopped,
                "the rollback was stopped: everything is as it was before it began",
            ));
        }
        Ok(())
    }
}
