//! Patches: in what a line differs from what its row gives. Nearly no line has one.
//!
//! A patch is a list of pieces. Each says how many bytes are kept, how many after them are left out, and which
//! bytes stand in their place; what follows the last piece is kept. Numbers have seven bits a byte, the lowest
//! first, and the eighth bit says that more follow (LEB128).

/// The most bytes that are left out or put in before equal bytes are looked for once more.
const REACH: usize = 48;

/// As many equal bytes end a piece.
const EQUAL: usize = 5;

/// Returns the mark of a line whose difference is not kept, because it may be a secret: its length in bytes, a
/// number alone. No text has this as its patch.
pub fn unkept(length: usize) -> Vec<u8> {
    let mut mark = Vec::new();
    number(&mut mark, length);
    mark
}

/// Returns the length that [`unkept`] has put into a mark; `None` of a patch.
pub fn unkept_length(mut patch: &[u8]) -> Option<usize> {
    take_number(&mut patch).filter(|_| patch.is_empty())
}

/// Returns the patch that makes `to` of `from`; `None` if they are the same.
pub fn patch_between(from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    if from == to {
        return None;
    }
    let mut patch = Vec::new();
    let (mut old, mut new) = (from, to);
    loop {
        let kept = old.iter().zip(new).take_while(|(one, other)| one == other).count();
        (old, new) = (&old[kept..], &new[kept..]);
        if old.is_empty() && new.is_empty() {
            return Some(patch);
        }
        let (left_out, put_in) = next_equal(old, new).unwrap_or((old.len(), new.len()));
        number(&mut patch, kept);
        number(&mut patch, left_out);
        number(&mut patch, put_in);
        patch.extend_from_slice(&new[..put_in]);
        (old, new) = (&old[left_out..], &new[put_in..]);
    }
}

/// Returns how many bytes of each text stand before the nearest place from which on both are equal for a while.
fn next_equal(old: &[u8], new: &[u8]) -> Option<(usize, usize)> {
    // Of one length only the end of the lines is left, which is the usual difference.
    let most = |text: &[u8]| text.len().min(REACH);
    for sum in 1..=most(old) + most(new) {
        for left_out in sum.saturating_sub(most(new))..=sum.min(most(old)) {
            let (one, other) = (&old[left_out..], &new[sum - left_out..]);
            let length = EQUAL.min(one.len().max(other.len()));
            if length > 0 && one.get(..length) == other.get(..length) && one.len() >= length {
                return Some((left_out, sum - left_out));
            }
        }
    }
    None
}

/// Returns what the patch makes of `from`; `None` if it is not a patch of this text.
pub fn patched(from: &[u8], patch: &[u8]) -> Option<Vec<u8>> {
    let mut to = Vec::with_capacity(from.len() + patch.len());
    let (mut old, mut rest) = (from, patch);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let kept = take_number(&mut rest)?;
        let left_out = take_number(&mut rest)?;
        let put_in = take_number(&mut rest)?;
        to.extend_from_slice(take(&mut old, kept)?);
        take(&mut old, left_out)?;
        to.extend_from_slice(take(&mut rest, put_in)?);
    }
    to.extend_from_slice(old);
    Some(to)
}

fn number(patch: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        patch.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    patch.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(text: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = text.split_at_checked(length)?;
    *text = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn a_patch_holds_only_what_differs() {
        let line = br#"10.0.0.7 - - [23/Nov/2026:08:41:00 +0000] "GET / HTTP/1.1" 200 - "-" "-""#;
        let other =
            br#"10.0.0.7 - - [23/Nov/2026:08:41:00 +0000] "GET / HTTP/1.1" 200 None "-" """#;
        let patch = patch_between(line, other).unwrap();
        assert!(patch.len() <= 11, "{patch:?}");
        assert_eq!(patched(line, &patch).as_deref(), Some(other.as_slice()));
        assert_eq!(patch_between(line, line), None);
    }

    #[test]
    fn a_mark_holds_the_length_of_its_line() {
        for length in [0, 1, 127, 128, 300, 4 << 20] {
            let mark = unkept(length);
            assert!(mark.len() <= 4);
            assert_eq!((unkept_length(&mark), patched(b"abc", &mark)), (Some(length), None));
        }
    }

    #[test]
    fn what_is_no_patch_of_a_text_changes_nothing() {
        for patch in [&[][..], &[1], &[9, 0, 0], &[0, 9, 0], &[0, 0, 3, b'a'], &[0x80; 20]] {
            assert_eq!(patched(b"abc", patch), None, "{patch:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_patch_makes_one_text_of_another(
            from in vec(0_u8..4, 0..300),
            to in vec(0_u8..4, 0..300),
            edits in vec((0_usize..300, any::<u8>()), 0..6),
        ) {
            let mut edited = from.clone();
            for (at, byte) in edits {
                match edited.get_mut(at) {
                    Some(place) => *place = byte,
                    None => edited.insert(at.min(edited.len()), byte),
                }
            }
            for to in [&to, &edited] {
                match patch_between(&from, to) {
                    None => prop_assert_eq!(&from, to),
                    Some(patch) => {
                        prop_assert_eq!(unkept_length(&patch), None);
                        prop_assert_eq!(patched(&from, &patch), Some(to.clone()));
                    }
                }
            }
        }
    }
}
