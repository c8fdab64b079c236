//! What every answer may use.

use tokio::sync::watch;

use crate::store::{Reader, Store};

/// What the handlers share. Clones are cheap and the same.
#[derive(Clone, Debug)]
pub struct PageState {
    /// What is asked.
    pub reader: Reader,
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
        retention: String,
        rollup_retention: String,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let (reader, version) = (store.reader(), env!("CARGO_PKG_VERSION"));
        Self { reader, retention, rollup_retention, version, closing }
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
