//! Access to arrays that the members of a team write at disjoint places.

use std::marker::PhantomData;

use crate::math::Lanes;

/// A mutable slice shared by several threads, which keep out of each other's way by agreement.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a view is only a pointer and a length; every access goes through an unsafe method that states the agreement.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> View<'a> {
    pub fn new(slice: &'a mut [f32]) -> Self {
        View { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    pub fn empty() -> Self {
        View { start: std::ptr::NonNull::dangling().as_ptr(), len: 0, borrow: PhantomData }
    }

    /// A part of it.
    pub fn part(&self, at: usize, n: usize) -> Self {
        assert!(at + n <= self.len);
        View { start: self.start.wrapping_add(at), len: n, borrow: PhantomData }
    }

    /// Whether both are the same memory.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.start, other.start)
    }

    /// Where element `at` is; the pointer is good for `n` elements.
    #[inline(always)]
    pub fn at(&self, at: usize, n: usize) -> *mut f32 {
        debug_assert!(at + n <= self.len, "{at} + {n} > {}", self.len);
        self.start.wrapping_add(at)
    }

    /// # Safety
    /// The elements lie inside, and no thread writes them meanwhile.
    #[inline(always)]
    pub unsafe fn get(&self, at: usize, n: usize) -> &'a [f32] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts(self.at(at, n), n) }
    }

    /// # Safety
    /// The elements lie inside, and nobody else reads or writes them meanwhile.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn get_mut(&self, at: usize, n: usize) -> &'a mut [f32] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.at(at, n), n) }
    }
}

/// The first `n` lanes from memory, the others 0.
///
/// # Safety
/// `from` is good for `n` numbers, `n <= N`.
#[inline(always)]
pub(crate) unsafe fn load<S: Lanes<T = f32>>(s: S, from: *const f32, n: usize) -> S::V {
    // SAFETY: the caller's.
    let from = unsafe { std::slice::from_raw_parts(from, n) };
    if n == S::N { s.load(from) } else { s.load_part(from) }
}

/// The first `n` lanes to memory.
///
/// # Safety
/// `to` is good for `n` numbers, `n <= N`, and nobody else uses them.
#[inline(always)]
pub(crate) unsafe fn store<S: Lanes<T = f32>>(s: S, to: *mut f32, n: usize, v: S::V) {
    // SAFETY: the caller's.
    let to = unsafe { std::slice::from_raw_parts_mut(to, n) };
    if n == S::N {
        s.store(to, v);
    } else {
        s.store_part(to, v);
    }
}
