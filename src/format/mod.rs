//! What a line means: lines become records, exclusions or rejects.
//!
//! A format string of Gunicorn, nginx or Apache is compiled once to a [`Template`], which then reads lines.
//! Each line is a record ([`crate::model::GunicornLogModel`]) or a reject with a
//! [`crate::model::RejectReason`]. Lines of
//! JSON need no format string ([`crate::model::JsonRecord`]). A [`Layout`] is any of them, also after what
//! another program put before each line.
//!
//! This folder may assume that a line is complete and given without its end. It works in memory only:
//! it reads no file, stores nothing, and knows nothing of offsets, envelopes or the other lines of a
//! file. Parsing is pure and total: every input gives a result, in time proportional to its length.
//!
//! Gunicorn's `glogging.py` specifies what lines may look like
//! (<https://github.com/benoitc/gunicorn/blob/master/gunicorn/glogging.py>).
//!
//! ## The files, in reading order
//!
//! - `template`: compiles a format string, in one of three dialects, to fields and the literal text around
//!   them.
//! - `parser`: the entry. Reads one line, excludes requests and masks secrets.
//! - `exclusions`: which requests are not stored.
//! - `mask`: replaces secrets by stars, `mask_texts` in texts of any kind, `mask_rejects` in lines that could not
//!   be read; `secrets`: which names and values are secret.
//! - `matching`: finds where each field of a line begins and ends; `shapes`: what a value must look like.
//! - `values`: turns the matched fields into columns; `times` and `escapes` help it; `identifiers`: which
//!   values name the request and its view.
//! - `layout`: a template, JSON, or either after a prefix; `prefix`: what other programs put before a line.
//! - `json`: reads lines of JSON of our own, and hides the secrets in them; `json_keys`: those of others,
//!   by `key_names` and by what the user says in a `json_mapping`.
//! - `server_log`: lines that a server writes of itself.
//! - `presets`: formats by name.
//! - `infer`: works out the format of a file. `render`: writes a stored row as a line for people to read;
//!   `exact`: as the line that it was read from.
//!
//! An ordinary line passes `parser`, `matching` and `values` only.

mod escapes;
mod exact;
mod exclusions;
mod identifiers;
mod infer;
mod json;
mod json_keys;
mod json_mapping;
mod key_names;
mod layout;
mod mask;
mod mask_rejects;
mod mask_texts;
mod matching;
mod parser;
mod prefix;
mod presets;
mod render;
mod secrets;
mod server_log;
mod shapes;
mod template;
mod times;
mod values;

pub use exclusions::Exclusions;
pub use infer::{Detection, Inferred, detect, explain, find_access, find_mapped, lacks_zone};
pub use json_mapping::{JsonMapping, MappingError};
pub use layout::Layout;
pub use mask::{Mask, STARS};
pub use parser::{Chunk, LineParser, Parsed, Parsing, TextLine};
pub use presets::{Preset, find, name_of, presets};
pub use template::{FormatError, Template};
