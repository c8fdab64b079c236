//! Random scripts: the same seed is the same script, for ever and everywhere.

use fastrand::Rng;

use crate::archives::KINDS;
use crate::power_cuts::in_scripts;
use crate::torture::asked;

use super::script::{Copy, Cut, Damage, KEPT, LOGS, Name, Step, Way};

/// Makes a step of one kind.
type Make = fn(&mut Rng) -> Step;

/// How often each kind of step comes, in parts of their sum.
const WEIGHTS: [(u32, Make); 22] = [
    (20, |dice| Step::Write(log(dice), dice.u32(1..40))),
    (2, |dice| Step::Write(log(dice), dice.u32(1000..6000))),
    (6, |dice| Step::Write(rotated(dice), dice.u32(1..10))),
    (6, |dice| Step::Begin(any(dice), dice.u32(1..100))),
    (9, |dice| Step::Rotate(log(dice))),
    (2, |dice| Step::Date(log(dice))),
    (5, |dice| Step::CopyTruncate(log(dice), Copy::Inside)),
    (2, |dice| Step::CopyTruncate(log(dice), Copy::Outside)),
    (2, |dice| Step::CopyTruncate(log(dice), Copy::Nowhere)),
    (5, |dice| Step::Compress(rotated(dice), KINDS[dice.usize(..KINDS.len())])),
    (3, |dice| Step::Delete(any(dice))),
    (3, |dice| Step::Recreate(log(dice), dice.u32(1..10))),
    (2, |dice| Step::Away(any(dice))),
    (14, |dice| Step::Start(LOOKS[dice.usize(..LOOKS.len())])),
    (6, |_| Step::Kill),
    (3, |_| Step::Stop),
    (3, |_| Step::Pause),
    (4, |_| Step::Continue),
    (3, |_| Step::Cut),
    (3, |_| Step::Back),
    (1, |_| Step::Crash),
    (8, |dice| Step::Wait(dice.u32(1..150))),
];

/// The same of what takes long, or damages logs: `tests/torture` plays it.
const OF_TORTURE: [(u32, Make); 14] = [
    (4, |dice| {
        let first = dice.usize(..LOGS.len());
        let name = |log| Name { log: log % LOGS.len(), slot: 0 };
        Step::Alike(name(first), name(first + 1))
    }),
    (2, |_| Step::Host),
    (2, |_| Step::Swap),
    (3, |dice| Step::Second(LOOKS[dice.usize(..LOOKS.len())])),
    (3, |dice| Step::Overtake(LOOKS[dice.usize(..LOOKS.len())])),
    (3, |_| Step::Leave),
    (3, |dice| Step::Burst(log(dice), dice.u32(1..3000), dice.u32(..60), Copy::Inside)),
    (4, |dice| Step::Burst(log(dice), dice.u32(1..3000), dice.u32(..300), Copy::Nowhere)),
    (5, |dice| Step::Night(dice.u32(1..4), way(dice))),
    (6, |dice| Step::Storm(log(dice), dice.u32(100..4000), dice.u32(..60))),
    (1, |dice| Step::Restore(log(dice), dice.u32(1..40))),
    (2, |dice| Step::Lose(log(dice), dice.u32(1..100))),
    (1, |dice| {
        let cut = if dice.bool() { Cut::Commit } else { Cut::Answer };
        Step::Import(dice.u32(30_000..90_000), dice.u32(..4), cut)
    }),
    // More than a batch holds.
    (1, |dice| Step::Write(log(dice), dice.u32(20_000..30_000))),
];

/// The same of power cuts. `LOG_INGESTD_TORTURE_POWER=no` leaves them out, and lines without a time: a
/// failure of these would say nothing of a planted fault.
const OF_POWER: [(u32, Make); 2] = [
    (5, |dice| Step::Power(any(dice), DAMAGES[dice.usize(..3)], dice.u32(1..6000), dice.u32(..30))),
    (2, |dice| Step::Power(log(dice), DAMAGES[dice.usize(..3)], dice.u32(1..100), dice.u32(..3))),
];

const DAMAGES: [Damage; 3] = [Damage::Shorten, Damage::Blank, Damage::Replace];

/// One script of so many has lines without a time.
const NO_TIME: u32 = 5;

/// Between two steps that wait for everything, so many others on average.
const STRIDE: u32 = 9;

/// Milliseconds between two looks: with the last of them most of the news come from events.
const LOOKS: [u32; 3] = [20, 100, 1500];

/// Steps of a script.
const LENGTH: std::ops::Range<usize> = 12..70;

/// The script of a seed.
pub(super) fn script(seed: u64) -> Vec<Step> {
    let mut dice = Rng::with_seed(seed);
    let length = dice.usize(LENGTH);
    let no_time = cuts_power() && dice.u32(..NO_TIME) == 0;
    let mut steps = Vec::from_iter(no_time.then_some(Step::NoTime));
    // Logs that hold one line, as far as is known.
    let mut short: Vec<Name> = all_logs().collect();
    for _ in 0..length {
        let step = step(&mut dice);
        let is_night = matches!(step, Step::Night(..));
        let copied = match &step {
            Step::Burst(name, ..) | Step::CopyTruncate(name, ..) => Some(*name),
            _ => None,
        };
        // Without times, or of one line, only the truncated log in its place says that another file is its
        // copy. When these lines are stored, the daemon has seen both.
        let proves_nothing = copied.filter(|name| no_time || short.contains(name));
        if is_night {
            steps.extend(all_logs().map(|name| Step::Write(name, 2)));
        }
        match &step {
            Step::Write(name, 2..) => short.retain(|it| it != name),
            Step::Night(..) | Step::Alike(..) | Step::Swap => short = all_logs().collect(),
            // The next one may have one line: a host that is renamed writes no more.
            Step::Recreate(name, _)
            | Step::Delete(name)
            | Step::Rotate(name)
            | Step::Date(name)
            | Step::Away(name) => short.push(*name),
            _ => short.extend(copied),
        }
        steps.push(step);
        steps.extend(proves_nothing.map(|name| Step::Write(name, 2)));
        if is_night || proves_nothing.is_some() {
            steps.push(Step::CatchUp);
        }
    }
    steps
}

fn all_logs() -> impl Iterator<Item = Name> {
    (0..LOGS.len()).map(|log| Name { log, slot: 0 })
}

fn step(dice: &mut Rng) -> Step {
    if dice.u32(..STRIDE) == 0 {
        return Step::CatchUp;
    }
    let of_torture = if in_scripts() { &OF_TORTURE[..] } else { &[] };
    let of_power = if cuts_power() { &OF_POWER[..] } else { &[] };
    let weights = || WEIGHTS.iter().chain(of_torture).chain(of_power);
    let sum: u32 = weights().map(|(weight, _)| weight).sum();
    let mut left = dice.u32(..sum);
    for &(weight, make) in weights() {
        if left < weight {
            return make(dice);
        }
        left -= weight;
    }
    Step::CatchUp
}

fn cuts_power() -> bool {
    in_scripts() && asked::<String>("POWER").as_deref() != Some("no")
}

fn way(dice: &mut Rng) -> Way {
    match dice.u32(..3) {
        0 => Way::Rename,
        1 => Way::Copy,
        _ => Way::Compress(KINDS[dice.usize(..KINDS.len())]),
    }
}

fn log(dice: &mut Rng) -> Name {
    Name { log: dice.usize(..LOGS.len()), slot: 0 }
}

fn rotated(dice: &mut Rng) -> Name {
    Name { slot: dice.u32(1..=KEPT), ..log(dice) }
}

fn any(dice: &mut Rng) -> Name {
    if dice.bool() { log(dice) } else { rotated(dice) }
}
