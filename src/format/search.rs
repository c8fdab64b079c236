//! All readings of a line tried in turn, until one reaches its end.
//!
//! The search is bounded. A text that started at `p` and failed at every end up to `q` also fails
//! from any start between them, since the same ends are left to it, or fewer: so each field scans
//! a line about once. What this does not cover runs into a budget of steps in proportion to the
//! line's length.

use super::atom::Atom;
use super::fields::{Number, integer, phrase};
use super::greedy::stands_at;
use super::read::{Quoting, Value, typed, unescaped_quote};
use super::template::Field;

/// One search through one line.
pub(super) struct Search<'s> {
    fields: &'s [Field],
    line: &'s [u8],
    quoting: Quoting,
    values: &'s mut [Value],
    /// For each field: a text that starts within these bounds is known to lead nowhere.
    dead: Vec<(usize, usize)>,
    /// Whether the line holds a newline.
    pub(super) joined: bool,
    /// Steps left. A step is a place tried or 16 bytes passed over.
    pub(super) budget: usize,
    /// The furthest failure: twice the field's number, and one more if its value was there but
    /// not its end.
    pub(super) stuck: usize,
}

impl<'s> Search<'s> {
    pub(super) fn new(
        fields: &'s [Field],
        line: &'s [u8],
        quoting: Quoting,
        values: &'s mut [Value],
    ) -> Search<'s> {
        let dead = vec![(1, 0); fields.len()];
        let budget = 16_384 + line.len().saturating_mul(4);
        Search { fields, line, quoting, values, dead, joined: false, budget, stuck: 0 }
    }

    /// Whether the line from `at` on can be read by the fields from the `nth` on.
    pub(super) fn rest(&mut self, nth: usize, at: usize) -> bool {
        let Some(field) = self.fields.get(nth) else { return at == self.line.len() };
        if self.budget == 0 {
            return false;
        }
        if field.atom.is_text() {
            self.stuck = self.stuck.max(2 * nth + 1);
            return self.text(nth, at, &field.until);
        }
        self.stuck = self.stuck.max(2 * nth);
        let input = &self.line[at..];
        let Ok((behind, number)) = typed(field.atom, input) else {
            self.spend(1);
            return false;
        };
        self.stuck = self.stuck.max(2 * nth + 1);
        let length = input.len() - behind.len();
        if self.ends(nth, at, at + length, number) {
            return true;
        }
        let words = if field.atom == Atom::Status { phrase(behind) } else { 0 };
        if (1..=words).any(|more| self.ends(nth, at, at + length + more, number)) {
            return true;
        }
        // Where digits may follow digits, the first number may have taken too many.
        let shared = match field.until.first() {
            Some(byte) => byte.is_ascii_digit(),
            None => nth + 1 < self.fields.len(),
        };
        shared
            && integer(input).is_ok()
            && (1..length).rev().any(|fewer| match typed(field.atom, &input[..fewer]) {
                Ok(([], number)) => self.ends(nth, at, at + fewer, number),
                _ => false,
            })
    }

    fn text(&mut self, nth: usize, start: usize, until: &[u8]) -> bool {
        let (dead_from, dead_to) = self.dead[nth];
        if dead_from <= start && start <= dead_to {
            self.spend(1);
            return false;
        }
        let wall = match self.quoting {
            Quoting::Escaped => unescaped_quote(&self.line[start..]).map(|length| start + length),
            Quoting::Verbatim => None,
        };
        let mut reach = wall.unwrap_or(self.line.len());
        if self.joined && !self.fields[nth].atom.may_hold_newline() {
            let newline = memchr::memchr(b'\n', &self.line[start..reach]);
            reach = newline.map_or(reach, |length| start + length);
        }
        self.spend((reach - start) / 16);
        let found = if nth + 1 == self.fields.len() {
            let end = self.line.len().saturating_sub(until.len());
            start <= end && end <= reach && self.ends(nth, start, end, None)
        } else if until.is_empty() {
            (start..=reach).any(|end| self.ends(nth, start, end, None))
        } else if self.quoting == Quoting::Escaped && until[0] == b'"' {
            wall.is_some_and(|end| end <= reach && self.ends(nth, start, end, None))
                || self.each_end(nth, start, reach, until)
        } else {
            self.each_end(nth, start, reach, until)
        };
        if !found {
            // A start before the known stretch that reaches it extends it.
            let to =
                if start < dead_from && dead_from <= reach { reach.max(dead_to) } else { reach };
            self.dead[nth] = (start, to);
        }
        found
    }

    /// Tries every place from `start` to `reach` where `until` stands.
    fn each_end(&mut self, nth: usize, start: usize, reach: usize, until: &[u8]) -> bool {
        let within = &self.line[start..self.line.len().min(reach + until.len())];
        let mut passed = 0;
        // Not memmem's own iterator: it skips matches that overlap.
        while let Some(length) = memchr::memmem::find(&within[passed..], until) {
            self.spend(length / 16);
            let end = start + passed + length;
            if self.ends(nth, start, end, None) {
                return true;
            }
            if self.budget == 0 {
                return false;
            }
            passed += length + 1;
        }
        self.spend((within.len() - passed) / 16);
        false
    }

    /// Whether the `nth` value can end at `end`.
    fn ends(&mut self, nth: usize, start: usize, end: usize, number: Number) -> bool {
        self.spend(1);
        let until = &self.fields[nth].until;
        if self.budget == 0 || !stands_at(&self.line[end..], until) {
            return false;
        }
        self.values[nth] = Value { start, end, number };
        self.rest(nth + 1, end + until.len())
    }

    fn spend(&mut self, steps: usize) {
        self.budget = self.budget.saturating_sub(steps);
    }
}
