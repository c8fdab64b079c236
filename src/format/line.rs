//! The whole way of a line: read, left out or masked.

use super::chunk::TextLine;
use super::exclusions::Exclusions;
use super::json;
use super::layout::Layout;
use super::mask::Mask;
use super::reject::Reject;
use crate::model::{GunicornLogModel, JsonRecord};

/// What a line became.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every line is a record, and on its way")]
pub enum Parsed<'a> {
    /// A record to store.
    Record(GunicornLogModel<'a>),
    /// A record to store, of a JSON line.
    Json(Box<JsonRecord>),
    /// A record that the configuration leaves out.
    Excluded,
    /// No record.
    Reject(Reject),
}

/// Reads lines of one format as the configuration wants them stored.
#[derive(Clone, Debug)]
pub struct LineParser {
    layout: Layout,
    mask: Mask,
    exclusions: Exclusions,
}

impl LineParser {
    /// Reads by `layout`, leaves out by `exclusions`, masks the rest by `mask`.
    pub fn new(layout: impl Into<Layout>, mask: Mask, exclusions: Exclusions) -> LineParser {
        LineParser { layout: layout.into(), mask, exclusions }
    }

    /// By what it reads.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads one line as [`super::Template::parse`] does, or as JSON. URL and referer are masked, the referer also
    /// among the captured headers; exclusions see the URL as it was logged.
    pub fn parse<'a>(&'a self, line: &'a [u8]) -> Parsed<'a> {
        match TextLine::of(line) {
            Some(line) => self.parse_text(line),
            None => Parsed::Reject(Reject::NotUtf8),
        }
    }

    /// As [`LineParser::parse`], of a line that was looked at together with others.
    pub fn parse_text<'a>(&'a self, line: TextLine<'a>) -> Parsed<'a> {
        let template = match &self.layout {
            Layout::Template(template) => template,
            Layout::Json => return json::parse(line, &self.mask, &self.exclusions),
        };
        // Made where the caller wants it: see `Template::parse_to`.
        let mut parsed = Parsed::Record(GunicornLogModel::default());
        if let Parsed::Record(record) = &mut parsed {
            if let Err(reject) = template.parse_text(line, record) {
                return Parsed::Reject(reject);
            }
            if record.url.as_deref().is_some_and(|url| self.exclusions.cover(url)) {
                return Parsed::Excluded;
            }
            if !self.mask.is_none() {
                self.mask(record);
            }
        }
        parsed
    }

    fn mask(&self, record: &mut GunicornLogModel<'_>) {
        for url in [&mut record.url, &mut record.source].into_iter().flatten() {
            self.mask.apply(url);
        }
        for (_, referer) in record.headers.iter_mut().filter(|(name, _)| *name == "referer") {
            self.mask.apply(referer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Template;

    #[test]
    fn lines_are_masked_left_out_or_rejected() {
        let template = Template::compile(r#""%(r)s" "%(f)s" "%({referer}i)s""#).unwrap();
        let mask = Mask::new(&["token".into()]);
        let exclusions = Exclusions::new(&["/static/".into()], &[]);
        let parser = LineParser::new(template, mask, exclusions);
        let line = br#""GET /?token=a HTTP/1.1" "/?token=b" "/?token=b""#;
        let Parsed::Record(record) = parser.parse(line) else { panic!("no record") };
        assert_eq!(record.url.as_deref(), Some("/?token=********"));
        assert_eq!(record.source.as_deref(), Some("/?token=********"));
        assert_eq!(record.headers[0].1, "/?token=********");
        assert_eq!(parser.parse(br#""GET /static/x HTTP/1.1" "-" "-""#), Parsed::Excluded);
        assert!(matches!(parser.parse(b"x"), Parsed::Reject(_)));
    }
}
