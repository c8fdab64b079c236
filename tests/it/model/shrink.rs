//! The shortest script that still fails.

use std::time::{Duration, Instant};

use super::run::{Failure, Stage, run};
use super::script::Step;

/// How long a daemon may take while scripts are tried.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the search goes on; what it has found by then is given.
const SEARCH: Duration = Duration::from_secs(15 * 60);

/// A script that fails once in a while only is given so many chances.
const CHANCES: u32 = 2;

/// Leaves out ever shorter parts, as long as what is left fails; gives how it failed, too.
pub(super) async fn shrink(
    script: &[Step],
    stage: Stage,
    mut failure: Failure,
) -> (Vec<Step>, Failure) {
    let end = Instant::now() + SEARCH;
    let mut script = script.to_vec();
    let mut part = script.len().div_ceil(2);
    while part > 0 && Instant::now() < end {
        let mut at = 0;
        let mut shorter = false;
        while at < script.len() && Instant::now() < end {
            let mut rest = script.clone();
            rest.drain(at..(at + part).min(script.len()));
            if let Some(again) = fails(&rest, stage).await {
                (script, failure) = (rest, again);
                shorter = true;
            } else {
                at += part;
            }
        }
        if !shorter || part > script.len() {
            part /= 2;
        }
    }
    (script, failure)
}

async fn fails(script: &[Step], stage: Stage) -> Option<Failure> {
    for _ in 0..CHANCES {
        if let Err(failure) = run(script, stage, PATIENCE).await {
            return Some(failure);
        }
    }
    None
}
