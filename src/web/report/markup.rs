//! Markup in which a log's values can only be text.

use std::fmt::Write;

use crate::model::is_printable;

/// Most characters of a value that the report shows. A longer one ends with an ellipsis.
const MOST_SHOWN: usize = 500;

/// A document, or a part of it. What stands in the source of this program is markup; all else is escaped.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Adds markup.
    pub(super) fn tag(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, or the value of an attribute in double quotes. What is not printable is an escape, but for
    /// the space that binds a number to its unit.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        let shown = match text.char_indices().nth(MOST_SHOWN) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        for character in shown.chars() {
            match character {
                _ if !is_printable(character) && character != '\u{a0}' => {
                    self.0.extend(character.escape_default());
                }
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        if shown.len() < text.len() {
            self.0.push('…');
        }
        self
    }

    /// Adds a number of a drawing, with one decimal.
    pub(super) fn number(&mut self, number: f64) -> &mut Self {
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, "{number:.1}");
        self
    }

    /// Adds the style sheet, of which the caller knows that it is this program's own.
    pub(super) fn style(&mut self, css: &str) -> &mut Self {
        self.0.push_str(css);
        self
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_and_long_ones_are_cut() {
        let mut markup = Markup::default();
        markup.tag("<td>").text("<b a=\"x\" c='y'>&\u{202e}\n").tag("</td>");
        let expected = "<td>&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;\\u{202e}\\n</td>";
        assert_eq!(markup.into_text(), expected);
        let mut markup = Markup::default();
        markup.text(&"ä".repeat(501));
        assert_eq!(markup.into_text(), "ä".repeat(500) + "…");
    }
}
