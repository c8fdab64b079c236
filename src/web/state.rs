//! What every answer may use.

use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::store::{Reader, Store};

/// What the handlers share. Clones are cheap and the same.
#[derive(Clone, Debug)]
pub struct PageState {
    /// What is asked.
    pub reader: Reader,
    /// The same store, for probes: over connections of their own, which nobody's search occupies.
    pub(super) store: Store,
    /// What the daemon counts.
    pub metrics: Arc<Metrics>,
    /// The retention of rows, as people write it: `120d` or `off`.
    pub retention: String,
    /// The retention of counts.
    pub rollup_retention: String,
    /// This program's version.
    pub version: &'static str,
    closing: watch::Receiver<bool>,
}

impl PageState {
    /// `closing` becomes true, or loses its sender, when the page is to end.
    pub fn new(
        store: &Store,
        metrics: Arc<Metrics>,
        retention: String,
        rollup_retention: String,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let (reader, store) = (store.reader(), store.clone());
        let version = env!("CARGO_PKG_VERSION");
        Self { reader, store, metrics, retention, rollup_retention, version, closing }
    }

    /// Waits until the page is to end. Whatever streams for as long as its client likes selects on
    /// this, or a browser that is left open holds up the end of the daemon.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.closing.clone();
        async move {
            // Nobody is left who could say so: that is the end, too.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }
}
