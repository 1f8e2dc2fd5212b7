//! Random orders that depend on a seed and an epoch alone.

use cpu_core::random::philox;

/// Numbers in order from a seed, an epoch and a purpose: words of Philox blocks, counted from 0.
pub(super) struct Draws {
    key: [u32; 2],
    epoch: u64,
    next: u64,
}

impl Draws {
    pub fn new(seed: u64, epoch: u64) -> Self {
        Draws { key: [seed as u32, (seed >> 32) as u32], epoch, next: 0 }
    }

    /// A whole number below `n`, by the high half of the product with 64 random bits (Lemire 2019); its bias is at most
    /// `n / 2^64`.
    pub fn below(&mut self, n: usize) -> usize {
        let counter =
            [self.next as u32, (self.next >> 32) as u32, self.epoch as u32, (self.epoch >> 32) as u32];
        self.next += 1;
        let [low, high, ..] = philox(counter, self.key);
        let word = u64::from(low) | (u64::from(high) << 32);
        ((u128::from(word) * n as u128) >> 64) as usize
    }
}

/// Brings `order` into a random order (Fisher and Yates), the same one for the same seed and epoch.
pub(super) fn permute<T>(order: &mut [T], seed: u64, epoch: u64) {
    let mut draws = Draws::new(seed, epoch);
    for i in (1..order.len()).rev() {
        order.swap(i, draws.below(i + 1));
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
