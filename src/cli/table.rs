//! Rows in columns, as wide as their widest cells; on a terminal no wider than it.

use std::borrow::Cow;
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::terminal::{Style, Terminal};
use crate::model::printable;

/// Columns of a terminal between two columns of a table.
const GAP: usize = 2;

/// A column that shrinks keeps at least this width.
const NARROWEST: usize = 12;

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    /// Whether cells stand at its right end, as numbers do.
    pub(super) is_number: bool,
    /// Whether its cells may be cut off.
    pub(super) shrinks: bool,
}

impl Column {
    pub(super) const fn text(head: &'static str) -> Self {
        Self { head, is_number: false, shrinks: false }
    }

    pub(super) const fn number(head: &'static str) -> Self {
        Self { is_number: true, ..Self::text(head) }
    }

    pub(super) const fn long_text(head: &'static str) -> Self {
        Self { shrinks: true, ..Self::text(head) }
    }
}

/// A column is made no wider than this for the sake of its cells; a longer cell, where nothing shortens it, is
/// written in full and moves the cells after it in its own row only.
const WIDEST: usize = 200;

/// The most characters of a cell for each column of the terminal: more of them are marks on others.
const MARKS: usize = 4;

/// A cell. What is not printable is escaped, so that each table is as its columns say, whatever a log holds.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, style: Style) -> Self {
        let text = text.into();
        let text = match printable(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(escaped) => escaped,
        };
        Self { text, style }
    }

    /// Returns the cell of a value that may not be there.
    pub(super) fn or_dash(value: Option<String>, style: Style) -> Self {
        match value {
            Some(text) => Self::new(text, style),
            None => Self::new("-", Style::Dim),
        }
    }
}

/// A table that is written in parts.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    /// The widest cell of each column so far.
    widest: [usize; N],
    terminal: Terminal,
    has_head: bool,
}

impl<const N: usize> Table<N> {
    /// Begins a table. A terminal without a width gets all of each cell.
    pub(super) fn new(columns: [Column; N], terminal: Terminal) -> Self {
        Self { columns, widest: columns.map(|it| it.head.width()), terminal, has_head: false }
    }

    /// Returns whether nothing was written yet.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_head
    }

    /// Writes rows, after the heads of the columns if they are the first.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(&mut self, out: &mut impl Write, rows: &[[Cell; N]]) -> io::Result<()> {
        for (nth, widest) in self.widest.iter_mut().enumerate() {
            let cells = rows.iter().map(|row| row[nth].text.width());
            let limit = self.terminal.width.map_or(WIDEST, |width| width.max(NARROWEST));
            *widest = cells.max().unwrap_or(0).min(limit).max(*widest);
        }
        let widths = self.widths();
        if !std::mem::replace(&mut self.has_head, true) {
            let heads = self.columns.map(|column| Cell::new(column.head, Style::Bold));
            writeln!(out, "{}", self.line(&heads, &widths))?;
        }
        rows.iter().try_for_each(|row| writeln!(out, "{}", self.line(row, &widths)))
    }

    /// Returns the widths of the columns: those that shrink, the widest first, give what is too much.
    fn widths(&self) -> [usize; N] {
        let mut widths = self.widest;
        let Some(room) = self.terminal.width else { return widths };
        let mut excess = (widths.iter().sum::<usize>() + GAP * (N - 1)).saturating_sub(room);
        while excess > 0 {
            let shrinks = |nth: &usize| self.columns[*nth].shrinks && widths[*nth] > NARROWEST;
            let Some(nth) = (0..N).filter(shrinks).max_by_key(|nth| widths[*nth]) else { break };
            widths[nth] -= 1;
            excess -= 1;
        }
        widths
    }

    fn line(&self, cells: &[Cell; N], widths: &[usize; N]) -> String {
        let mut line = String::new();
        for (nth, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let text = match self.columns[nth].shrinks && self.terminal.width.is_some() {
                true => shortened(&cell.text, *width),
                false => Cow::Borrowed(&*cell.text),
            };
            let blank = " ".repeat(width.saturating_sub(text.width()));
            let gap = if nth == 0 { "" } else { "  " };
            let painted = self.terminal.paint(cell.style, &text);
            match self.columns[nth].is_number {
                true => line.extend([gap, &blank, &painted]),
                false => line.extend([gap, &painted, &blank]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Returns the text, cut off after so many columns of a terminal: the last one is an ellipsis then.
fn shortened(text: &str, width: usize) -> Cow<'_, str> {
    let most = width.saturating_mul(MARKS);
    let beginning = text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end]);
    if beginning.len() == text.len() && text.width() <= width {
        return Cow::Borrowed(text);
    }
    // The width of a text is not the sum of its characters': a mark may make the one before it wider.
    let room = width.saturating_sub(1);
    let ends: Vec<usize> = beginning.char_indices().map(|(at, _)| at).collect();
    let fitting = ends.partition_point(|end| beginning[..*end].width() <= room);
    let end = match fitting == ends.len() && beginning.width() <= room {
        true => beginning.len(),
        false => ends[..fitting]
            .iter()
            .rev()
            .copied()
            .find(|end| beginning[..*end].width() <= room)
            .unwrap_or(0),
    };
    Cow::Owned(format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(width: Option<usize>, url: &str) -> Vec<String> {
        let terminal = Terminal::plain(width);
        let columns = [Column::number("rows"), Column::long_text("url"), Column::text("user")];
        let mut table = Table::new(columns, terminal);
        let row = [
            Cell::new("1,000", Style::Plain),
            Cell::new(url, Style::Plain),
            Cell::or_dash(None, Style::Plain),
        ];
        let mut out = Vec::new();
        table.write(&mut out, &[row]).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        assert_eq!(written(None, "/a/b"), [" rows  url   user", "1,000  /a/b  -"]);
    }

    #[test]
    fn a_table_fits_its_terminal() {
        let url = "/a/very/long/path/that/does/not/fit";
        assert_eq!(written(None, url)[1], format!("1,000  {url}  -"));
        assert_eq!(written(Some(80), url)[1], format!("1,000  {url}  -"));
        assert_eq!(written(Some(30), url)[1], "1,000  /a/very/long/pat…  -");
        // A character may take two columns, or none.
        assert_eq!(written(Some(30), &"漢".repeat(20))[1], "1,000  漢漢漢漢漢漢漢漢…  -");
        assert_eq!(written(Some(30), &"e\u{301}".repeat(17))[1].width(), 30 - 3);
        for (text, most) in
            [("👍\u{fe0f}", 30), ("🇩🇪", 30), ("é\u{300}\u{301}\u{302}\u{303}\u{304}", 30)]
        {
            let shown = &written(Some(30), &text.repeat(12_000))[1];
            assert!(shown.width() <= most && shown.contains("…  ") && shown.len() < 400, "{shown}");
        }
        let newline = "a\nb\x1b[2J\u{202e}";
        assert_eq!(written(None, newline)[1..], ["1,000  a\\nb\\u{1b}[2J\\u{202e}  -"]);
        // Without a terminal's width all of a cell is there, and other rows are no wider for it.
        let long = "/a".repeat(35_000);
        assert_eq!(written(None, &long)[1], format!("1,000  {long}  -"));
        assert!(written(None, &long)[0].len() < 250);
        // Not less than can be read.
        assert_eq!(written(Some(5), url)[1], "1,000  /a/very/lon…  -");
    }
}
