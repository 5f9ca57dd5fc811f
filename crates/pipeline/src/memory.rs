//! One leased pool for everything that grows with traffic. A lease is taken before a body is read and returned on drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Refusal;
use tokio::sync::Notify;

/// The pool.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    limit: u64,
    used: AtomicU64,
    freed: Notify,
}

/// A share of the pool, given back on drop.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    bytes: u64,
}

impl Memory {
    /// A pool of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Pool { limit, used: AtomicU64::new(0), freed: Notify::new() }))
    }

    /// Leases `bytes`, or refuses with a retryable refusal.
    pub fn lease(&self, bytes: u64) -> Result<Lease, Refusal> {
        let mut lease = Lease { pool: Arc::clone(&self.0), bytes: 0 };
        lease.grow(bytes)?;
        Ok(lease)
    }

    /// Waits until `bytes` are free and leases them. More than the whole pool is cut to the pool, so that it can be had.
    pub async fn wait(&self, bytes: u64) -> Lease {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // Registered before the attempt, so that what is freed in between wakes us.
            freed.as_mut().enable();
            if let Ok(lease) = self.lease(bytes.min(self.0.limit)) {
                return lease;
            }
            freed.await;
        }
    }

    /// Leases `bytes` even where that exceeds the pool: for the one parcel that a courier must always be able to move,
    /// since only moving it frees anything.
    pub fn overdraw(&self, bytes: u64) -> Lease {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        Lease { pool: Arc::clone(&self.0), bytes }
    }

    /// Bytes leased now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The pool's size.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

impl Lease {
    /// Bytes leased.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds `more` bytes to the lease, or refuses and leaves it as it was.
    pub fn grow(&mut self, more: u64) -> Result<(), Refusal> {
        let limit = self.pool.limit;
        let taken = self.pool.used.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|sum| *sum <= limit)
        });
        match taken {
            Ok(_) => {
                self.bytes += more;
                Ok(())
            }
            Err(used) => Err(Refusal::unavailable(
                format!("memory in use {used} bytes plus {more} exceeds the limit of {limit}"),
                Duration::from_secs(1),
            )),
        }
    }

    /// Gives back what exceeds `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.pool.give_back(self.bytes - bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes);
    }
}

impl Pool {
    fn give_back(&self, bytes: u64) {
        // An empty lease is dropped by every attempt that fails, also by those that a wake-up caused.
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_lease_beyond_the_limit_is_refused_and_changes_nothing() {
        let memory = Memory::new(10);
        let mut lease = memory.lease(6).unwrap();
        assert!(memory.lease(5).unwrap_err().retry_after.is_some());
        assert!(lease.grow(u64::MAX).is_err());
        lease.shrink_to(2);
        assert_eq!(memory.used(), 2);
        lease.grow(8).unwrap();
        drop(lease);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn one_that_waits_wakes_when_enough_is_free() {
        let memory = Memory::new(10);
        let first = memory.lease(4).unwrap();
        let over = memory.overdraw(9);
        let mut waiting = Box::pin(memory.wait(11));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(over);
        assert_eq!(waiting.now_or_never().unwrap().bytes, 10);
    }
}
