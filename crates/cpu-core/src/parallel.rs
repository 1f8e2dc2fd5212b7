//! When work goes to several threads, and how it is divided.
//!
//! The threads are the team's ([`crate::team`]), which also runs the recurrent layers: between the operations of a train
//! step its members are still awake. Work goes to them where handing it over to a sleeping one (5 to 20 us) costs clearly
//! less than it saves (`benches/threads.rs`), and is divided so that results do not depend on the number of threads.

use crate::team;
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

/// Copies, of states above all. Threads pay early here: each part is copied by the thread that has just computed it, or
/// is about to read it, so that it does not cross from one core's cache to the other's.
pub(crate) const COPY: Work = Work { threshold: 1 << 14 };

/// Arithmetic that is bound by memory (add, copy, optimiser updates): the threshold is about 40 us on one core.
pub(crate) const MEMORY: Work = Work { threshold: 1 << 18 };
/// Exponentials, logarithms, random numbers: about 50 us on one core.
pub(crate) const COMPUTE: Work = Work { threshold: 1 << 17 };

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Runs `f` with the operations that it calls on this thread kept to at most `threads` threads. Without this they take
/// every core of the machine where their size makes it worth while. Results are the same.
pub fn with_threads<R>(threads: usize, f: impl FnOnce() -> R) -> R {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }
    let _restore = Restore(LIMIT.replace(threads.max(1)));
    f()
}

/// A kind of work.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// Elements from which on threads pay.
    threshold: usize,
}

impl Work {
    /// Length of the pieces that `n` elements are divided into: a multiple of `unit`, or all where threads do not pay.
    #[inline]
    pub fn chunk(self, n: usize, unit: usize) -> usize {
        if n < self.threshold { n.max(1) } else { self.divide(n, unit.max(1)) }
    }

    /// A piece per thread, none of them below half the threshold.
    fn divide(self, n: usize, unit: usize) -> usize {
        let pieces = LIMIT.get().min(team::cores()).min(2 * n / self.threshold);
        n.div_ceil(pieces).next_multiple_of(unit)
    }
}

/// Runs `job` on every piece, on the calling thread where there is only one.
#[inline]
pub(crate) fn share_out<P: Send>(mut pieces: impl Iterator<Item = P>, job: impl Fn(P) + Sync) {
    let Some(first) = pieces.next() else { return };
    match pieces.next() {
        None => job(first),
        Some(second) => to_team([first, second].into_iter().chain(pieces).collect(), job),
    }
}

#[cold]
fn to_team<P: Send>(pieces: Vec<P>, job: impl Fn(P) + Sync) {
    let pieces: Vec<_> = pieces.into_iter().map(|piece| Mutex::new(Some(piece))).collect();
    team::run_parts(pieces.len(), |i| {
        if let Some(piece) = pieces[i].lock().unwrap_or_else(PoisonError::into_inner).take() {
            job(piece);
        }
    });
}
