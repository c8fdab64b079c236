//! Lines become records.
//!
//! A format string, as Gunicorn takes it, is compiled once ([`Template`]) and then reads lines:
//! each is a record ([`crate::model::GunicornLogModel`]) or a [`Reject`] with the reason. Lines of
//! JSON need no format ([`crate::model::JsonRecord`]); a [`Layout`] is either of the two. Parsing
//! is pure and total: no input makes it fail in any other way, and no line takes more time than
//! in proportion to its length.
//!
//! Gunicorn's `glogging.py` is the specification of what lines may look like
//! (<https://github.com/benoitc/gunicorn/blob/master/gunicorn/glogging.py>).

mod address;
mod atom;
mod chunk;
mod detect;
mod exclusions;
mod fields;
mod greedy;
mod json;
mod layout;
mod line;
mod mask;
mod parsing;
mod preset;
mod read;
mod record;
mod reject;
mod search;
mod template;
mod time;

pub use chunk::{Chunk, TextLine};
pub use detect::{Detection, detect, find_access};
pub use exclusions::Exclusions;
pub use layout::Layout;
pub use line::{LineParser, Parsed};
pub use mask::Mask;
pub use parsing::Parsing;
pub use preset::{Preset, find, presets};
pub use reject::Reject;
pub use template::{FormatError, Template};
