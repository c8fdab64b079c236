//! When a notice is due, decided from what was observed: no clock, no store, no network.
//!
//! A kind is raised once, and once it is over, that is said too. A kind that comes and goes is raised every
//! [`RAISED_EVERY`] at most; what happened meanwhile is in the next notice.
//!
//! An objective with burn rates would be one more kind: its observation is a share over two windows, and the
//! rest stays as it is.

use std::time::{Duration, Instant};

use crate::model::{counted, grouped};

/// Least time between two notices that raise the same kind.
const RAISED_EVERY: Duration = Duration::from_secs(600);

/// How long the store must be unavailable: a restart of the server is shorter.
const STORE_HOLDS: Duration = Duration::from_secs(30);

/// How long a state must be over before that is said.
const OVER: Duration = Duration::from_secs(30);

/// How long no line was rejected, and nothing lost, before that is said.
const OVER_OF_EVENTS: Duration = Duration::from_secs(900);

/// Requests below which a share of errors means nothing.
const LEAST_REQUESTS: u64 = 20;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The store is unavailable.
    Store,
    /// Lines wait for long.
    Lag,
    /// Lines became no rows.
    Rejects,
    /// Bytes were gone before they were read.
    Loss,
    /// Too large a share of the requests was answered with 5xx.
    ServerErrors,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Store, Kind::Lag, Kind::Rejects, Kind::Loss, Kind::ServerErrors];

    /// Returns the word for programs, which never changes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Store => "store",
            Kind::Lag => "lag",
            Kind::Rejects => "rejects",
            Kind::Loss => "loss",
            Kind::ServerErrors => "server_errors",
        }
    }

    /// Returns how long it must hold before it is raised.
    fn holds(self) -> Duration {
        match self {
            Kind::Store => STORE_HOLDS,
            // The lag is a time itself, the share one over minutes, and the others happen at once.
            Kind::Lag | Kind::Rejects | Kind::Loss | Kind::ServerErrors => Duration::ZERO,
        }
    }

    /// Returns how long it must be over before that is said.
    fn over(self) -> Duration {
        match self {
            Kind::Rejects | Kind::Loss => OVER_OF_EVENTS,
            Kind::Store | Kind::Lag | Kind::ServerErrors => OVER,
        }
    }
}

/// The bounds of the settings; `None` for a kind that is off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// The longest time for which lines may wait.
    pub(super) lag: Option<Duration>,
    /// The largest share of requests that may be answered with 5xx, from 0 to 1.
    pub(super) server_errors: Option<f64>,
}

/// What was observed at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Observed {
    /// Why the store is unavailable.
    pub(super) store: Option<String>,
    /// For how long the oldest bytes that are not stored have waited.
    pub(super) lag: Duration,
    /// Lines that were rejected since the start of the process and may be requests.
    pub(super) rejects: u64,
    /// Bytes that were lost since the start of the process.
    pub(super) lost: u64,
    /// Requests of the last minutes, and those answered with 5xx; `None` if that is not known.
    pub(super) answered: Option<(u64, u64)>,
}

/// A change of which a notice is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) state: State,
    /// One sentence.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Raised,
    Recovered,
}

/// One kind, as it was at the last look.
#[derive(Clone, Debug, Default)]
struct Track {
    is_raised: bool,
    bad_since: Option<Instant>,
    good_since: Option<Instant>,
    raised_at: Option<Instant>,
    /// The counter at the last recovery, and at the last look. Zero for what is not counted.
    at_recovery: u64,
    seen: u64,
}

impl Track {
    /// Returns the new state if a notice of it is due.
    fn look(&mut self, kind: Kind, is_bad: bool, now: Instant) -> Option<State> {
        let has_held = |since: Instant, long| now.duration_since(since) >= long;
        if self.is_raised {
            if is_bad {
                self.good_since = None;
                return None;
            }
            let since = *self.good_since.get_or_insert(now);
            return has_held(since, kind.over()).then(|| {
                (self.is_raised, self.bad_since, self.good_since) = (false, None, None);
                State::Recovered
            });
        }
        if !is_bad {
            self.bad_since = None;
            return None;
        }
        let since = *self.bad_since.get_or_insert(now);
        let may_speak = self.raised_at.is_none_or(|at| has_held(at, RAISED_EVERY));
        (has_held(since, kind.holds()) && may_speak).then(|| {
            (self.is_raised, self.raised_at, self.good_since) = (true, Some(now), None);
            State::Raised
        })
    }
}

/// All kinds. It outlives a reload.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions([Track; Kind::ALL.len()]);

impl Conditions {
    /// Returns the changes of which notices are due after a look.
    pub(super) fn look(&mut self, seen: &Observed, bounds: &Bounds, now: Instant) -> Vec<Change> {
        let changes = Kind::ALL.into_iter().filter_map(|kind| {
            let track = &mut self.0[kind as usize];
            match kind {
                // While that is not known, nothing is over.
                Kind::ServerErrors if seen.answered.is_none() => return None,
                // It is not looked at any more, which does not mean that it is over.
                Kind::ServerErrors if bounds.server_errors.is_none() => *track = Track::default(),
                Kind::Lag if bounds.lag.is_none() => *track = Track::default(),
                _ => {}
            }
            let counter = match kind {
                Kind::Rejects => seen.rejects,
                Kind::Loss => seen.lost,
                Kind::Store | Kind::Lag | Kind::ServerErrors => 0,
            };
            let is_bad = match kind {
                Kind::Store => seen.store.is_some(),
                Kind::Lag => bounds.lag.is_some_and(|bound| seen.lag > bound),
                Kind::ServerErrors => share_over(seen, bounds).is_some(),
                Kind::Rejects | Kind::Loss if track.is_raised => counter > track.seen,
                Kind::Rejects | Kind::Loss => counter > track.at_recovery,
            };
            track.seen = counter;
            let state = track.look(kind, is_bad, now)?;
            let text = text(kind, state, seen, counter - track.at_recovery);
            if state == State::Recovered {
                track.at_recovery = counter;
            }
            Some(Change { kind, state, text })
        });
        changes.collect()
    }
}

/// Returns requests and errors of the last minutes if too many are errors.
fn share_over(seen: &Observed, bounds: &Bounds) -> Option<(u64, u64)> {
    let (bound, (requests, errors)) = bounds.server_errors.zip(seen.answered)?;
    let is_over = requests >= LEAST_REQUESTS && errors as f64 > bound * requests as f64;
    is_over.then_some((requests, errors))
}

fn text(kind: Kind, state: State, seen: &Observed, number: u64) -> String {
    let (requests, errors) = seen.answered.unwrap_or_default();
    match (kind, state) {
        (Kind::Store, State::Raised) => {
            let why = seen.store.as_deref().unwrap_or("it does not answer");
            format!("the database is unavailable, and lines wait in their files: {why}")
        }
        (Kind::Store, State::Recovered) => "the database is available again".to_owned(),
        (Kind::Lag, State::Raised) => {
            format!("lines have waited for {} s to be stored", grouped(seen.lag.as_secs()))
        }
        (Kind::Lag, State::Recovered) => "lines are stored in time again".to_owned(),
        (Kind::Rejects, State::Raised) => format!(
            "{} rejected and became no rows; `log-ingestd status` says of which files",
            were(number, "line")
        ),
        (Kind::Rejects, State::Recovered) => {
            format!("no line is rejected any more; {} rejected", were(number, "line"))
        }
        (Kind::Loss, State::Raised) => format!(
            "{} lost: gone before they could be read; `log-ingestd status` says of which files",
            were(number, "byte")
        ),
        (Kind::Loss, State::Recovered) => {
            format!("nothing is lost any more; {} lost", were(number, "byte"))
        }
        (Kind::ServerErrors, State::Raised) => format!(
            "{} of {} in the last minutes were answered with 5xx",
            grouped(errors),
            counted(requests, "request")
        ),
        (Kind::ServerErrors, State::Recovered) if requests < LEAST_REQUESTS => format!(
            "of the last minutes only {} with 5xx and {} in all are stored, too few to tell",
            grouped(errors),
            counted(requests, "request")
        ),
        (Kind::ServerErrors, State::Recovered) => format!(
            "requests are answered again: {} of {} in the last minutes with 5xx",
            grouped(errors),
            counted(requests, "request")
        ),
    }
}

fn were(number: u64, noun: &str) -> String {
    format!("{} {}", counted(number, noun), if number == 1 { "was" } else { "were" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { lag: Some(Duration::from_secs(300)), server_errors: Some(0.05) };

    /// Looks at these moments, in seconds, and returns the words of each notice with its moment.
    fn told(looks: impl IntoIterator<Item = (u64, Observed)>) -> Vec<(u64, &'static str, State)> {
        let (mut conditions, began) = (Conditions::default(), Instant::now());
        let mut told = Vec::new();
        for (at, seen) in looks {
            let changes = conditions.look(&seen, &BOUNDS, began + Duration::from_secs(at));
            told.extend(changes.into_iter().map(|it| (at, it.kind.name(), it.state)));
        }
        told
    }

    fn store(is_down: bool) -> Observed {
        Observed { store: is_down.then(|| "refused".to_owned()), ..Observed::default() }
    }

    #[test]
    fn a_state_is_raised_once_and_recovers_once() {
        use State::{Raised, Recovered};
        let looks = (0..100).map(|nth| (nth * 10, store(nth < 50)));
        assert_eq!(told(looks), [(30, "store", Raised), (530, "store", Recovered)]);
        // A restart of the server is too short.
        assert_eq!(told((0..100).map(|nth| (nth * 10, store(nth % 3 < 2)))), []);
        let lag = |seconds| Observed { lag: Duration::from_secs(seconds), ..Observed::default() };
        let looks = [(0, lag(300)), (10, lag(301)), (20, lag(900)), (30, lag(0)), (60, lag(0))];
        assert_eq!(told(looks), [(10, "lag", Raised), (60, "lag", Recovered)]);
    }

    #[test]
    fn what_comes_and_goes_is_raised_every_ten_minutes_at_most() {
        let looks = (0..360).map(|nth| (nth * 10, store(nth % 30 < 15)));
        let told = told(looks);
        let raised: Vec<u64> =
            told.iter().filter(|it| it.2 == State::Raised).map(|it| it.0).collect();
        assert!(raised.windows(2).all(|pair| pair[1] - pair[0] >= 600), "{raised:?}");
        assert!((5..=6).contains(&raised.len()), "{raised:?}");
    }

    #[test]
    fn events_are_counted_and_none_is_forgotten() {
        let (mut conditions, began) = (Conditions::default(), Instant::now());
        let mut look = |at, rejects| {
            let seen = Observed { rejects, ..Observed::default() };
            let changes = conditions.look(&seen, &BOUNDS, began + Duration::from_secs(at));
            changes.into_iter().map(|it| it.text).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(look(0, 0), "");
        assert!(look(10, 1).starts_with("1 line was rejected"), "at once");
        assert_eq!(look(20, 5), "");
        assert_eq!(look(900, 5), "");
        assert_eq!(look(1_000, 6), "", "the time begins again");
        assert_eq!(look(1_100, 6), "");
        assert_eq!(look(2_010, 6), "no line is rejected any more; 6 lines were rejected");
        assert!(look(2_020, 9).starts_with("3 lines were rejected"));
    }

    #[test]
    fn a_share_of_errors_counts_from_twenty_requests_on() {
        let of = |requests, errors| Observed {
            answered: Some((requests, errors)),
            ..Observed::default()
        };
        assert_eq!(told([(0, of(19, 19)), (10, of(1_000, 50))]), []);
        let found = told([(0, of(1_000, 51)), (10, of(1_000, 0)), (40, of(1_000, 0))]);
        let name = "server_errors";
        assert_eq!(found, [(0, name, State::Raised), (40, name, State::Recovered)]);
        let unknown = Observed::default();
        assert_eq!(told([(0, unknown)]), []);
        // While the database is unavailable, nothing is over.
        let unknown = || Observed::default();
        let found =
            told([(0, of(1_000, 51)), (10, unknown()), (60, unknown()), (90, of(1_000, 0))]);
        assert_eq!(found, [(0, name, State::Raised)]);
    }

    #[test]
    fn what_is_not_looked_at_any_more_does_not_recover() {
        let (mut conditions, began) = (Conditions::default(), Instant::now());
        let lag = Observed { lag: Duration::from_secs(900), ..Observed::default() };
        assert_eq!(conditions.look(&lag, &BOUNDS, began).len(), 1);
        let off = Bounds { lag: None, server_errors: None };
        for seconds in [10, 60, 600] {
            let changes = conditions.look(&lag, &off, began + Duration::from_secs(seconds));
            assert_eq!(changes, []);
        }
    }
}
