//! One leased pool for everything that grows with traffic. A lease is taken before a body is read and returned on drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Refusal;

/// The pool.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    limit: u64,
    used: AtomicU64,
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
        Self(Arc::new(Pool { limit, used: AtomicU64::new(0) }))
    }

    /// Leases `bytes`, or refuses with a retryable refusal.
    pub fn lease(&self, bytes: u64) -> Result<Lease, Refusal> {
        let mut lease = Lease { pool: Arc::clone(&self.0), bytes: 0 };
        lease.grow(bytes)?;
        Ok(lease)
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
            self.pool.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
