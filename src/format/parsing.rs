//! The settings by which lines become records.

use super::{Exclusions, Layout, Mask};

/// How lines become records.
#[derive(Clone, Debug)]
pub struct Parsing {
    /// The format that the user gave; without one it is told from each file's first lines.
    pub layout: Option<Layout>,
    /// Names whose values are hidden.
    pub mask: Mask,
    /// Requests that are left out.
    pub exclusions: Exclusions,
}
