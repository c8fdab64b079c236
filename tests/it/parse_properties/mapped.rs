//! JSON lines with keys and values of all kinds, by random mappings of keys to columns: a value is in its
//! column as it was written, or the line is a reject; and a mapping is what its text says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use log_ingestd::format::{Exclusions, JsonMapping, Layout, LineParser, Mask, Parsed, find_mapped};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{FRAGMENTS, any_rng, fuzz, mutate};

const KEYS: [&str; 18] = [
    "url",
    "path",
    "req",
    "req.path",
    "req.method",
    "a.b.c",
    "status",
    "time",
    "ts",
    "duration",
    "dur_ms",
    "ip",
    "user",
    "é",
    "\"",
    "\\",
    " ",
    "message",
];

const TARGETS: [&str; 26] = [
    "timestamp",
    "timestamp:s",
    "timestamp:ms",
    "timestamp:us",
    "timestamp:ns",
    "method",
    "url",
    "host",
    "user_id",
    "user_ip",
    "agent",
    "source",
    "duration:s",
    "duration:ms",
    "duration:us",
    "duration:ns",
    "code",
    "protocol",
    "response_bytes",
    "pid",
    "route",
    "request_id",
    "trace_id",
    "duration",
    "url:s",
    "nothing",
];

fn value(rng: &mut fastrand::Rng, depth: u8) -> Value {
    match rng.u8(..12) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i64(..)),
        3 => json!(rng.u64(..)),
        4 => json!(f64::from_bits(rng.u64(..))),
        5 => json!(rng.u32(..1000)),
        6 => json!(f64::from(rng.u32(..)) / 1000.0),
        7 => json!(1_795_423_260_000_i64 + rng.i64(..1000)),
        8 if depth > 0 => Value::Object(object(rng, depth - 1)),
        9 if depth > 0 => (0..rng.usize(..4)).map(|_| value(rng, depth - 1)).collect(),
        _ => json!(FRAGMENTS[rng.usize(..FRAGMENTS.len())]),
    }
}

fn object(rng: &mut fastrand::Rng, depth: u8) -> Map<String, Value> {
    let count = rng.usize(..8);
    (0..count).map(|_| (key(rng).to_owned(), value(rng, depth))).collect()
}

fn key(rng: &mut fastrand::Rng) -> &'static str {
    KEYS[rng.usize(..KEYS.len())]
}

#[test]
fn a_mapped_value_is_stored_as_it_is_or_refused() {
    fuzz("mapped JSON", any_rng(), |mut rng, seen| {
        let mut mapping = JsonMapping::default();
        for _ in 0..rng.usize(1..6) {
            let (key, target) = (key(&mut rng), TARGETS[rng.usize(..TARGETS.len())]);
            if let Err(error) = mapping.add(key, target) {
                prop_assert!(error.to_string().len() < 400, "{error}");
            }
        }
        let url_key = "req.path";
        let maps_url = mapping.add(url_key, "url").is_ok();
        let mapping = Arc::new(mapping);
        let layout = Layout::JsonKeys(Arc::clone(&mapping));
        let format = layout.format().to_owned();
        let again = Layout::compile(&format);
        let again = again.map_err(|error| TestCaseError::fail(format!("{error}: {format}")))?;
        prop_assert_eq!(again.format(), &format);
        let parser = LineParser::new(layout, Mask::default(), Exclusions::default());
        let mut lines = Vec::new();
        for _ in 0..super::LINES {
            let object = object(&mut rng, 3);
            let mut line = serde_json::to_vec(&object).unwrap();
            let is_torn = rng.u8(..3) == 0;
            if is_torn {
                mutate(&mut rng, &mut line);
                line.retain(|byte| *byte != b'\n');
            }
            match parser.parse(&line) {
                Parsed::Record(record) if maps_url && !is_torn => {
                    if let (Some(Value::String(url)), Some(found)) =
                        (object.get(url_key), &record.url)
                    {
                        prop_assert_eq!(url.as_str(), &**found);
                    }
                    prop_assert!(record.code.is_none_or(|code| code >= 0), "{:?}", record.code);
                    prop_assert!(record.duration.is_none_or(|micros| micros >= 0));
                }
                Parsed::Reject(reason) => prop_assert!(reason.to_string().len() < 400, "{reason}"),
                _ => {}
            }
            seen.fetch_add(1, Ordering::Relaxed);
            lines.push(line);
        }
        let first: Vec<&[u8]> = lines.iter().take(12).map(Vec::as_slice).collect();
        let _ = find_mapped(&first, &mapping);
        Ok(())
    });
}
