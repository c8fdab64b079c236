//! The shortest script that still fails.

use std::time::{Duration, Instant};

use super::run::{Stage, run};
use super::script::Step;

/// How long a daemon may take while scripts are tried.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the search goes on; what it has found by then is given.
const SEARCH: Duration = Duration::from_secs(15 * 60);

/// A script that fails once in a while only is given so many chances.
const CHANCES: u32 = 2;

/// Leaves out ever shorter parts, as long as what is left fails.
pub(super) async fn shrink(script: &[Step], stage: Stage) -> Vec<Step> {
    let end = Instant::now() + SEARCH;
    let mut script = script.to_vec();
    let mut part = script.len().div_ceil(2);
    while part > 0 && Instant::now() < end {
        let mut at = 0;
        let mut shorter = false;
        while at < script.len() && Instant::now() < end {
            let mut rest = script.clone();
            rest.drain(at..(at + part).min(script.len()));
            if fails(&rest, stage).await {
                script = rest;
                shorter = true;
            } else {
                at += part;
            }
        }
        if !shorter || part > script.len() {
            part /= 2;
        }
    }
    script
}

async fn fails(script: &[Step], stage: Stage) -> bool {
    for _ in 0..CHANCES {
        if run(script, stage, PATIENCE).await.is_err() {
            return true;
        }
    }
    false
}
