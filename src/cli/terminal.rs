//! What standard output shows: colours on a terminal, and as many columns as it is wide.

use std::env;
use std::io::{self, IsTerminal};

/// The width of a terminal that does not say it.
const COLUMNS: usize = 80;

/// How a text looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// The heads of columns.
    Bold,
    /// What is not there.
    Dim,
    /// It went well: 2xx.
    Green,
    /// It leads elsewhere: 3xx.
    Cyan,
    /// The client's fault: 4xx.
    Yellow,
    /// The server's fault: 5xx.
    Red,
}

impl Style {
    /// Returns the style of a status code.
    pub(super) fn of_code(code: i32) -> Self {
        match code {
            200..=299 => Self::Green,
            300..=399 => Self::Cyan,
            400..=499 => Self::Yellow,
            500.. => Self::Red,
            _ => Self::Plain,
        }
    }

    /// Returns the parameter of the escape sequence that begins it.
    fn code(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Bold => Some(1),
            Self::Dim => Some(2),
            Self::Red => Some(31),
            Self::Green => Some(32),
            Self::Yellow => Some(33),
            Self::Cyan => Some(36),
        }
    }
}

/// What standard output can show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    has_colours: bool,
    /// How many columns a line may have; `None` for any number.
    pub(super) width: Option<usize>,
}

impl Terminal {
    /// Looks at standard output. A pipe and a file get plain text of any width; `NO_COLOR`
    /// (<https://no-color.org>) turns colours off.
    pub(super) fn of_stdout() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let has = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let is_plain = has("NO_COLOR").is_some() || has("TERM").is_some_and(|it| it == "dumb");
        Self {
            has_colours: is_terminal && !is_plain,
            width: is_terminal.then(|| columns().unwrap_or(COLUMNS)),
        }
    }

    /// Returns one without colours, for tests.
    #[cfg(test)]
    pub(super) fn plain(width: Option<usize>) -> Self {
        Self { has_colours: false, width }
    }

    /// Returns the text with the style around it, if there are colours.
    pub(super) fn paint(self, style: Style, text: &str) -> String {
        match style.code().filter(|_| self.has_colours && !text.is_empty()) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// Returns how wide the terminal is, if it says so.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_colours() {
        let plain = Terminal { has_colours: false, width: None };
        let coloured = Terminal { has_colours: true, width: None };
        assert_eq!(plain.paint(Style::of_code(500), "500"), "500");
        assert_eq!(coloured.paint(Style::of_code(500), "500"), "\x1b[31m500\x1b[0m");
        assert_eq!(coloured.paint(Style::Plain, "x"), "x");
        let styles = [100, 204, 301, 404, 599].map(Style::of_code);
        let right = [Style::Plain, Style::Green, Style::Cyan, Style::Yellow, Style::Red];
        assert_eq!(styles, right);
    }
}
