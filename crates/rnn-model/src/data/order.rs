//! Random orders that depend on a seed and an epoch alone: of samples on the device, of rows of files, and of the samples of a
//! stream.

use cpu_core::random::philox;

/// The stream of random numbers that orders are drawn from; no layer comes to it.
const STREAM: u32 = u32::MAX;

/// Numbers of 64 bits from a seed and an epoch, the upper and the lower halves from blocks of Philox of their own.
pub(crate) struct Draws {
    key: [u32; 2],
    epoch: u32,
    next: u64,
    /// a block's number and the four numbers in it
    block: Option<(u64, [u64; 4])>,
}

impl Draws {
    pub fn new(seed: u64, epoch: u64) -> Self {
        Draws { key: [seed as u32, (seed >> 32) as u32], epoch: epoch as u32, next: 0, block: None }
    }

    /// The next whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.next += 1;
        self.at(self.next - 1, n)
    }

    /// Draw `i` as a whole number below `n`, by the upper half of the product (Lemire 2019); its bias is at most `n / 2^64`.
    fn at(&mut self, i: u64, n: usize) -> usize {
        let number = i / 4;
        let block = match self.block {
            Some((kept, block)) if kept == number => block,
            _ => self.make(number),
        };
        self.block = Some((number, block));
        ((u128::from(block[(i % 4) as usize]) * n as u128) >> 64) as usize
    }

    fn make(&self, number: u64) -> [u64; 4] {
        let half = |lower: u32| {
            let part = (number >> 32) as u32 * 2 + lower;
            philox([number as u32, STREAM, self.epoch, part], self.key).map(u64::from)
        };
        let (upper, lower) = (half(0), half(1));
        std::array::from_fn(|i| upper[i] << 32 | lower[i])
    }
}

/// Brings `order` into a random order (Fisher and Yates), the same one for the same seed and epoch.
pub(crate) fn permute<T>(order: &mut [T], seed: u64, epoch: u64) {
    let mut draws = Draws::new(seed, epoch);
    for i in (1..order.len()).rev() {
        order.swap(i, draws.at(i as u64, i + 1));
    }
}

/// Which samples make up the batches of an epoch.
pub(super) struct BatchOrder {
    pub batch_size: usize,
    /// `None`: in order
    pub seed: Option<u64>,
    samples: usize,
    /// of the shuffled samples
    order: Vec<usize>,
    at: usize,
}

impl BatchOrder {
    pub fn new(batch_size: usize) -> Self {
        BatchOrder { batch_size, seed: None, samples: 0, order: Vec::new(), at: 0 }
    }

    pub fn begin(&mut self, samples: usize, epoch: u64) {
        (self.samples, self.at) = (samples, 0);
        self.order.clear();
        if let Some(seed) = self.seed {
            self.order.extend(0..samples);
            permute(&mut self.order, seed, epoch);
        }
    }

    /// Samples of the next batch.
    pub fn next(&mut self) -> Option<Vec<usize>> {
        let end = self.samples.min(self.at.saturating_add(self.batch_size));
        let picks = match self.seed {
            _ if self.at >= end => return None,
            Some(_) => self.order[self.at..end].to_vec(),
            None => (self.at..end).collect(),
        };
        self.at = end;
        Some(picks)
    }

    pub fn skip(&mut self, batches: usize) {
        self.at = self.samples.min(self.at.saturating_add(batches.saturating_mul(self.batch_size)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_whole_depend_on_seed_and_epoch_and_favour_no_place() {
        let shuffled = |seed, epoch| {
            let mut order: Vec<usize> = (0..10).collect();
            permute(&mut order, seed, epoch);
            order
        };
        assert_eq!(shuffled(1, 1), shuffled(1, 1));
        assert_ne!(shuffled(1, 1), shuffled(1, 2));
        assert_ne!(shuffled(1, 1), shuffled(2, 1));
        let mut counts = [[0u32; 10]; 10];
        for epoch in 0..10_000 {
            let order = shuffled(7, epoch);
            for (place, &value) in order.iter().enumerate() {
                counts[place][value] += 1;
            }
        }
        // Each count is binomial with mean 1000 and deviation 30: 6 of it is passed once in 5e8 counts, and the seed is
        // fixed.
        for count in counts.iter().flatten() {
            assert!((820..1180).contains(count), "{counts:?}");
        }
    }

    #[test]
    fn batches_cover_every_sample_once_and_skipping_is_reading() {
        for seed in [None, Some(3)] {
            let mut order = BatchOrder { seed, ..BatchOrder::new(4) };
            order.begin(11, 2);
            let all: Vec<Vec<usize>> = std::iter::from_fn(|| order.next()).collect();
            assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 3]);
            let mut flat = all.concat();
            flat.sort_unstable();
            assert_eq!(flat, (0..11).collect::<Vec<_>>());
            order.begin(11, 2);
            order.skip(1);
            assert_eq!(order.next().as_ref(), Some(&all[1]));
            order.skip(9);
            assert_eq!(order.next(), None);
        }
    }
}
