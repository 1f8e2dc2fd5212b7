//! A buffer that begins on a cache line.
//!
//! A large `Vec<f32>` begins 16 bytes into a page, so that every vector of a row whose length is a multiple of a cache
//! line lies across two lines, and a store of one costs two. What that costs stands in `docs/PERFORMANCE.md`.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// A slice of fixed length on the heap, its first element on a cache line.
#[derive(Debug)]
pub struct AlignedVec<T> {
    data: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Copy + Default> AlignedVec<T> {
    /// `len` times the default, which is 0 for numbers.
    pub fn new(len: usize) -> Self {
        let size = size_of::<T>().max(1);
        let data = vec![T::default(); len + LINE / size];
        let into_line = data.as_ptr().addr() % LINE;
        let first = if into_line == 0 { 0 } else { (LINE - into_line) / size };
        AlignedVec { data, first, len }
    }
}

impl<T: Copy + Default> From<&[T]> for AlignedVec<T> {
    fn from(values: &[T]) -> Self {
        let mut all = AlignedVec::new(values.len());
        all.copy_from_slice(values);
        all
    }
}

impl<T: Copy + Default> Clone for AlignedVec<T> {
    fn clone(&self) -> Self {
        AlignedVec::from(&self[..])
    }
}

/// Empty, and without an allocation.
impl<T> Default for AlignedVec<T> {
    fn default() -> Self {
        AlignedVec { data: Vec::new(), first: 0, len: 0 }
    }
}

impl<T> Deref for AlignedVec<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        &self.data[self.first..][..self.len]
    }
}

impl<T> DerefMut for AlignedVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.first..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::AlignedVec;

    #[test]
    fn begins_on_a_cache_line() {
        for len in [0, 1, 15, 16, 1000, 1 << 20] {
            let mut v = AlignedVec::<f32>::new(len);
            assert_eq!((v.len(), v.as_ptr().addr() % 64), (len, 0));
            v.fill(2.0);
            assert_eq!(&v.clone()[..], &v[..]);
            assert_eq!(AlignedVec::<f64>::new(len).as_ptr().addr() % 64, 0);
        }
        assert!(AlignedVec::<f32>::default().is_empty());
        assert_eq!(&AlignedVec::from(&[1.0, 2.0][..])[..], &[1.0, 2.0]);
    }
}
