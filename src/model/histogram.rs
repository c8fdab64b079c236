//! Durations counted in buckets whose width grows with them: each octave is cut into eight equal
//! parts, so that a bucket's middle differs from what it counts by a sixteenth at most.

/// Durations below this share the first bucket: no request that Python answers is that short.
const FLOOR_US: i64 = 1 << FLOOR_BITS;
/// The same as a power of two.
pub const FLOOR_BITS: u32 = 6;
/// Parts of an octave, as a power of two.
pub const PART_BITS: u32 = 3;

/// How many buckets there are; the last one holds all from 32 minutes on.
pub const BUCKETS: usize = 201;

/// Buckets of one part of a heat map: half an octave.
const BUCKETS_OF_PART: usize = 4;
/// Parts of a heat map: the first bucket alone, and then half an octave each.
pub const PARTS: usize = 1 + (BUCKETS - 1).div_ceil(BUCKETS_OF_PART);

/// The first duration of a part of a heat map, in microseconds.
pub fn first_of_part(part: usize) -> i64 {
    part.checked_sub(1).map_or(0, |part| first(1 + part * BUCKETS_OF_PART))
}

/// Sums counts by bucket into the parts of a heat map.
pub fn parts(counts: &[i64]) -> Vec<i64> {
    let Some((first, rest)) = counts.split_first() else { return Vec::new() };
    let sums = rest.chunks(BUCKETS_OF_PART).map(|part| part.iter().sum());
    std::iter::once(*first).chain(sums).collect()
}

/// The bucket of a duration in microseconds; what is below zero counts as zero.
pub fn bucket(duration: i64) -> u8 {
    if duration < FLOOR_US {
        return 0;
    }
    let octave = duration.ilog2();
    let part = (duration >> (octave - PART_BITS)) as usize & ((1 << PART_BITS) - 1);
    let bucket = 1 + (((octave - FLOOR_BITS) as usize) << PART_BITS) + part;
    bucket.min(BUCKETS - 1) as u8
}

/// The first duration of a bucket, in microseconds.
pub fn first(bucket: usize) -> i64 {
    let Some(above) = bucket.checked_sub(1) else { return 0 };
    let (octave, part) = (above >> PART_BITS, above as i64 & ((1 << PART_BITS) - 1));
    ((1 << PART_BITS) + part) << (octave as u32 + FLOOR_BITS - PART_BITS)
}

/// The duration, in microseconds, below which the share `q` (0 to 1) of the counted ones lies: the
/// middle of its bucket, off by a sixteenth at most between 64 µs and 32 minutes. `None` if nothing
/// was counted.
pub fn quantile(counts: &[i64], q: f64) -> Option<i64> {
    let total: i64 = counts.iter().sum();
    if total <= 0 {
        return None;
    }
    let rank = ((total as f64 * q).ceil() as i64).clamp(1, total);
    let mut seen = 0;
    let found = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    let found = found.unwrap_or(BUCKETS - 1);
    Some(if found + 1 >= BUCKETS { first(found) } else { first(found).midpoint(first(found + 1)) })
}

/// Adds the counts of `more`, bucket by bucket.
pub fn add(counts: &mut Vec<i64>, more: &[i64]) {
    if counts.len() < more.len() {
        counts.resize(more.len(), 0);
    }
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_meet_without_gap_or_overlap() {
        for at in 0..BUCKETS {
            assert_eq!(usize::from(bucket(first(at))), at);
            if at > 0 {
                assert_eq!(usize::from(bucket(first(at) - 1)), at - 1);
            }
        }
        assert_eq!((bucket(i64::MIN), bucket(-1), bucket(63), bucket(64)), (0, 0, 0, 1));
        assert_eq!(usize::from(bucket(i64::MAX)), BUCKETS - 1);
        assert_eq!(first(BUCKETS - 1), (1 << 31) - (1 << 27));
    }

    #[test]
    fn parts_of_a_heat_map_hold_every_count_once() {
        assert!(parts(&[]).is_empty());
        let counts: Vec<i64> = (0..BUCKETS as i64).collect();
        let sums = parts(&counts);
        assert_eq!((sums.len(), sums.iter().sum::<i64>()), (PARTS, counts.iter().sum()));
        for duration in [0, 63, 64, 90, 91, 1500, 250_000, i64::MAX] {
            let mut one = vec![0; usize::from(bucket(duration)) + 1];
            one[usize::from(bucket(duration))] = 1;
            let part = parts(&one).len() - 1;
            assert!(first_of_part(part) <= duration, "{duration}");
            assert!(part + 1 == PARTS || duration < first_of_part(part + 1), "{duration}");
        }
        // Two parts are an octave.
        assert_eq!([0, 1, 3, 5].map(first_of_part), [0, 64, 128, 256]);
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[0, 0], 0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_a_sixteenth_at_most(
            mut durations in prop::collection::vec(64i64..2_000_000_000, 1..300),
            q in 0.0f64..=1.0,
        ) {
            let mut counts = Vec::new();
            for duration in &durations {
                let mut one = vec![0; usize::from(bucket(*duration)) + 1];
                one[usize::from(bucket(*duration))] = 1;
                add(&mut counts, &one);
            }
            durations.sort_unstable();
            let rank = ((durations.len() as f64 * q).ceil() as usize).max(1);
            let exact = durations[rank - 1];
            let estimate = quantile(&counts, q).unwrap();
            prop_assert!((estimate - exact).abs() * 16 <= exact, "{estimate} for {exact}");
        }
    }
}
