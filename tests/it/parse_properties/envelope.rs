//! Lines of two streams, cut into pieces anywhere and written between each other, come back exactly
//! out of either envelope; and whatever bytes there are, each physical line is accounted for.

use std::sync::atomic::Ordering;

use log_ingestd::source::{Block, Bounds, Envelope, OutputStream};
use proptest::prelude::*;

use super::{LINES, any_rng, fuzz};
use crate::containers::runtime::{RUNTIMES, Runtime, moment};

const WIDE: Bounds = Bounds { most: 1 << 20, gap: 1 << 20 };

fn envelope(runtime: Runtime) -> Envelope {
    match runtime {
        Runtime::Cri => Envelope::Cri,
        Runtime::Docker => Envelope::Docker,
    }
}

/// What a program writes: any bytes but a newline. Docker's files hold text alone.
fn text(rng: &mut fastrand::Rng, runtime: Runtime) -> Vec<u8> {
    let length = if rng.u8(..8) == 0 { rng.usize(..300) } else { rng.usize(..12) };
    let letter = |rng: &mut fastrand::Rng| match rng.u8(..4) {
        0 => *rng.choice(b"\r\\\"<&{}: \0PF").unwrap(),
        1 if runtime == Runtime::Cri => rng.u8(..),
        1 => rng.u8(..128),
        _ => b'a',
    };
    let bytes = std::iter::repeat_with(|| letter(rng)).take(length);
    bytes.filter(|byte| *byte != b'\n').collect()
}

/// A line as it is to come back.
#[derive(Debug, PartialEq)]
struct Right {
    offset: usize,
    stream: OutputStream,
    payload: Vec<u8>,
    time: i64,
    raw: Vec<u8>,
}

/// A file, its lines, and the places where no line is open.
struct Written {
    bytes: Vec<u8>,
    lines: Vec<Right>,
    closed: Vec<usize>,
}

fn write(rng: &mut fastrand::Rng, runtime: Runtime) -> Written {
    let mut written = Written { bytes: Vec::new(), lines: Vec::new(), closed: vec![0] };
    let mut open: [Option<Right>; 2] = [None, None];
    let mut milliseconds = 0;
    let mut left = rng.usize(1..12);
    while left > 0 || open.iter().any(Option::is_some) {
        let nth = rng.usize(..2);
        if open[nth].is_none() && left == 0 {
            continue;
        }
        let (stream, name) =
            [(OutputStream::Stdout, "stdout"), (OutputStream::Stderr, "stderr")][nth];
        let payload = text(rng, runtime);
        let ends = rng.u8(..3) > 0;
        milliseconds += 1;
        let at = moment(milliseconds);
        let piece = runtime.piece(at, name, &payload, ends);
        let line = open[nth].get_or_insert_with(|| {
            left -= 1;
            let (offset, time) = (written.bytes.len(), at.timestamp_micros());
            Right { offset, stream, payload: Vec::new(), time, raw: Vec::new() }
        });
        line.payload.extend(payload);
        line.raw.extend(&piece);
        written.bytes.extend(&piece);
        if ends && let Some(mut line) = open[nth].take() {
            line.raw.pop();
            if line.payload.ends_with(b"\r") {
                line.payload.pop(); // it belongs to the end
            }
            written.lines.push(line);
        }
        if open.iter().all(Option::is_none) {
            written.closed.push(written.bytes.len());
        }
    }
    written.lines.sort_by_key(|line| line.offset);
    written
}

#[test]
fn lines_in_pieces_come_back_as_they_were_written() {
    fuzz("pieces", any_rng(), |mut rng, seen| {
        let mut count = 0;
        while count < LINES {
            for runtime in RUNTIMES {
                let Written { bytes, lines, closed } = write(&mut rng, runtime);
                let mut found = Vec::new();
                let mut at = 0;
                for end in &closed[1..] {
                    // Before its end there is no block, however much of it is there.
                    let part = rng.usize(at..*end);
                    prop_assert_eq!(Block::first(envelope(runtime), &bytes[at..part], WIDE), None);
                    let block = Block::first(envelope(runtime), &bytes[at..], WIDE).unwrap();
                    prop_assert_eq!(at + block.length, *end);
                    for line in block.lines {
                        prop_assert!(line.whole);
                        let raw = line.raw(&bytes[at..]).into_owned();
                        let again = envelope(runtime).unpack(&raw);
                        let again = again
                            .map(|again| (again.payload.into_owned(), again.stream, again.time));
                        let payload = line.payload.into_owned();
                        prop_assert_eq!(again, Some((payload.clone(), line.stream, line.time)));
                        let (offset, time) = (at + line.at, line.time);
                        found.push(Right {
                            offset,
                            stream: line.stream.unwrap(),
                            payload,
                            time,
                            raw,
                        });
                    }
                    at = *end;
                }
                count += lines.len() as u32;
                seen.fetch_add(lines.len() as u64, Ordering::Relaxed);
                prop_assert_eq!(found, lines);
            }
        }
        Ok(())
    });
}

/// Envelopes that are torn, in blocks that may be short.
#[test]
fn each_physical_line_is_accounted_for_whatever_it_holds() {
    fuzz("torn envelopes", any_rng(), |mut rng, seen| {
        let mut count = 0;
        while count < LINES {
            let runtime = *rng.choice(&RUNTIMES).unwrap();
            let mut bytes = write(&mut rng, runtime).bytes;
            for _ in 0..rng.usize(..6) {
                let at = rng.usize(..bytes.len());
                match rng.u8(..3) {
                    0 => bytes[at] = *rng.choice(b"\n\"{} :P\xff\0,").unwrap(),
                    1 => bytes.insert(at, *rng.choice(b"\n\"\\ F\r").unwrap()),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            let (most, gap) = (rng.usize(1..400), rng.usize(1..400));
            let bounds = Bounds { most, gap };
            let (mut at, mut pieces) = (0, 0);
            while let Some(block) = Block::first(envelope(runtime), &bytes[at..], bounds) {
                let physical = &bytes[at..at + block.length];
                prop_assert!(physical.ends_with(b"\n"));
                let ends = physical.iter().filter(|byte| **byte == b'\n').count();
                prop_assert!(block.length <= most || ends == 1);
                let raws = block.lines.iter().map(|line| line.raw(physical));
                let in_lines: usize =
                    raws.map(|raw| raw.iter().filter(|byte| **byte == b'\n').count() + 1).sum();
                prop_assert_eq!(in_lines, ends);
                at += block.length;
                pieces += ends as u32;
            }
            // What is left is not a whole line, or is a line that is open.
            prop_assert!(bytes.len() - at <= most || !bytes[at..].contains(&b'\n'));
            count += pieces.max(1);
            seen.fetch_add(u64::from(pieces), Ordering::Relaxed);
        }
        Ok(())
    });
}
