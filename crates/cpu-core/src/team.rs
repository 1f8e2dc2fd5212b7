//! A team of threads that stays together over a whole sequence.
//!
//! A recurrent layer hands work between cores once per time step, a few microseconds apart: too often for a task
//! queue, and a barrier inside tasks of a shared pool can wait for a task that never got a thread. Here a member of
//! the team is a thread of its own; between jobs it spins for a moment, then sleeps.

use std::any::Any;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long an idle member stays awake: about what it costs to wake a sleeping thread, so that at worst as much is
/// spent as is saved.
const AWAKE: Duration = Duration::from_micros(50);

/// Spins before a waiting thread offers its core to others.
const SPINS: u32 = 500;

/// A member's view of the team during a job.
pub(crate) struct Member<'a> {
    /// `0..count`; the caller is 0
    pub index: usize,
    /// members at work
    pub count: usize,
    barrier: &'a Barrier,
}

impl Member<'_> {
    /// Waits until every member of the job is here.
    #[inline]
    pub fn wait(&self) {
        if self.count > 1 {
            self.barrier.wait(self.count);
        }
    }

    /// This member's share of `n` pieces: a contiguous range.
    #[inline]
    pub fn share(&self, n: usize) -> std::ops::Range<usize> {
        share(n, self.index, self.count)
    }
}

/// The `index`-th of `count` contiguous ranges that `n` pieces are dealt to; lengths differ by at most one.
#[inline]
pub(crate) fn share(n: usize, index: usize, count: usize) -> std::ops::Range<usize> {
    let start = |i: usize| (n / count) * i + i.min(n % count);
    start(index)..start(index + 1)
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Runs `job` once on each of up to `threads` members, together. There may be fewer, down to the caller alone, where
/// the machine has fewer cores or another thread has the team: a job must give the same result for any number.
pub(crate) fn run(threads: usize, job: impl Fn(Member<'_>) + Sync) {
    let wanted = threads.min(cores());
    let mut team = if wanted > 1 { team() } else { None };
    let count = team.as_mut().map_or(1, |team| team.grow(wanted - 1).min(wanted - 1) + 1);
    let barrier = Barrier::default();
    if count == 1 {
        drop(team);
        return job(Member { index: 0, count, barrier: &barrier });
    }
    let team = team.expect("there is a team where count is above 1");
    let task = Task { job: &|index| job(Member { index, count, barrier: &barrier }), barrier: &barrier };
    let mut panic = None;
    for worker in &team.workers[..count - 1] {
        worker.start(&task);
    }
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| (task.job)(0))) {
        barrier.broken.store(true, Ordering::Release);
        panic = Some(cause);
    }
    for worker in &team.workers[..count - 1] {
        if let Some(cause) = worker.finish() {
            panic = Some(cause);
        }
    }
    drop(team);
    if let Some(cause) = panic {
        resume_unwind(cause);
    }
}

/// Runs `job(part)` for every part in `0..parts`, which do not depend on each other, each part on one thread.
pub(crate) fn run_parts(parts: usize, job: impl Fn(usize) + Sync) {
    run(parts, |member| member.share(parts).for_each(&job));
}

fn team() -> Option<MutexGuard<'static, Team>> {
    static TEAM: Mutex<Team> = Mutex::new(Team { workers: Vec::new() });
    match TEAM.try_lock() {
        Ok(team) => Some(team),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

struct Team {
    workers: Vec<Worker>,
}

impl Team {
    /// Sees to it that there are `n` workers; says how many there are.
    fn grow(&mut self, n: usize) -> usize {
        while self.workers.len() < n {
            let slot = Arc::new(Slot::default());
            let theirs = Arc::clone(&slot);
            let name = format!("tidegate-{}", self.workers.len() + 1);
            let index = self.workers.len() + 1;
            match thread::Builder::new().name(name).spawn(move || theirs.serve(index)) {
                Ok(handle) => self.workers.push(Worker { slot, thread: handle.thread().clone() }),
                Err(_) => break,
            }
        }
        self.workers.len()
    }
}

struct Worker {
    slot: Arc<Slot>,
    thread: Thread,
}

/// What a job looks like to a worker. It lives on the caller's stack until every worker has finished it.
struct Task<'a> {
    job: &'a (dyn Fn(usize) + Sync),
    barrier: &'a Barrier,
}

impl Worker {
    fn start(&self, task: &Task<'_>) {
        let task = std::ptr::from_ref(task) as usize;
        self.slot.task.store(task, Ordering::SeqCst);
        if self.slot.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    fn finish(&self) -> Option<Box<dyn Any + Send>> {
        let mut spins = 0;
        while self.slot.task.load(Ordering::Acquire) != 0 {
            pause(&mut spins);
        }
        self.slot.panic.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}

/// The mailbox of a worker.
#[derive(Default)]
#[repr(align(128))]
struct Slot {
    /// address of the task at hand, 0 when there is none
    task: AtomicUsize,
    asleep: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Slot {
    fn serve(&self, index: usize) {
        loop {
            let address = self.next();
            // SAFETY: the address was made from a reference to a `Task` in `Worker::start`; `run` keeps that task alive
            // until `Worker::finish` has seen the 0 that is stored below, after the last use.
            let task = unsafe { &*(address as *const Task<'_>) };
            if let Err(cause) = catch_unwind(AssertUnwindSafe(|| (task.job)(index))) {
                task.barrier.broken.store(true, Ordering::Release);
                *self.panic.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(cause);
            }
            self.task.store(0, Ordering::Release);
        }
    }

    fn next(&self) -> usize {
        let idle_since = Instant::now();
        loop {
            for _ in 0..64 {
                let task = self.task.load(Ordering::Acquire);
                if task != 0 {
                    return task;
                }
                spin_loop();
            }
            if idle_since.elapsed() > AWAKE {
                // Sequential consistency: either `start` sees `asleep`, or this load sees the task.
                self.asleep.store(true, Ordering::SeqCst);
                while self.task.load(Ordering::SeqCst) == 0 {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
            }
        }
    }
}

/// A barrier for threads that all run: it spins.
#[derive(Default)]
#[repr(align(128))]
struct Barrier {
    arrived: AtomicUsize,
    generation: AtomicUsize,
    /// a member panicked and will not come
    broken: AtomicBool,
}

impl Barrier {
    fn wait(&self, count: usize) {
        let generation = self.generation.load(Ordering::Relaxed);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == count {
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.generation.load(Ordering::Acquire) == generation {
            assert!(!self.broken.load(Ordering::Acquire), "another member of the team panicked");
            pause(&mut spins);
        }
    }
}

#[inline]
fn pause(spins: &mut u32) {
    if *spins < SPINS {
        *spins += 1;
        spin_loop();
    } else {
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_once() {
        for n in 0..20 {
            for count in 1..6 {
                let all: Vec<usize> = (0..count).flat_map(|i| share(n, i, count)).collect();
                assert_eq!(all, (0..n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn members_meet_at_the_barrier() {
        let steps: Vec<AtomicUsize> = (0..500).map(|_| AtomicUsize::new(0)).collect();
        for _ in 0..20 {
            steps.iter().for_each(|step| step.store(0, Ordering::SeqCst));
            run(4, |member| {
                for step in &steps {
                    step.fetch_add(1, Ordering::Relaxed);
                    member.wait();
                    assert_eq!(step.load(Ordering::Relaxed), member.count);
                }
            });
        }
    }

    #[test]
    fn a_nested_or_concurrent_job_runs_alone() {
        let ran = AtomicUsize::new(0);
        run_parts(4, |_| {
            run_parts(3, |_| {
                ran.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(ran.into_inner(), 12);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let result = catch_unwind(|| {
            run(2, |member| {
                assert!(member.index + 1 < member.count, "boom");
                member.wait();
            });
        });
        assert!(result.is_err());
        let ran = AtomicUsize::new(0);
        run_parts(2, |_| {
            ran.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(ran.into_inner(), 2);
    }
}
