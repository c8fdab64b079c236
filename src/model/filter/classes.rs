//! Which filters the counts by class of status can answer.

use super::{Codes, Condition, Filter};
use crate::model::CLASSES;

/// Codes of one class.
const CODES: i32 = 100;

/// How many rows of a class of status meet a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of them.
    All,
    /// None of them.
    None,
    /// That depends on the row.
    Some,
}

impl Filter {
    /// Returns how many rows of each class meet the filter, whatever else they hold; `None` if it has a
    /// condition on anything besides time, status and server.
    pub fn classes(&self) -> Option<[Share; CLASSES]> {
        let is_counted = |it: &Condition| matches!(it, Condition::Codes(_) | Condition::Server(_));
        if !self.required().iter().chain(&self.not).all(is_counted) {
            return None;
        }
        let mut excluded = Vec::new();
        for condition in &self.not {
            if let Condition::Codes(codes) = condition {
                excluded.extend_from_slice(codes);
            }
        }
        let holds = |all: &[Codes], code| all.iter().any(|it| (it.first..=it.last).contains(&code));
        let meets = |code: &i32| {
            (self.codes.is_empty() || holds(&self.codes, *code)) && !holds(&excluded, *code)
        };
        let mut shares = [Share::Some; CLASSES];
        let (classes, [other]) = shares.split_at_mut(CLASSES - 1) else { return None };
        for (share, first) in classes.iter_mut().zip((CODES..).step_by(CODES as usize)) {
            *share = match (first..first + CODES).filter(meets).count() as i32 {
                CODES => Share::All,
                0 => Share::None,
                _ => Share::Some,
            };
        }
        // Rows of the last class have any other code, or none; one without a code meets no condition on it.
        let most = CODES * CLASSES as i32 - 1;
        let touches = |it: &Codes| it.first < CODES || it.last > most;
        *other = match self.codes.iter().any(touches) {
            false if !self.codes.is_empty() => Share::None,
            false if !excluded.iter().any(touches) => Share::All,
            _ => Share::Some,
        };
        Some(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Micros;

    const NOW: Micros = 1_795_423_260_000_000;

    /// Returns the shares as letters: all, none, some; or a dash.
    fn classes(pairs: &[(&str, &str)]) -> String {
        let mut filter = Filter::last_hour(NOW);
        for (name, value) in pairs {
            filter.set(name, value, NOW).unwrap();
        }
        let letter = |share| match share {
            Share::All => 'a',
            Share::None => 'n',
            Share::Some => 's',
        };
        filter.classes().map_or("-".to_owned(), |shares| shares.map(letter).iter().collect())
    }

    #[test]
    fn whole_classes_and_servers_are_counted() {
        for (pairs, expected) in [
            (&[][..], "aaaaaa"),
            (&[("server", "web")], "aaaaaa"),
            (&[("not", "server:web")], "aaaaaa"),
            (&[("code", "5xx")], "nnnnan"),
            (&[("code", "200-299,3xx")], "naannn"),
            (&[("code", "404")], "nnnsnn"),
            (&[("code", ">=400")], "nnnaas"),
            (&[("code", "0")], "nnnnns"),
            (&[("code", "400-450,451-499")], "nnnann"),
            (&[("not", "code:5xx")], "aaaana"),
            (&[("not", "code:>=400")], "aaanns"),
            (&[("not", "code:404"), ("not", "code:2xx")], "anasaa"),
            (&[("code", "4xx"), ("not", "code:404")], "nnnsnn"),
            (&[("code", "4xx"), ("not", "code:4xx")], "nnnnnn"),
            (&[("code", "5xx"), ("url", "/a")], "-"),
            (&[("not", "agent:bot")], "-"),
        ] {
            assert_eq!(classes(pairs), expected, "{pairs:?}");
        }
    }
}
