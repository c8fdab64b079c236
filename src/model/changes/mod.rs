//! What distinguishes the requests of a stretch of time from those of others: for each dimension the values whose share has
//! changed, or whose requests have become slow or fail, in an order that has the cause first.
//!
//! Rows come slice by slice, since all of them may be too many: then shares have an error (`ranking`).

mod ranking;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;

pub use ranking::{Difference, Part};

use super::filter::{Codes, Network};
pub use super::folding::{agent_family, agent_part, url_path, url_pattern};
use super::scatter::scatter;

/// Most values of a dimension that are counted at the same time. When there are more, the rarest half is forgotten: what
/// has caused a change is not among them.
const MOST_VALUES: usize = 4096;
/// Most bytes of a value. Longer ones are not counted.
const MOST_BYTES: usize = 300;

/// Bits of the networks that addresses are put together by.
const NETWORK_V4: u8 = 24;
const NETWORK_V6: u8 = 48;

/// A property of requests. Of two values with the same requests, the one of the earlier dimension is shown first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The route, or the [`url_pattern`] of rows without one.
    Route,
    /// The path.
    Url,
    /// The status.
    Status,
    /// The method.
    Method,
    /// The address of the client.
    Address,
    /// The network of the client: 24 bits of IPv4, 48 of IPv6.
    Network,
    /// The user.
    User,
    /// The program of the client: [`agent_family`].
    Agent,
    /// The Host header.
    Host,
    /// The machine whose log it is.
    Server,
    /// The process that answered, with its machine.
    Worker,
}

impl Dimension {
    /// All, with their names.
    pub const ALL: [(Dimension, &str); 11] = [
        (Dimension::Route, "route"),
        (Dimension::Url, "url"),
        (Dimension::Status, "status"),
        (Dimension::Method, "method"),
        (Dimension::Address, "address"),
        (Dimension::Network, "network"),
        (Dimension::User, "user"),
        (Dimension::Agent, "agent"),
        (Dimension::Host, "host"),
        (Dimension::Server, "server"),
        (Dimension::Worker, "worker"),
    ];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        Dimension::ALL[self as usize].1
    }

    /// Returns the name and the value of the condition of a [`Filter`](super::Filter) that has these requests. It has
    /// more of them than a pattern of URLs with a placeholder, whose beginning it looks for. `None` if no filter has them.
    pub fn condition(self, value: &str) -> Option<(&'static str, String)> {
        let value_of = |value: &str| value.to_owned();
        Some(match self {
            Dimension::Route if value.starts_with('/') => {
                let fixed = value.split(['{', '…']).next().unwrap_or_default();
                // What begins with a slash alone is everything.
                if fixed.len() < 2 && fixed != value {
                    return None;
                }
                ("url", value_of(fixed))
            }
            Dimension::Route => ("route", value_of(value)),
            Dimension::Url => ("url", value_of(value)),
            Dimension::Status => ("code", value_of(value)),
            Dimension::Method => ("method", value_of(value)),
            Dimension::Address | Dimension::Network => ("address", value_of(value)),
            Dimension::User => ("user", value_of(value)),
            Dimension::Agent => ("agent", agent_part(value)),
            Dimension::Host => ("host", value_of(value)),
            Dimension::Server => ("server", value_of(value)),
            Dimension::Worker => return None,
        })
    }
}

/// What the requests of both sides are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// How many there are.
    Requests,
    /// How many of them have such a status.
    Codes(Codes),
    /// How many of them took so long or longer, in microseconds. Requests without a duration are left out.
    Slow(i64),
}

/// The side of a comparison that a request is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The selected stretch of time.
    Selection,
    /// What it is compared with.
    Baseline,
}

impl Side {
    /// Both, in the order of their numbers.
    pub const BOTH: [Side; 2] = [Side::Selection, Side::Baseline];
}

/// A request, as far as it is compared.
#[derive(Clone, Debug, Default)]
pub struct Observed<'a> {
    /// Names the row.
    pub id: i64,
    /// The status.
    pub code: Option<i64>,
    /// Microseconds.
    pub duration: Option<i64>,
    /// The process.
    pub pid: Option<i64>,
    /// The route that the application logged.
    pub route: Option<Cow<'a, str>>,
    /// The URL, with its query or without.
    pub url: Option<Cow<'a, str>>,
    /// The method.
    pub method: Option<Cow<'a, str>>,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The user.
    pub user: Option<Cow<'a, str>>,
    /// The User-Agent header.
    pub agent: Option<Cow<'a, str>>,
    /// The Host header.
    pub host: Option<Cow<'a, str>>,
    /// The machine.
    pub server: Option<Cow<'a, str>>,
}

impl Observed<'_> {
    /// Calls `take` with the value of each dimension that the request has.
    fn each_value(&self, mut take: impl FnMut(Dimension, &str)) {
        let mut text = String::new();
        let mut written =
            |value: std::fmt::Arguments<'_>, dimension, take: &mut dyn FnMut(Dimension, &str)| {
                text.clear();
                // Writing to a String cannot fail.
                let _ = text.write_fmt(value);
                take(dimension, &text);
            };
        match (self.route.as_deref(), self.url.as_deref()) {
            (Some(route), _) if !route.is_empty() => take(Dimension::Route, route),
            (_, Some(url)) => take(Dimension::Route, &url_pattern(url)),
            _ => {}
        }
        if let Some(url) = self.url.as_deref() {
            take(Dimension::Url, url_path(url));
        }
        if let Some(code) = self.code {
            written(format_args!("{code}"), Dimension::Status, &mut take);
        }
        if let Some(address) = self.address {
            let address = address.to_canonical();
            written(format_args!("{address}"), Dimension::Address, &mut take);
            let bits = if address.is_ipv4() { NETWORK_V4 } else { NETWORK_V6 };
            written(format_args!("{}", Network::of(address, bits)), Dimension::Network, &mut take);
        }
        let texts = [
            (Dimension::Method, self.method.as_deref()),
            (Dimension::User, self.user.as_deref()),
            (Dimension::Agent, self.agent.as_deref().and_then(agent_family)),
            (Dimension::Host, self.host.as_deref()),
            (Dimension::Server, self.server.as_deref()),
        ];
        for (dimension, value) in texts {
            if let Some(value) = value {
                take(dimension, value);
            }
        }
        match (self.pid, self.server.as_deref()) {
            (Some(pid), Some(server)) => {
                written(format_args!("{pid} on {server}"), Dimension::Worker, &mut take);
            }
            (Some(pid), None) => written(format_args!("{pid}"), Dimension::Worker, &mut take),
            (None, _) => {}
        }
    }
}

/// Counts of one side.
#[derive(Clone, Debug, Default)]
struct Sums {
    rows: i64,
    /// Rows that are slow or fail.
    bad: i64,
    /// The slice that `slice_rows` and `slice_bad` are of.
    slice: usize,
    slice_rows: i64,
    slice_bad: i64,
    /// Sums over the slices before, of squares and products of what is counted and of what its share is of.
    squares: f64,
    products: f64,
    squares_of_whole: f64,
}

/// Counts of a value.
#[derive(Clone, Debug, Default)]
struct Tally {
    sides: [Sums; 2],
    /// A number that is the same for the same rows of the selection: bad ones, where these are compared.
    print: u64,
    /// A row, and how well it fits as an example: the more the better.
    example: (u8, i64),
}

impl Tally {
    fn number(&self) -> i64 {
        self.sides.iter().map(|it| it.rows).sum()
    }
}

/// Compares the requests that it is given.
#[derive(Clone, Debug)]
pub struct Comparison {
    compare: Compare,
    values: [HashMap<Box<str>, Tally>; Dimension::ALL.len()],
    totals: [Sums; 2],
    /// Rows of each slice so far.
    slices: [Vec<i64>; 2],
    /// Dimensions of which values were forgotten.
    forgetful: [bool; Dimension::ALL.len()],
}

impl Comparison {
    /// Begins without any request.
    pub fn new(compare: Compare) -> Comparison {
        let (values, totals, slices, forgetful) = Default::default();
        Comparison { compare, values, totals, slices, forgetful }
    }

    /// Returns the dimensions with more values than are counted at the same time. Rare ones were forgotten: those that came
    /// again have numbers that are too low.
    pub fn forgetful(&self) -> impl Iterator<Item = Dimension> {
        let all = Dimension::ALL.into_iter().zip(self.forgetful);
        all.filter(|(_, forgetful)| *forgetful).map(|((dimension, _), _)| dimension)
    }

    /// Returns what is compared.
    pub fn compare(&self) -> Compare {
        self.compare
    }

    /// Begins a slice of a side: requests that are near to each other in time.
    pub fn begin_slice(&mut self, side: Side) {
        self.slices[side as usize].push(0);
    }

    /// Counts a request of the current slice.
    pub fn add(&mut self, side: Side, row: &Observed<'_>) {
        let is_bad = match self.compare {
            Compare::Requests => false,
            Compare::Codes(codes) => {
                row.code.is_some_and(|it| (codes.first.into()..=codes.last.into()).contains(&it))
            }
            Compare::Slow(bound) => match row.duration {
                Some(duration) => duration >= bound,
                None => return,
            },
        };
        if self.slices[side as usize].is_empty() {
            self.begin_slice(side);
        }
        let slice = self.slices[side as usize].len() - 1;
        self.slices[side as usize][slice] += 1;
        let whole = match self.compare {
            Compare::Requests => Whole::Slices(&self.slices[side as usize]),
            _ => Whole::OwnRows,
        };
        let totals = &mut self.totals[side as usize];
        totals.count(slice, is_bad, &whole);
        let is_printed = side == Side::Selection && (is_bad || self.compare == Compare::Requests);
        let print = if is_printed { scatter(row.id) } else { 0 };
        let fits = match side {
            Side::Selection if is_printed => 3,
            Side::Selection => 2,
            Side::Baseline => 1,
        };
        let is_code = matches!(self.compare, Compare::Codes(_));
        let (all, forgetful) = (&mut self.values, &mut self.forgetful);
        row.each_value(|dimension, value| {
            // The status is what is compared, and explains nothing.
            let is_compared = is_code && dimension == Dimension::Status;
            if is_compared || value.is_empty() || value.len() > MOST_BYTES {
                return;
            }
            let values = &mut all[dimension as usize];
            let tally = match values.get_mut(value) {
                Some(tally) => tally,
                None => {
                    if values.len() >= MOST_VALUES {
                        forget_the_rarest(values);
                        forgetful[dimension as usize] = true;
                    }
                    values.entry(value.into()).or_default()
                }
            };
            tally.sides[side as usize].count(slice, is_bad, &whole);
            tally.print ^= print;
            if tally.example.0 < fits {
                tally.example = (fits, row.id);
            }
        });
    }
}

/// What the share of a value is a part of.
enum Whole<'a> {
    /// All rows of a side, of which these are in each slice.
    Slices(&'a [i64]),
    /// The rows of the value itself, some of which are bad.
    OwnRows,
}

impl Sums {
    fn count(&mut self, slice: usize, is_bad: bool, whole: &Whole<'_>) {
        if self.slice != slice {
            self.end_slice(whole);
            self.slice = slice;
        }
        self.rows += 1;
        self.slice_rows += 1;
        self.bad += i64::from(is_bad);
        self.slice_bad += i64::from(is_bad);
    }

    /// Adds what the slice has to the sums of squares.
    fn end_slice(&mut self, whole: &Whole<'_>) {
        let (part, of) = match whole {
            Whole::Slices(slices) => {
                (self.slice_rows, slices.get(self.slice).copied().unwrap_or_default())
            }
            Whole::OwnRows => (self.slice_bad, self.slice_rows),
        };
        let (part, of) = (part as f64, of as f64);
        self.squares += part * part;
        self.products += part * of;
        self.squares_of_whole += of * of;
        (self.slice_rows, self.slice_bad) = (0, 0);
    }
}

/// Removes about half of the values: those that have the fewest rows.
fn forget_the_rarest(values: &mut HashMap<Box<str>, Tally>) {
    let mut numbers: Vec<i64> = values.values().map(Tally::number).collect();
    let half = numbers.len() / 2;
    let (_, &mut limit, _) = numbers.select_nth_unstable(half);
    let more = numbers.iter().filter(|number| **number > limit).count();
    let mut of_limit = half.saturating_sub(more);
    values.retain(|_, tally| match tally.number().cmp(&limit) {
        Ordering::Greater => true,
        Ordering::Equal if of_limit > 0 => {
            of_limit -= 1;
            true
        }
        _ => false,
    });
}
