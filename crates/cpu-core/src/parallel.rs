//! When work goes to several threads: past the size where handing it over costs less than it saves.
//!
//! A hand-over to a sleeping rayon worker costs 5 to 20 us (`benches/threads.rs` measures it). Work is divided at places that
//! depend on its size alone, so results do not depend on the number of threads. The threads are those of the rayon pool
//! that the call runs in.

/// Elements of arithmetic that is bound by memory (add, copy, optimiser updates): about 20 us on one core.
pub(crate) const MEMORY: Work = Work { threshold: 1 << 17, chunk: 1 << 15 };
/// Elements of work that computes exponentials or random numbers: about 20 us on one core.
pub(crate) const COMPUTE: Work = Work { threshold: 1 << 16, chunk: 1 << 13 };

/// A kind of work.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// Elements from which on threads pay.
    threshold: usize,
    /// Elements that one thread takes at a time.
    pub chunk: usize,
}

impl Work {
    /// Whether `n` elements are worth more than one thread.
    #[inline]
    pub fn pays(self, n: usize) -> bool {
        n >= self.threshold && rayon::current_num_threads() > 1
    }

    /// Rows of `cols` elements that one thread takes at a time.
    pub fn rows(self, cols: usize) -> usize {
        (self.chunk / cols.max(1)).max(1)
    }
}
