//! Content into batches, in a thread of its own, while earlier batches are being stored.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc;

use crate::identity::formats::Format;
use crate::model::now;
use crate::model::{Batch, FileId, Micros};
use crate::pipeline::read_lines::{Limits, ReadContext, Stop, fill};
use crate::source::Lines;

/// Batches that wait for a connection: one, so that there is always one to send.
const AHEAD: usize = 1;

/// What is read, and how.
pub(crate) struct Reader {
    pub(crate) file: FileId,
    pub(crate) epoch: i64,
    pub(crate) format: Arc<Format>,
    pub(crate) estimated: Micros,
    pub(crate) whole: bool,
    pub(crate) sealed: bool,
    pub(crate) limits: Limits,
    pub(crate) refused: Option<(u64, String)>,
    pub(crate) cutoff: Option<Micros>,
}

/// A batch, and why it ends.
pub(crate) struct Filled {
    pub(crate) batch: Batch,
    pub(crate) stop: io::Result<Stop>,
    /// Offset behind the last byte that was read.
    pub(crate) read_to: u64,
    /// Bytes before it that are no complete line.
    pub(crate) rest: u64,
}

/// The other end of a thread that reads.
pub(crate) struct Stream {
    filled: mpsc::Receiver<Filled>,
    spare: Sender<Batch>,
}

impl Stream {
    /// The next batch; `None` behind the last one.
    pub(crate) async fn next(&mut self) -> Option<Filled> {
        self.filled.recv().await
    }

    /// Gives a batch back, for its memory.
    pub(crate) fn recycle(&self, mut batch: Batch) {
        batch.clear();
        let _ = self.spare.send(batch); // nobody needs it if reading has ended
    }
}

impl Reader {
    /// Begins to read, where `lines` stands. Ends behind the source's end or error, or when the
    /// stream is dropped.
    pub(crate) fn start(self, lines: Lines, source: Box<dyn Read + Send>) -> Stream {
        let (sender, filled) = mpsc::channel(AHEAD);
        let (spare, spares) = channel();
        tokio::task::spawn_blocking(move || self.read(lines, source, &sender, &spares));
        Stream { filled, spare }
    }

    fn read(
        self,
        mut lines: Lines,
        mut source: Box<dyn Read + Send>,
        filled: &mpsc::Sender<Filled>,
        spares: &Receiver<Batch>,
    ) {
        loop {
            let mut batch = spares.try_recv().unwrap_or_default();
            batch.cutoff = self.cutoff;
            let reading = ReadContext {
                file: self.file,
                epoch: self.epoch,
                parser: &self.format.parser,
                envelope: self.format.envelope,
                size: 0,
                estimated: self.estimated,
                now: now(),
                whole: self.whole,
                sealed: self.sealed,
                refused: self.refused.as_ref().map(|(at, why)| (*at, why.as_str())),
            };
            let stop = fill(&mut lines, &mut source, &reading, &mut batch, self.limits, u64::MAX);
            let goes_on = matches!(stop, Ok(Stop::Full));
            let read_to = lines.read_to();
            let sent = filled.blocking_send(Filled {
                batch,
                stop,
                read_to,
                rest: read_to - lines.offset(),
            });
            if sent.is_err() || !goes_on {
                return;
            }
        }
    }
}
