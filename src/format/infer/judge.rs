//! Checks a format against all lines: whether it reads them, and whether the values are what the format
//! says.

use super::column::{looks_like_agent, looks_like_id, looks_like_request_id};
use super::looks_like_access;
use crate::format::matching::{PhysicalLines, Quoting, match_fields, odd_values};
use crate::format::server_log::is_server_log;
use crate::format::shapes::{address_and_port, is_method};
use crate::format::template::{Atom, Template};
use crate::format::values::{FieldMatch, address, request_line, short_request_line};

/// The most bytes of a line that may be a torn one with another one after it, and the most of such lines.
const LONGEST_TORN: usize = 2048;
const MOST_TORN: usize = 8;

/// The most lines of one record.
const MOST_JOINED: usize = 4;

/// How many access lines may be torn: two workers may write at once, and a client may forge a line by a
/// newline in a user's name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Torn {
    None,
    OneOf(usize),
}

/// How a template reads a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Each value has its shape.
    Right,
    /// A client's value has not.
    Odd,
    /// Not at all, or with a value that no server writes.
    Wrong,
}

/// Returns whether a template reads all access lines among `lines`, and its values are plausible. The
/// first line may be torn, and others as far as is tolerated.
pub(super) fn is_read(template: &Template, lines: &[&str], torn: Torn) -> bool {
    let mut judge = Judge::new(template);
    let (mut right, mut odd, mut others, mut wrong, mut ends_right) = (0, 0, 0, 0, 0);
    let mut nth = 0;
    while nth < lines.len() {
        let line = lines[nth];
        let mut taken = 1;
        let mut reading = judge.read(line);
        if reading == Reading::Wrong && !is_server_log(line) {
            (reading, taken) = judge.read_joined(&lines[nth..]);
        }
        match reading {
            Reading::Right => right += 1,
            Reading::Odd => odd += 1,
            Reading::Wrong if is_server_log(line) => {}
            Reading::Wrong if nth == 0 && lines.len() > 3 => others += 1,
            Reading::Wrong if looks_like_access(line) => {
                let may_be_torn = matches!(torn, Torn::OneOf(_)) && ends_right < MOST_TORN;
                match may_be_torn && judge.ends_in_a_line(line) {
                    true => ends_right += 1,
                    false => wrong += 1,
                }
            }
            Reading::Wrong => others += 1,
        }
        nth += taken;
    }
    let is_clear = template.has_time() || 2 * (right + odd) >= right + odd + others;
    let is_whole = match torn {
        Torn::None => wrong == 0,
        Torn::OneOf(so_many) => {
            wrong * so_many <= right + wrong + ends_right && ends_right <= right
        }
    };
    right > 0 && is_whole && odd <= right && is_clear && judge.is_plausible()
}

/// Returns whether a status is none that servers and proxies answer with: perhaps a number of bytes. Those of HTTP are in
/// the registry of IANA, the others are those of nginx, of AWS and of Cloudflare.
fn is_no_code(status: &str) -> bool {
    let code = status.get(..3).unwrap_or(status).parse().unwrap_or_default();
    let is_code = matches!(
        code,
        100..=104 | 200..=208 | 226 | 300..=308 | 400..=418 | 420..=431 | 440 | 444 | 449..=451 | 460 | 463 | 464
            | 494..=499 | 500..=511 | 520..=530 | 561 | 598 | 599
    );
    status != "-" && !is_code
}

/// The values of some atoms in all lines that were read.
pub(super) struct Judge<'t> {
    template: &'t Template,
    values: Vec<FieldMatch>,
    users: Vec<String>,
    referers: Vec<String>,
    agents: Vec<String>,
    urls: Vec<String>,
    /// The status and the bytes of each line.
    bodies: Vec<(String, String)>,
    remotes: Vec<String>,
}

impl<'t> Judge<'t> {
    pub(super) fn new(template: &'t Template) -> Self {
        Self {
            template,
            values: vec![FieldMatch::default(); template.fields.len()],
            users: Vec::new(),
            referers: Vec::new(),
            agents: Vec::new(),
            urls: Vec::new(),
            bodies: Vec::new(),
            remotes: Vec::new(),
        }
    }

    /// Returns whether the template reads a line, whatever its values look like.
    pub(super) fn reads(&mut self, line: &str) -> bool {
        self.reading(line, PhysicalLines::One) != Reading::Wrong
    }

    /// Returns the last value of a line that the template reads.
    pub(super) fn last_value(&mut self, line: &str) -> Option<String> {
        if !self.reads(line) {
            return None;
        }
        let value = self.values.last()?;
        line.get(value.start..value.end).map(str::to_owned)
    }

    fn read(&mut self, line: &str) -> Reading {
        self.read_text(line, PhysicalLines::One)
    }

    /// Returns whether a line is the beginning of one and then another one that the template reads, as where
    /// a power cut has taken the end of the first. Both begin with a character of the same kind, so that what
    /// stands before all lines is not taken for a beginning.
    fn ends_in_a_line(&mut self, line: &str) -> bool {
        let kind = |text: &str| {
            let first = text.chars().next()?;
            Some((first.is_alphabetic(), first.is_ascii_digit(), first.is_ascii_punctuation()))
        };
        let begins = kind(line);
        let mut beginnings = line.char_indices().skip(1).map(|(at, _)| &line[at..]);
        line.len() <= LONGEST_TORN
            && beginnings.any(|rest| {
                kind(rest) == begins && self.reading(rest, PhysicalLines::One) == Reading::Right
            })
    }

    /// Reads a line together with those after it that cannot be read by themselves. Returns how many
    /// there are.
    fn read_joined(&mut self, lines: &[&str]) -> (Reading, usize) {
        let mut text = lines.first().copied().unwrap_or_default().to_owned();
        for (nth, next) in lines.iter().enumerate().take(MOST_JOINED).skip(1) {
            if is_server_log(next) || self.reading(next, PhysicalLines::One) != Reading::Wrong {
                break;
            }
            text.push('\n');
            text.push_str(next);
            let reading = self.read_text(&text, PhysicalLines::Several);
            if reading != Reading::Wrong {
                return (reading, nth + 1);
            }
        }
        (Reading::Wrong, 1)
    }

    fn read_text(&mut self, text: &str, physical: PhysicalLines) -> Reading {
        let reading = self.reading(text, physical);
        // What is odd, as a torn line is, says nothing of the others.
        if reading == Reading::Right {
            self.note(text);
        }
        reading
    }

    fn reading(&mut self, text: &str, physical: PhysicalLines) -> Reading {
        let found = match_fields(self.template, text.as_bytes(), physical, &mut self.values);
        let Ok(quoting) = found else { return Reading::Wrong };
        let odd = odd_values(self.template, text.as_bytes(), &self.values);
        match odd.map(|odd| odd + usize::from(self.user_holds_more(text))) {
            Some(0) if quoting == Quoting::Escaped => Reading::Right,
            Some(0) if self.quotes_open(text) => Reading::Right,
            Some(odd) if quoting == Quoting::Escaped && odd <= 2 => Reading::Odd,
            _ => Reading::Wrong,
        }
    }

    /// Returns whether a user's name holds a `-` of its own. There are such names; but where all are so, it
    /// is the place of another value.
    fn user_holds_more(&self, line: &str) -> bool {
        let mut fields = self.template.fields.iter().zip(&self.values);
        fields.any(|(field, value)| {
            let name = line.get(value.start..value.end).unwrap_or_default();
            field.atom == Atom::User && name.len() > 1 && name.split(' ').any(|word| word == "-")
        })
    }

    /// Returns whether the first bare quote in each value opens something, as in `(X11; "q") x`. A quote
    /// that closes something is the end of the value, and the line has more fields than the format.
    fn quotes_open(&self, line: &str) -> bool {
        let fields = self.template.fields.iter().zip(&self.values);
        fields.filter(|(field, _)| field.quoted).all(|(_, value)| {
            let text = &line.as_bytes()[value.start..value.end];
            match memchr::memchr(b'"', text) {
                None => true,
                Some(at) => text.get(at + 1).is_some_and(|after| *after != b' '),
            }
        })
    }

    /// Keeps the values whose look says whether the format is right.
    fn note(&mut self, line: &str) {
        let (mut status, mut bytes) = (None, None);
        for (field, value) in self.template.fields.iter().zip(&self.values) {
            let text = line.get(value.start..value.end).unwrap_or_default();
            match field.atom {
                Atom::Status => status = Some(text),
                Atom::ResponseBytes => bytes = Some(text),
                _ if matches!(text, "" | "-") => {}
                Atom::User => self.users.push(text.to_owned()),
                Atom::Referer => self.referers.push(text.to_owned()),
                Atom::Agent => self.agents.push(text.to_owned()),
                Atom::RequestLine => {
                    let words = request_line(text).map(|(_, url, _)| url);
                    let words = words.or_else(|| short_request_line(text).map(|(_, url)| url));
                    self.urls.extend(words.map(str::to_owned));
                }
                Atom::VersionedRequestLine => {
                    self.urls.extend(text.split(' ').nth(1).map(str::to_owned));
                }
                Atom::Path | Atom::Url => self.urls.push(text.to_owned()),
                Atom::RemoteAddress | Atom::AddressAndPort => self.remotes.push(text.to_owned()),
                _ => {}
            }
        }
        if let (Some(status), Some(bytes)) = (status, bytes) {
            self.bodies.push((status.to_owned(), bytes.to_owned()));
        }
    }

    /// Returns whether no column holds what belongs to another one.
    fn is_plausible(&self) -> bool {
        type Test = fn(&str) -> bool;
        let all = |values: &[String], test: Test| {
            !values.is_empty() && values.iter().all(|value| test(value))
        };
        let most = |values: &[String], test: Test| {
            2 * values.iter().filter(|value| test(value)).count() > values.len()
        };
        let is_url: Test = |text| text.contains("://");
        let is_path: Test = |text| text.starts_with('/');
        let is_address: Test = |text| text.split([',', ' ']).any(|item| address(item).is_some());
        let is_query: Test = |text| text.contains('=') && !text.contains(' ');
        let is_bracketed: Test = |text| text.starts_with('[') && text.ends_with(']');
        let is_mail: Test = |text| text.contains('@') && !text.contains(' ');
        let is_host_name: Test = |text| text.contains('.') && !text.contains(['/', ' ']);
        let has_port: Test = |text| {
            let port = text.rsplit_once(':').map_or("", |(_, port)| port);
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        };
        // Two values in one pair of quotes.
        let has_more_before: Test = |text| {
            let first = text.split(' ').next().unwrap_or_default();
            let is_number = first.starts_with(|c: char| c.is_ascii_digit())
                && first.bytes().all(|it| it.is_ascii_digit() || it == b'.');
            let is_more = matches!(first, "-") || is_number || is_method(first);
            text.contains(' ') && (is_more || address(first).is_some()) || looks_like_id(first)
        };
        let is_number: Test = |text| text.bytes().all(|it| it.is_ascii_digit() || it == b'.');
        let is_pid: Test =
            |text| text.starts_with('<') && text.ends_with('>') && !text.contains('/');
        let has_protocol: Test = |text| text.contains("HTTP/1.");
        let is_target: Test = |text| text.starts_with(['/', '*']) || text.contains("://");
        // Another value between the url and the protocol: a query, nothing at all, an id.
        let holds_more: Test = |text| {
            let last = text.rsplit_once(' ').map(|(_, last)| last);
            last.is_some_and(|last| last.contains('=') || !last.contains(['/', '.']))
        };
        // Of another column, whether a user's name is expected or an agent.
        let of_others =
            [is_address, is_number, is_url, is_path, has_protocol, is_query, is_pid, is_method];
        let not_of_users: [Test; 1] = [looks_like_request_id];
        let not_of_agents = [looks_like_id, has_more_before, is_bracketed, is_mail, is_host_name];
        let belongs = |values: &[String], others: &[Test]| {
            !of_others.iter().chain(others).any(|test| most(values, *test))
        };
        // The name of a client or that of the requested host?
        let is_name = |text: &str| {
            !text.starts_with("unix:")
                && address(text).is_none()
                && address_and_port(text).is_none()
        };
        // A query without its question mark is a part of no URL.
        let is_bare_query = |text: &str| text.contains('=') && !text.contains('?');
        let has_query = |text: &str| text.contains('?');
        let bare_queries = self.urls.iter().any(|url| is_bare_query(url))
            && !self.urls.iter().any(|url| has_query(url));
        let has_query_atom = self.template.fields.iter().any(|field| field.atom == Atom::Query);
        let bodiless = |(status, bytes): &(String, String)| {
            matches!(&**status, "204" | "304") && !matches!(&**bytes, "0" | "-")
        };
        let spaced = self.urls.iter().filter(|url| holds_more(url)).count();
        most(&self.urls, is_target)
            && 4 * spaced <= self.urls.len()
            && !all(&self.users, looks_like_request_id)
            && !self.users.iter().any(|user| has_port(user))
            && (self.bodies.is_empty() || self.bodies.iter().any(|(status, _)| status != "-"))
            && 5 * self.users.iter().filter(|user| looks_like_agent(user)).count()
                <= self.users.len()
            && belongs(&self.users, &not_of_users)
            && belongs(&self.agents, &not_of_agents)
            && (self.referers.is_empty() || most(&self.referers, is_url))
            && !most(&self.remotes, is_name)
            && (!bare_queries || has_query_atom)
            && !self.bodies.iter().any(bodiless)
            && 2 * self.bodies.iter().filter(|(status, _)| is_no_code(status)).count()
                <= self.bodies.len()
            && !self.counts_seconds()
    }

    /// Returns whether what stands in the place of the bytes is nearly always 0 and never more than a few
    /// although there was a body, as whole seconds are.
    fn counts_seconds(&self) -> bool {
        let with_body = self.bodies.iter().filter(|(status, _)| status == "200");
        let numbers: Vec<u64> = with_body.filter_map(|(_, bytes)| bytes.parse().ok()).collect();
        let zeros = numbers.iter().filter(|number| **number == 0).count();
        numbers.len() >= 10
            && 2 * zeros > numbers.len()
            && zeros < numbers.len()
            && numbers.iter().all(|number| *number < 10)
    }
}
