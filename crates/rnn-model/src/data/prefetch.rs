//! Batches made ahead of time on a thread of their own.

use super::{Batch, BatchSource};
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Runs a source on a thread of its own, up to some batches ahead of the one that takes them. Batches, their order and
/// errors are those of the source. Dropping it stops the thread after the batch it is at, and waits for that.
///
/// ```
/// use ndarray::Array2;
/// use rnn_model::data::{BatchSource, Prefetch, RowBatches};
/// let mut source = Prefetch::new(RowBatches::new(Array2::<f32>::zeros((100, 3))), 2);
/// source.begin(1)?;
/// assert_eq!(source.batches(), Some(4));
/// assert_eq!(source.next_batch()?.unwrap().samples(), 32);
/// # Ok::<(), rnn_model::Error>(())
/// ```
pub struct Prefetch {
    /// `None` only while it is dropped
    requests: Option<Sender<Request>>,
    answers: Option<Receiver<Answer>>,
    thread: Option<JoinHandle<()>>,
    sizes: Sizes,
    ahead: usize,
    /// epoch, and batches of it that were given or left out
    place: (u64, usize),
    /// the epoch's last batch was given
    ended: bool,
}

/// An epoch to be read, from a batch on, and where its batches go.
struct Request {
    epoch: u64,
    skip: usize,
    answers: SyncSender<Answer>,
}

enum Answer {
    Begun(Sizes),
    Batch(Batch),
    Ended(Sizes),
    Failed(Error),
}

/// Batches and samples per epoch, where known.
#[derive(Clone, Copy, Default)]
struct Sizes {
    batches: Option<usize>,
    samples: Option<usize>,
}

impl Prefetch {
    /// Starts a thread that keeps at most `ahead` batches waiting (at least 1).
    pub fn new(source: impl BatchSource + 'static, ahead: usize) -> Self {
        let sizes = Sizes::of(&source);
        let (requests, queue) = channel::<Request>();
        let thread = std::thread::spawn(move || {
            let mut source = source;
            while let Ok(request) = queue.recv() {
                let answers = request.answers.clone();
                // Whatever state a panic leaves the source in, only `begin` is called on it next.
                let run = catch_unwind(AssertUnwindSafe(|| serve(&mut source, request)));
                let error = match run {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error,
                    Err(panic) => Error::invalid("the batch source", format!("panicked: {}", text(&*panic))),
                };
                // Nobody waits for it any more: nobody needs to know.
                let _ = answers.send(Answer::Failed(error));
            }
        });
        Prefetch {
            requests: Some(requests),
            answers: None,
            thread: Some(thread),
            sizes,
            ahead: ahead.max(1),
            place: (0, 0),
            ended: false,
        }
    }

    fn request(&mut self, epoch: u64, skip: usize) -> Result<()> {
        // The thread stops making batches that nobody can take.
        (self.answers, self.ended) = (None, false);
        let (answers, receiver) = sync_channel(self.ahead);
        let sent = self.requests.as_ref().is_some_and(|r| r.send(Request { epoch, skip, answers }).is_ok());
        if !sent {
            return Err(Error::invalid("prefetch", "its thread has ended"));
        }
        self.answers = Some(receiver);
        self.place = (epoch, skip);
        match self.answer()? {
            Answer::Begun(sizes) => self.sizes = sizes,
            _ => unreachable!("an epoch begins with Begun"),
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<Answer> {
        let Some(answers) = &self.answers else {
            return Err(Error::invalid("prefetch", "begin an epoch before taking batches"));
        };
        match answers.recv() {
            Ok(Answer::Failed(error)) => {
                self.answers = None;
                Err(error)
            }
            Ok(answer) => Ok(answer),
            Err(_) => Err(Error::invalid("prefetch", "its thread has ended")),
        }
    }
}

/// One epoch, until it ends or nobody takes its batches.
fn serve(source: &mut impl BatchSource, request: Request) -> Result<()> {
    source.begin(request.epoch)?;
    source.skip(request.skip)?;
    let mut taken = request.answers.send(Answer::Begun(Sizes::of(source))).is_ok();
    while taken {
        taken = match source.next_batch()? {
            Some(batch) => request.answers.send(Answer::Batch(batch)).is_ok(),
            None => {
                let _ = request.answers.send(Answer::Ended(Sizes::of(source)));
                false
            }
        };
    }
    Ok(())
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    match panic.downcast_ref::<&str>() {
        Some(text) => text,
        None => panic.downcast_ref::<String>().map_or("no message", String::as_str),
    }
}

impl Sizes {
    fn of(source: &impl BatchSource) -> Self {
        Sizes { batches: source.batches(), samples: source.samples() }
    }
}

impl BatchSource for Prefetch {
    fn begin(&mut self, epoch: u64) -> Result<()> {
        self.request(epoch, 0)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        if self.ended {
            return Ok(None);
        }
        match self.answer()? {
            Answer::Batch(batch) => {
                self.place.1 += 1;
                Ok(Some(batch))
            }
            Answer::Ended(sizes) => {
                (self.sizes, self.ended) = (sizes, true);
                Ok(None)
            }
            _ => unreachable!("an epoch begins once"),
        }
    }

    fn batches(&self) -> Option<usize> {
        self.sizes.batches
    }

    fn samples(&self) -> Option<usize> {
        self.sizes.samples
    }

    fn skip(&mut self, batches: usize) -> Result<()> {
        let (epoch, given) = self.place;
        self.request(epoch, given.saturating_add(batches))
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // Both ends gone, the thread stops at its next batch.
        (self.requests, self.answers) = (None, None);
        if let Some(thread) = self.thread.take() {
            // A panic there was an answer already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::RowBatches;
    use ndarray::Array2;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn rows() -> RowBatches<'static> {
        let x = Array2::from_shape_fn((23, 2), |(r, c)| (r * 2 + c) as f32);
        RowBatches::new(x.clone()).target(x).batch_size(4).shuffle(9)
    }

    fn read(source: &mut impl BatchSource) -> Vec<Batch> {
        std::iter::from_fn(|| source.next_batch().unwrap()).collect()
    }

    #[test]
    fn gives_what_the_source_gives() {
        for ahead in [0, 1, 3, 100] {
            let (mut plain, mut source) = (rows(), Prefetch::new(rows(), ahead));
            assert_eq!((source.batches(), source.samples()), (Some(6), Some(23)));
            for epoch in [1, 2, 2, 1] {
                plain.begin(epoch).unwrap();
                source.begin(epoch).unwrap();
                assert_eq!(read(&mut source), read(&mut plain));
                assert_eq!(source.next_batch().unwrap(), None);
            }
            // Left in the middle, and gone on from the middle.
            for skipped in [0, 2, 9] {
                plain.begin(3).unwrap();
                source.begin(3).unwrap();
                assert_eq!(source.next_batch().unwrap(), plain.next_batch().unwrap());
                plain.skip(skipped).unwrap();
                source.skip(skipped).unwrap();
                assert_eq!(read(&mut source), read(&mut plain));
            }
        }
    }

    /// Fails, panics or goes on without end at a batch; counts the batches made.
    struct Faulty {
        made: Arc<AtomicUsize>,
        fails: bool,
        panics: bool,
    }

    impl BatchSource for Faulty {
        fn begin(&mut self, epoch: u64) -> Result<()> {
            if epoch == 0 { Err(Error::invalid("epoch", "0")) } else { Ok(()) }
        }

        fn next_batch(&mut self) -> Result<Option<Batch>> {
            let made = self.made.fetch_add(1, Ordering::SeqCst);
            assert!(!(self.panics && made == 2), "at batch {made}");
            if self.fails && made == 2 {
                return Err(Error::invalid("disk", "gone"));
            }
            Ok(Some(Batch::default()))
        }
    }

    fn faulty(fails: bool, panics: bool) -> (Arc<AtomicUsize>, Prefetch) {
        let made = Arc::new(AtomicUsize::new(0));
        let source = Faulty { made: made.clone(), fails, panics };
        (made, Prefetch::new(source, 2))
    }

    #[test]
    fn errors_and_panics_come_at_their_place() {
        for (fails, panics, message) in [(true, false, "disk: gone"), (false, true, "panicked: at batch 2")] {
            let (_, mut source) = faulty(fails, panics);
            assert!(source.begin(0).is_err());
            assert!(source.next_batch().is_err());
            source.begin(1).unwrap();
            assert!(source.next_batch().unwrap().is_some());
            assert!(source.next_batch().unwrap().is_some());
            let error = source.next_batch().unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(source.next_batch().is_err());
            source.begin(2).unwrap();
            assert!(source.next_batch().unwrap().is_some());
        }
    }

    #[test]
    fn no_more_is_made_than_the_queue_holds_and_dropping_stops_the_thread() {
        let (made, mut source) = faulty(false, false);
        source.begin(1).unwrap();
        // Two in the queue (which `Begun` has left), one that waits to be put there.
        while made.load(Ordering::SeqCst) < 3 {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(made.load(Ordering::SeqCst), 3);
        drop(source);
        let after = made.load(Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(made.load(Ordering::SeqCst), after);
        assert!(after <= 4, "{after}");
    }
}
