//! Decides what each slot of a line holds, by the values of all lines and by where it stands.
//!
//! The rule is to be certain or to give up. A slot gets a column only if its values and its place leave
//! nothing else. A slot without a column is kept under a name, but only if it cannot be the value of a
//! column that no other slot fills: then nothing could be wrong, and nothing is missed.

use super::column::{Column, is_digits};
use super::lex::{Kind, Token};
use crate::format::key_names::{
    ADDRESSES, AGENTS, BYTES, HOSTS, METHODS, PIDS, PROTOCOLS, QUERIES, REFERERS, REQUEST_LINES,
    STATUSES, URLS, USERS, folded,
};

/// A format that was found, and what is not certain about it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// In the dialect of Gunicorn.
    pub(super) format: String,
    pub(super) uncertain: Vec<String>,
}

/// Names of keys by what they mean: those of JSON, and more. Values must have the right look, too.
const KEYS: [(&str, &[&[&str]]); 14] = [
    ("m", &[METHODS]),
    ("U", &[URLS]),
    ("q", &[QUERIES, &["qs"]]),
    ("H", &[PROTOCOLS]),
    ("s", &[STATUSES]),
    ("b", &[BYTES, &["length", "bytes_sent", "content_length"]]),
    ("f", &[REFERERS]),
    ("a", &[AGENTS, &["ua"]]),
    ("u", &[USERS]),
    ("h", &[ADDRESSES, &["address"]]),
    ("{x-forwarded-for}i", &[&["x_forwarded_for", "http_x_forwarded_for", "forwarded_for", "xff"]]),
    ("{host}i", &[HOSTS, &["host_header", "server_name"]]),
    ("r", &[REQUEST_LINES]),
    ("p", &[PIDS, &["process_id"]]),
];

/// Keys of a duration in seconds with three decimals, as nginx writes `$request_time`.
const SECONDS: [&str; 4] = ["rt", "request_time", "req_time", "reqtime"];

/// Assigns an atom to each slot of lines that have the same signature.
pub(super) fn assign(lines: &[Vec<Token<'_>>]) -> Option<Found> {
    let first = lines.first()?;
    let columns: Vec<Column<'_>> = (0..first.len())
        .filter_map(|nth| {
            let Token::Slot(kind, _) = first[nth] else { return None };
            let values =
                lines.iter().map(|tokens| value(tokens, nth)).collect::<Option<Vec<_>>>()?;
            Some(Column::of(kind, values))
        })
        .collect();
    let mut assigner = Assigner::new(first, columns);
    assigner.assign()?;
    assigner.format()
}

/// Returns the value of a slot.
fn value<'a>(tokens: &[Token<'a>], nth: usize) -> Option<&'a str> {
    match tokens.get(nth) {
        Some(Token::Slot(_, text)) => Some(text),
        _ => None,
    }
}

/// What a slot becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Unknown,
    /// The same text in each line.
    Literal,
    /// An atom, by its key.
    Atom(String),
}

struct Assigner<'a> {
    tokens: &'a [Token<'a>],
    columns: Vec<Column<'a>>,
    roles: Vec<Role>,
    uncertain: Vec<String>,
}

impl<'a> Assigner<'a> {
    fn new(tokens: &'a [Token<'a>], mut columns: Vec<Column<'a>>) -> Self {
        let roles = vec![Role::Unknown; columns.len()];
        // `"key": value`, and `key="value"`.
        let mut nth = 0;
        let mut literals = Vec::new();
        for token in tokens {
            match token {
                Token::Literal(text) => literals.push((nth, *text)),
                Token::Slot(..) => nth += 1,
            }
        }
        let mut assigner = Self { tokens, columns: Vec::new(), roles, uncertain: Vec::new() };
        for &(next, text) in &literals {
            if next >= columns.len() {
                continue;
            }
            let is_colon = text.trim_start_matches('"').trim_start().starts_with(':');
            if next > 0
                && text.starts_with('"')
                && is_colon
                && columns[next - 1].kind == Kind::Quoted
                && let Some(key) = columns[next - 1].constant()
            {
                assigner.roles[next - 1] = Role::Literal;
                columns[next].key = Some(folded(key));
            } else if let Some(key) = text.trim_end_matches(['"', '\'']).strip_suffix('=') {
                let start = key
                    .rfind(|c: char| !(c.is_ascii_alphanumeric() || b"_-.".contains(&(c as u8))));
                let key = start
                    .map_or(key, |at| &key[at..])
                    .trim_start_matches([' ', '\t', ',', ';', '"']);
                if !key.is_empty() {
                    columns[next].key = Some(folded(key));
                }
            }
        }
        assigner.columns = columns;
        assigner
    }

    fn assign(&mut self) -> Option<()> {
        self.empty_slots();
        self.times();
        self.keyed();
        self.requests()?;
        self.status()?;
        self.addresses()?;
        self.user();
        self.referer_and_agent()?;
        self.response_bytes()?;
        self.durations();
        self.prove_microseconds();
        self.prove_seconds();
        self.others()?;
        let is_access = self.has("r") || self.has("parts") || self.has("m") && self.has("U");
        (is_access && (self.has("s") || self.has("t"))).then_some(())
    }

    fn has(&self, key: &str) -> bool {
        self.roles.iter().any(|role| matches!(role, Role::Atom(known) if known == key))
    }

    fn place(&self, key: &str) -> Option<usize> {
        self.roles.iter().position(|role| matches!(role, Role::Atom(known) if known == key))
    }

    fn give(&mut self, nth: usize, key: &str) {
        self.roles[nth] = Role::Atom(key.to_owned());
    }

    fn is_free(&self, nth: usize) -> bool {
        self.roles.get(nth) == Some(&Role::Unknown)
    }

    /// The slots that have no role yet.
    fn free(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|nth| self.is_free(*nth)).collect()
    }

    /// An empty slot stands for spaces side by side, unless it has a value in some line.
    fn empty_slots(&mut self) {
        for nth in self.free() {
            if self.columns[nth].kind == Kind::Word && self.columns[nth].constant() == Some("") {
                self.roles[nth] = Role::Literal;
            }
        }
    }

    fn times(&mut self) {
        let times: Vec<usize> =
            (0..self.columns.len()).filter(|nth| self.columns[*nth].is_time()).collect();
        let main = times.iter().copied().find(|nth| self.columns[*nth].kind == Kind::BracketedTime);
        let main = main.or(times.first().copied());
        for nth in times {
            let key = match self.columns[nth].kind {
                _ if Some(nth) != main => format!("{{time_{}}}x", nth + 1),
                Kind::BracketedTime => "t".to_owned(),
                Kind::ClfTime => "{clf}t".to_owned(),
                Kind::IsoTime => "{iso}t".to_owned(),
                _ => "{ctime}t".to_owned(),
            };
            self.give(nth, &key);
        }
    }

    fn has_time(&self) -> bool {
        ["t", "{clf}t", "{iso}t", "{ctime}t"].iter().any(|key| self.has(key))
    }

    /// Gives roles to slots whose key says what they are, and whose values look so.
    fn keyed(&mut self) {
        for nth in self.free() {
            let column = &self.columns[nth];
            let Some(key) = &column.key else { continue };
            let is_named = |names: &&[&str]| names.iter().any(|name| folded(name) == *key);
            let Some((atom, _)) = KEYS.iter().find(|(_, lists)| lists.iter().any(is_named)) else {
                continue;
            };
            let is_needed = matches!(*atom, "m" | "U" | "r" | "s");
            let fits = column.is_absent() && !is_needed
                || match *atom {
                    "m" => column.is_method(),
                    "U" => column.is_path(),
                    "q" => column.is_query(),
                    "H" => column.is_protocol(),
                    "s" => column.is_status(),
                    "b" => column.is_integer(),
                    "f" => !column.is_agent() && !column.is_integer() && !column.is_addresses(),
                    "a" => !column.is_referer() && !column.is_integer() && !column.is_addresses(),
                    "h" => column.is_addresses() && !column.any(|value| value.contains(',')),
                    "{x-forwarded-for}i" => column.is_addresses(),
                    "{host}i" => column.may_be_host() && !column.is_addresses(),
                    "r" => column.is_request(),
                    "p" => column.is_pid() || column.is_integer(),
                    "u" => true,
                    _ => false,
                };
            if fits && !self.has(atom) {
                self.give(nth, atom);
            }
        }
    }

    /// Finds the request line, or its parts.
    fn requests(&mut self) -> Option<()> {
        for nth in self.free() {
            let column = &self.columns[nth];
            // Gunicorn writes an empty query as nothing between two spaces, and `None` for a path that it
            // lost in a crash. Neither is in a request line.
            let separate =
                column.any(|value| value.contains("  ") || value.contains(" None HTTP/"));
            if column.kind == Kind::Request
                || separate && column.is_quoted() && column.any(|value| value.contains(" HTTP/"))
            {
                if !separate && self.has("r") || separate && (self.has("m") || self.has("parts")) {
                    return None;
                }
                // A slot of several atoms is written out in `format`.
                self.give(nth, if separate { "parts" } else { "r" });
            } else if column.is_request() && !self.has("r") {
                self.give(nth, "r");
            }
        }
        for nth in self.free() {
            let column = &self.columns[nth];
            let key = match () {
                () if column.is_method() && !self.has("m") => "m",
                () if column.is_path() && !self.has("U") && self.has("m") => "U",
                () if column.is_protocol() && !self.has("H") => "H",
                () => continue,
            };
            self.give(nth, key);
        }
        // A query stands after its path.
        if let Some(next) = self.place("U").map(|nth| nth + 1)
            && self.is_free(next)
            && self.columns[next].is_query()
            && !self.has("q")
        {
            self.give(next, "q");
        }
        Some(())
    }

    /// Returns the place of the request: that of its line, else of its method.
    fn request(&self) -> Option<usize> {
        ["r", "parts", "U", "m"].iter().find_map(|key| self.place(key))
    }

    fn status(&mut self) -> Option<()> {
        if self.has("s") {
            return Some(());
        }
        let request = self.request()?;
        let possible: Vec<usize> =
            self.free().into_iter().filter(|nth| self.columns[*nth].is_status()).collect();
        let next_number = self.free().into_iter().find(|nth| {
            *nth > request && self.columns[*nth].after.is_empty() && self.columns[*nth].is_integer()
        });
        match possible.as_slice() {
            [] => {
                // Some other number might be a status that is not usual.
                let numbers = self.free().into_iter().any(|nth| self.columns[nth].is_integer());
                return (!numbers).then_some(());
            }
            [only] => self.give(*only, "s"),
            // A status stands right after its request.
            _ => {
                let nth = next_number.filter(|nth| possible.contains(nth))?;
                self.give(nth, "s");
            }
        }
        Some(())
    }

    /// Finds the client: the only address that is always there, or the only one at all.
    fn addresses(&mut self) -> Option<()> {
        let request = self.request()?;
        let possible: Vec<usize> =
            self.free().into_iter().filter(|nth| self.columns[*nth].is_addresses()).collect();
        let is_list = |column: &Column<'_>| column.any(|value| value.contains(','));
        if self.has("h") {
            return self.further_addresses(&possible);
        }
        let always: Vec<usize> = possible
            .iter()
            .copied()
            .filter(|nth| {
                let column = &self.columns[*nth];
                !is_list(column) && column.present().count() == column.values.len()
            })
            .collect();
        match (always.as_slice(), possible.as_slice()) {
            ([client], _) if *client < request || possible.len() == 1 => self.give(*client, "h"),
            ([], [only]) if is_list(&self.columns[*only]) => self.give(*only, "{x-forwarded-for}i"),
            ([], [only]) => self.give(*only, "h"),
            ([], []) => {}
            _ => return None,
        }
        self.further_addresses(&possible)
    }

    /// A list of addresses is X-Forwarded-For. Any other address is kept under a name.
    fn further_addresses(&mut self, possible: &[usize]) -> Option<()> {
        let is_list = |column: &Column<'_>| column.any(|value| value.contains(','));
        for &nth in possible {
            if self.is_free(nth) && is_list(&self.columns[nth]) && !self.has("{x-forwarded-for}i") {
                self.give(nth, "{x-forwarded-for}i");
            }
        }
        for &nth in possible {
            if !self.is_free(nth) {
                continue;
            }
            // A client that names the host by its address does so in nearly each request.
            let column = &self.columns[nth];
            let is_rare = 2 * column.present().count() < column.values.len();
            if !(self.has("{host}i") || is_rare || self.is_forwarded(nth)) {
                return None;
            }
            self.keep(nth, "address");
        }
        Some(())
    }

    /// Returns whether each address is also in the list of X-Forwarded-For.
    fn is_forwarded(&self, nth: usize) -> bool {
        let Some(list) = self.place("{x-forwarded-for}i") else { return false };
        let pairs = self.columns[nth].values.iter().zip(&self.columns[list].values);
        pairs
            .filter(|(value, _)| !matches!(**value, "" | "-"))
            .all(|(value, list)| list.contains(*value))
    }

    /// `ADDRESS - USER [TIME]`: the second of the two words before the time is the user.
    fn user(&mut self) {
        if self.has("u") {
            return;
        }
        let time = ["t", "{clf}t", "{iso}t"].iter().find_map(|key| self.place(key));
        let Some(time) = time.filter(|time| *time >= 3) else { return };
        let [client, ident, user] = [time - 3, time - 2, time - 1];
        let is_client = matches!(&self.roles[client], Role::Atom(key) if key == "h" || key == "{x-forwarded-for}i" || key == "{address}x" || key == "{port}h")
            || self.columns[client].is_absent() && self.is_free(client);
        let stands_alone = |nth: usize| {
            self.is_free(nth)
                && self.columns[nth].kind == Kind::Word
                && self.columns[nth].before.is_empty()
        };
        if is_client
            && stands_alone(ident)
            && stands_alone(user)
            && self.columns[ident].constant() == Some("-")
            && (self.has("h") || self.has("{x-forwarded-for}i"))
        {
            self.give(ident, "l");
            self.give(user, "u");
        }
    }

    /// Returns whether the free slots from `nth` on are two quoted texts side by side.
    fn is_quoted_pair(&self, nth: usize) -> bool {
        let quoted = |nth: usize| self.is_free(nth) && self.columns[nth].is_quoted();
        quoted(nth) && quoted(nth + 1) && self.columns[nth].key.is_none()
    }

    /// `… STATUS BYTES "REFERER" "AGENT"`, or each by its look.
    fn referer_and_agent(&mut self) -> Option<()> {
        let status = self.place("s");
        if !self.has("f") && !self.has("a") {
            let pair = status.and_then(|status| {
                (status + 1..=status + 3).find(|nth| self.is_quoted_pair(*nth)).filter(|nth| {
                    (status + 1..*nth).all(|between| {
                        self.columns[between].is_integer() || self.columns[between].is_absent()
                    })
                })
            });
            if let Some(nth) = pair {
                let (referer, agent) = (&self.columns[nth], &self.columns[nth + 1]);
                if referer.is_agent()
                    || agent.is_referer()
                    || referer.is_integer()
                    || agent.is_integer()
                {
                    return None;
                }
                self.give(nth, "f");
                self.give(nth + 1, "a");
            }
        }
        for nth in self.free() {
            let column = &self.columns[nth];
            if !column.is_quoted() || column.is_absent() {
                continue;
            }
            if !self.has("a") && column.is_agent() {
                self.give(nth, "a");
            } else if !self.has("f") && column.is_referer() {
                self.give(nth, "f");
            }
        }
        Some(())
    }

    /// The number after the status is that of the bytes, if lines without a body agree with it.
    fn response_bytes(&mut self) -> Option<()> {
        if self.has("b") {
            return Some(());
        }
        let Some(status) = self.place("s") else { return Some(()) };
        let number = |nth: usize| {
            self.is_free(nth)
                && self.columns[nth].after.is_empty()
                && self.columns[nth].key.is_none()
                && self.columns[nth].before.is_empty()
                && (self.columns[nth].is_integer() || self.columns[nth].constant() == Some("-"))
        };
        let next = status + 1;
        if !number(next) {
            return Some(());
        }
        // Where there is never a number, it may be in another place.
        if self.columns[next].is_absent()
            && self.free().iter().any(|nth| self.columns[*nth].is_integer())
        {
            return None;
        }
        let second = number(next + 1).then_some(next + 1);
        let is_after_request = self.request().is_some_and(|request| request < status);
        let is_common = self.has("u") && self.has_time() && is_after_request;
        let is_combined = second.is_none()
            && matches!(self.roles.get(next + 1), Some(Role::Atom(key)) if key == "f");
        match (self.bodies(next), second.map(|nth| self.bodies(nth))) {
            (Bodies::Contradict, None) => return Some(()),
            (Bodies::Agree, None | Some(Bodies::Contradict)) => self.give(next, "b"),
            (Bodies::Contradict, Some(Bodies::Agree)) => self.give(next + 1, "b"),
            (Bodies::Unknown, None) if is_combined || is_common => self.give(next, "b"),
            // `… STATUS BYTES "REFERER" "AGENT"` has no other number between.
            _ => return None,
        }
        Some(())
    }

    /// Returns whether a number may be that of a body's bytes: it is 0 in lines that can have no body.
    fn bodies(&self, nth: usize) -> Bodies {
        let status = self.place("s");
        let bodiless = (0..self.columns[nth].values.len()).filter(|line| {
            let code = status.map_or("", |status| self.columns[status].values[*line]);
            matches!(code, "204" | "304") || self.is_head(*line)
        });
        let (mut without, mut with) = (0, 0);
        for line in bodiless {
            match self.columns[nth].values[line] {
                "0" | "-" | "" => without += 1,
                _ if self.is_head(line) => {} // some servers count what they would have sent
                _ => with += 1,
            }
        }
        let varies = self.columns[nth].any(|value| value != "0");
        match (without, with) {
            (_, 1..) => Bodies::Contradict,
            (1.., 0) if varies => Bodies::Agree,
            _ => Bodies::Unknown,
        }
    }

    fn is_head(&self, line: usize) -> bool {
        self.request().is_some_and(|nth| {
            let nth = self.place("m").unwrap_or(nth);
            self.columns[nth].values[line].split(' ').next() == Some("HEAD")
        })
    }

    /// Numbers with a unit of their own, and Gunicorn's seconds with six decimals.
    fn durations(&mut self) {
        for nth in self.free() {
            let column = &self.columns[nth];
            let is_seconds_key = column.key.as_deref().is_some_and(|key| SECONDS.contains(&key));
            let atom = match column.after {
                "µs" | "μs" | "us" if column.is_integer() => "D",
                "ms" if column.is_integer() || column.is_absent() => "M",
                "ms" if column.is_decimal() => "{ms}L",
                "s" if column.is_integer() => "T",
                "s" if column.is_decimal() => "L",
                "" if column.has_decimals(6) && may_be_duration(column.key.as_deref()) => "L",
                "" if column.is_decimal() && is_seconds_key => "L",
                _ => continue,
            };
            if !self.has(atom) {
                self.give(nth, atom);
            }
        }
    }

    /// Two whole numbers are the same duration in seconds and in microseconds if they say so in each of
    /// many lines, and once it took a second.
    fn prove_seconds(&mut self) {
        let numbers: Vec<usize> = self
            .free()
            .into_iter()
            .filter(|nth| self.columns[*nth].after.is_empty() && self.columns[*nth].is_integer())
            .collect();
        let [seconds, micros] = *numbers.as_slice() else { return };
        let pairs = self.columns[seconds].values.iter().zip(&self.columns[micros].values);
        let agree = |(seconds, micros): (&&str, &&str)| {
            let (seconds, micros) = (seconds.parse::<u64>().ok()?, micros.parse::<u64>().ok()?);
            (micros / 1_000_000 == seconds).then_some(seconds > 0)
        };
        let agreed: Option<Vec<bool>> = pairs.map(agree).collect();
        if agreed.is_some_and(|lines| lines.len() >= 10 && lines.contains(&true)) {
            self.give(seconds, "T");
            self.give(micros, "D");
        }
    }

    /// A whole number is in microseconds if a duration of known unit beside it says so in each line.
    fn prove_microseconds(&mut self) {
        let known = [("L", 1), ("M", 1_000), ("T", 1_000_000)];
        let Some((place, unit)) =
            known.iter().find_map(|(key, unit)| Some((self.place(key)?, *unit)))
        else {
            return;
        };
        let micros = |text: &str| -> Option<u64> {
            match text.split_once('.') {
                Some((whole, decimals)) if decimals.len() == 6 => whole
                    .parse::<u64>()
                    .ok()?
                    .checked_mul(1_000_000)?
                    .checked_add(decimals.parse().ok()?),
                Some(_) => None,
                None => text.parse::<u64>().ok()?.checked_mul(unit),
            }
        };
        for nth in self.free() {
            let column = &self.columns[nth];
            if !column.after.is_empty() || !column.is_integer() || self.has("D") {
                continue;
            }
            let pairs = column.values.iter().zip(&self.columns[place].values);
            let agree = |(number, known): (&&str, &&str)| {
                let (number, known) = (number.parse::<u64>().ok()?, micros(known)?);
                (number / unit == known / unit).then_some(known > 0)
            };
            let agreed: Option<Vec<bool>> = pairs.map(agree).collect();
            if agreed.is_some_and(|lines| lines.iter().filter(|proves| **proves).count() >= 2) {
                self.give(nth, "D");
            }
        }
    }

    /// Keeps what is left, or gives up if it might belong to a column.
    fn others(&mut self) -> Option<()> {
        for nth in self.free() {
            let column = &self.columns[nth];
            let constant = column.constant().unwrap_or_default();
            let is_keyed = column.key.is_some();
            let agent = self.place("a");
            if column.is_pid() && !self.has("p") {
                self.give(nth, "p");
            } else if column.is_absent() && !column.is_quoted() && !is_keyed {
                if !column.after.is_empty() {
                    return None;
                }
                self.roles[nth] = Role::Literal;
            } else if column.is_absent() {
                self.keep(nth, "value");
            } else if column.is_integer() {
                // Without a number of bytes, this might be it.
                let may_be_bytes = !self.has("b") && self.bodies(nth) != Bodies::Contradict;
                if may_be_bytes && !(is_keyed && may_be_duration(column.key.as_deref())) {
                    return None;
                }
                self.keep_number(nth);
            } else if column.is_decimal() {
                self.keep_number(nth);
            } else if self.is_literal_word(constant, nth) {
                self.roles[nth] = Role::Literal;
            } else if column.is_path() && (self.has("r") || self.has("U"))
                || column.is_query() && (self.has("r") || self.has("q"))
                || column.is_protocol()
                || column.is_method()
            {
                self.keep(nth, "value");
            } else if column.may_be_host() && !self.has("{host}i")
                || column.is_query()
                || is_keyed && column.any(|value| value.contains("://"))
            {
                return None;
            } else if self.has("u")
                && ((column.is_id() || is_keyed) && self.may_be_no_text(nth)
                    || agent.is_some_and(|agent| nth > agent) && self.has("f")
                    || !column.is_quoted() && nth < self.request()? && column.is_id())
            {
                self.keep(nth, "value");
            } else {
                return None;
            }
        }
        Some(())
    }

    /// Returns whether a slot cannot be a referer or an agent that no other slot holds.
    fn may_be_no_text(&self, nth: usize) -> bool {
        let column = &self.columns[nth];
        (self.has("a") || !column.any(super::column::looks_like_agent) && column.is_id())
            && (self.has("f") || !column.any(|value| value.contains("://")))
            && (self.has("a") && self.has("f") || !column.is_quoted() || column.is_id())
    }

    /// Returns whether a word that is the same in all lines is a part of the format: no name of a user
    /// or a host.
    fn is_literal_word(&self, constant: &str, nth: usize) -> bool {
        const WORDS: [&str; 8] = ["in", "ms", "took", "access", "to", "from", "for", "at"];
        let column = &self.columns[nth];
        let capitals = constant.len() > 1 && constant.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_word = !constant.is_empty()
            && constant.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-.".contains(&byte));
        column.kind == Kind::Word
            && column.before.is_empty()
            && column.after.is_empty()
            && (!constant.is_empty() && !constant.chars().any(char::is_alphanumeric)
                || capitals
                || WORDS.contains(&constant)
                || is_word && self.has("u") && !constant.contains('.') && column.values.len() >= 3)
    }

    fn keep(&mut self, nth: usize, name: &str) {
        let key = match &self.columns[nth].key {
            Some(key) => key.clone(),
            None => format!("{name}_{}", nth + 1),
        };
        let key: String =
            key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        self.give(nth, &format!("{{{key}}}x"));
    }

    fn keep_number(&mut self, nth: usize) {
        self.keep(nth, "number");
        let Role::Atom(key) = &mut self.roles[nth] else { return };
        *key = format!("{}n", key.trim_end_matches('x'));
        let (key, after) = (key.clone(), self.columns[nth].after);
        let units = "%(T)s (seconds), %(M)s (milliseconds) or %(D)s (microseconds) in its place";
        if !self.has("b") && self.place("s").is_some_and(|status| status + 1 == nth) {
            // As Apache's %O and nginx's $bytes_sent count, which are common here.
            self.uncertain.push(format!(
                "%({key})s is more than 0 for responses without a body: it may be their bytes with \
                 headers, or a duration. It is kept in `request`, and `response_bytes` and `duration` are \
                 NULL; give --format with %(b)s (bytes), {units}"
            ));
        } else if after.is_empty() && may_be_duration(self.columns[nth].key.as_deref()) {
            self.uncertain.push(format!(
                "%({key})s may be a duration, but the lines do not say in which unit: it is kept in \
                 `request`, and `duration` is NULL; give --format with {units}"
            ));
        }
    }

    /// Writes the format.
    fn format(self) -> Option<Found> {
        let mut format = String::new();
        let literal = |text: &str| text.replace('%', "%%");
        let mut nth = 0;
        for token in self.tokens {
            let Token::Slot(kind, text) = token else {
                let Token::Literal(text) = token else { continue };
                format.push_str(&literal(text));
                continue;
            };
            let (column, role) = (&self.columns[nth], &self.roles[nth]);
            nth += 1;
            match role {
                Role::Literal => format.push_str(&literal(text)),
                Role::Unknown => return None,
                Role::Atom(key) if key == "parts" => {
                    let first = column.values.first()?;
                    let method = first.find(' ')?;
                    let spaces = first[method..].bytes().take_while(|byte| *byte == b' ').count();
                    let after_method = |value: &str| {
                        value
                            .split_once(' ')
                            .is_some_and(|(_, rest)| rest.trim_start().contains("  "))
                    };
                    let has_query = column.any(after_method);
                    let query = if has_query { " %(q)s" } else { "" };
                    format.push_str(&format!("%(m)s{}%(U)s{query} %(H)s", " ".repeat(spaces)));
                }
                // Other keys of a time are for text.
                Role::Atom(key) => {
                    format.push_str(&literal(column.before));
                    let width = column.width.map(|width| format!("-{width}")).unwrap_or_default();
                    format.push_str(&format!("%({key}){width}s"));
                    format.push_str(&literal(column.after));
                    debug_assert!(*kind == column.kind);
                }
            }
        }
        Some(Found { format, uncertain: self.uncertain })
    }
}

/// What lines without a body say of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bodies {
    Agree,
    Contradict,
    Unknown,
}

/// Returns whether a key may name a duration; a number without a key may be anything.
fn may_be_duration(key: Option<&str>) -> bool {
    const PARTS: [&str; 12] = [
        "time", "duration", "elapsed", "latency", "took", "rt", "seconds", "secs", "ms", "us",
        "dur", "micros",
    ];
    key.is_none_or(|key| !is_digits(key) && key.split(['_', '.']).any(|part| PARTS.contains(&part)))
}
