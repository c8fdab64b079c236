//! `log-ingestd rename-host`: gives the logs of a host that was renamed to its new name.

use anyhow::bail;

use crate::commands::open_store;
use crate::config::Config;
use crate::model::{Checkpoint, FileId, Sighting};
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::store::ClaimRequest;

/// Moves all logs of host `from` to host `to`. Returns how many they are.
///
/// # Errors
/// A log that a running daemon follows, no log of that host, and a store that cannot be used. Nothing is
/// changed then.
pub async fn rename_host(config: &Config, from: &str, to: &str) -> anyhow::Result<u64> {
    if from == to {
        bail!("both names are '{from}': expected the old name of the host and its new one");
    }
    let (store, _shutdown) = open_store(config, Access::Write).await?;
    let mut committer = Committer::new(store.clone(), owner(&config.host), None);
    let writer = committer.available_writer().await?;
    // While this process holds all open logs, no daemon writes them.
    let mut after = FileId(0);
    loop {
        let known = writer.open_files(from, after).await?;
        let Some(last) = known.last() else { break };
        after = last.file;
        let seen: Vec<Sighting> = known.iter().map(Checkpoint::sighting).collect();
        let requests: Vec<ClaimRequest<'_>> = known
            .iter()
            .zip(&seen)
            .map(|(known, seen)| ClaimRequest { file: known.file, seen, format: &known.format })
            .collect();
        let claimed = writer.claim_all(&requests).await?;
        if let Some((known, _)) = known.iter().zip(claimed).find(|(_, claimed)| claimed.is_none()) {
            let report = writer.report(known.file).await?;
            let owner = report.and_then(|report| report.owner).unwrap_or_default();
            bail!(
                "a running log-ingestd ({owner}) follows {} under the name '{from}': stop it first",
                known.path
            );
        }
    }
    let renamed = writer.rename_host(from, to).await?;
    committer.end().await;
    if renamed == 0 {
        let mut hosts: Vec<String> =
            store.files(None).await?.into_iter().map(|file| file.checkpoint.host).collect();
        hosts.sort();
        hosts.dedup();
        bail!("no log of host '{from}' is stored; there are logs of: {}", hosts.join(", "));
    }
    Ok(renamed)
}
