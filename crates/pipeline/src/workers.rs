//! A fixed pool of named threads for work that would hold an async worker longer than half a millisecond, or that waits for
//! the disk. The queue before it is bounded; whoever offers more waits.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// The pool. Cloning shares it; its threads end when the last clone is gone and the queue is empty.
#[derive(Clone)]
pub struct Workers {
    queue: mpsc::Sender<Job>,
}

/// The job did not run to its end: it panicked, or the threads could not be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a worker thread ended before the job was done")
    }
}

impl std::error::Error for Gone {}

impl Workers {
    /// Starts `threads` (at least one) threads called `name`-0, `name`-1 … behind a queue of `waiting` jobs (at least one).
    pub fn start(name: &str, threads: usize, waiting: usize) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job>(waiting.max(1));
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.max(1) {
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                loop {
                    // One idle thread waits inside the channel, the others wait for the lock; both wake for one job.
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                    let Some(job) = job else { return };
                    // A job that panics has dropped its answer, which its caller sees; the thread lives on.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Self { queue })
    }

    /// Runs `job` on one of the threads and waits for its result. Dropping the future abandons the result; a job that has
    /// begun runs to its end.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Gone> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !answer.is_closed() {
                let _ = answer.send(job());
            }
        });
        self.queue.send(job).await.map_err(|_| Gone)?;
        result.await.map_err(|_| Gone)
    }

    /// Queues `job` unless the queue is full; says whether it did.
    pub fn offer(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.queue.try_send(Box::new(job)).is_ok()
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("free", &self.queue.capacity()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_run_off_the_callers_thread_and_answer() {
        let workers = Workers::start("worker", 2, 4).unwrap();
        let here = std::thread::current().id();
        let (there, name) = workers
            .run(|| (std::thread::current().id(), std::thread::current().name().map(str::to_owned)))
            .await
            .unwrap();
        assert_ne!(here, there);
        assert!(name.unwrap().starts_with("worker-"));
    }

    #[tokio::test]
    async fn a_panicking_job_takes_no_thread_with_it() {
        let workers = Workers::start("worker", 1, 1).unwrap();
        assert_eq!(
            workers
                .run(|| if true {
                    panic!("on purpose")
                })
                .await,
            Err(Gone)
        );
        assert_eq!(workers.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_full_queue_takes_no_offer() {
        let workers = Workers::start("worker", 1, 1).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begun, running) = oneshot::channel();
        assert!(workers.offer(move || {
            let _ = begun.send(());
            let _ = held.recv();
        }));
        running.await.unwrap();
        assert!(workers.offer(|| {}));
        assert!(!workers.offer(|| {}));
        drop(release);
        assert_eq!(workers.run(|| 1).await, Ok(1));
    }
}
