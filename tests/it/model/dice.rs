//! Random scripts: the same seed is the same script, for ever and everywhere.

use fastrand::Rng;

use crate::archives::KINDS;

use super::script::{Copy, KEPT, LOGS, Name, Step};

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
    (0..length).map(|_| step(&mut dice)).collect()
}

fn step(dice: &mut Rng) -> Step {
    if dice.u32(..STRIDE) == 0 {
        return Step::CatchUp;
    }
    let sum: u32 = WEIGHTS.iter().map(|(weight, _)| weight).sum();
    let mut left = dice.u32(..sum);
    for (weight, make) in WEIGHTS {
        if left < weight {
            return make(dice);
        }
        left -= weight;
    }
    Step::CatchUp
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
