//! Secrets in query strings.

use std::borrow::Cow;

/// What a masked value is replaced by.
pub(super) const STARS: &str = "********";

/// Replaces the values of some query parameters before they are stored.
///
/// A parameter is known by its name, without regard to case and percent-encoding; of a name with
/// brackets (`user[password]`, `password[]`) any part of it. Parameters stand behind the first `?`
/// or `#` and are separated by `&`, `;`, `?` or `#`, so that those of a URL within a parameter are
/// found too, unless it is percent-encoded.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// In lower case.
    names: Vec<Vec<u8>>,
}

impl Mask {
    /// Masks the parameters with these names; none at all if there is no name.
    pub fn new(fields: &[String]) -> Mask {
        let names = fields.iter().map(|name| name.trim().to_lowercase().into_bytes());
        Mask { names: names.filter(|name| !name.is_empty()).collect() }
    }

    /// Whether it masks nothing at all.
    pub(super) fn is_none(&self) -> bool {
        self.names.is_empty()
    }

    /// Masks the values in `url` in place. Text without such parameters stays borrowed.
    pub(super) fn apply(&self, url: &mut Cow<'_, str>) {
        let bytes = url.as_bytes();
        let Some(query) = memchr::memchr2(b'?', b'#', bytes) else { return };
        self.apply_from(query + 1, url);
    }

    /// The same of names and values alone, without a URL before them.
    pub(super) fn apply_to_form(&self, form: &mut Cow<'_, str>) {
        self.apply_from(0, form);
    }

    fn apply_from(&self, mut start: usize, url: &mut Cow<'_, str>) {
        let bytes = url.as_bytes();
        let mut masked = String::new();
        let mut copied = 0;
        while start < bytes.len() {
            let rest = &bytes[start..];
            let parameter = &rest[..rest.iter().position(ends_parameter).unwrap_or(rest.len())];
            let end = start + parameter.len();
            if let Some(name) = parameter.iter().position(|byte| *byte == b'=')
                && name + 1 < parameter.len()
                && self.knows(&parameter[..name])
            {
                masked.push_str(&url[copied..=start + name]);
                masked.push_str(STARS);
                copied = end;
            }
            start = end + 1;
        }
        if copied > 0 {
            masked.push_str(&url[copied..]);
            *url = Cow::Owned(masked);
        }
    }

    pub(super) fn knows(&self, name: &[u8]) -> bool {
        // Nearly every name is written plainly, and needs no copy to be compared.
        if name.iter().all(is_plain) {
            return self.names.iter().any(|known| known.eq_ignore_ascii_case(name));
        }
        let name = decoded(name);
        name.split(|byte| matches!(byte, b'[' | b']'))
            .any(|part| self.names.iter().any(|n| n == part))
    }
}

fn ends_parameter(byte: &u8) -> bool {
    matches!(byte, b'&' | b';' | b'?' | b'#')
}

/// Whether a name of such bytes only is the same when it is decoded, but for the case.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Percent-decoded, in lower case, without spaces around it.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let mut byte = byte;
        if byte == b'%'
            && let [high, low, ..] = *behind
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            byte = high << 4 | low;
            rest = &behind[2..];
        } else if byte == b'+' {
            byte = b' ';
        }
        plain.push(byte);
    }
    String::from_utf8_lossy(&plain).trim().to_lowercase().into_bytes()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(url: &str) -> String {
        let mask = Mask::new(&["password".into(), "Token".into(), " ".into()]);
        let mut url = Cow::Borrowed(url);
        mask.apply(&mut url);
        url.into_owned()
    }

    #[test]
    fn values_of_known_names_become_stars() {
        for (url, right) in [
            ("/?password=a&b=c", "/?password=********&b=c"),
            ("/?b=c;PassWord=a", "/?b=c;PassWord=********"),
            ("/?p%61ssword=a#token=b", "/?p%61ssword=********#token=********"),
            ("/?user%5Bpassword%5D=a=b", "/?user%5Bpassword%5D=********"),
            ("/?token[]=a&token[]=b", "/?token[]=********&token[]=********"),
            ("/?next=/x?token=a", "/?next=/x?token=********"),
            ("https://h/#token=ä", "https://h/#token=********"),
            ("/?+password=a", "/?+password=********"),
            ("/?\u{212a}=a&toKen=b", "/?\u{212a}=a&toKen=********"),
            ("/?a.password=b&PASSWORD=c", "/?a.password=b&PASSWORD=********"),
        ] {
            assert_eq!(masked(url), right);
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for url in [
            "/password=a",
            "/?passwords=a",
            "/?q=password",
            "/?password",
            "/?password=",
            "/?=a&%=b&%f",
            "",
            "?",
        ] {
            assert_eq!(masked(url), url);
        }
        let mut url = Cow::Borrowed("/?password=a");
        Mask::new(&[]).apply(&mut url);
        assert_eq!(url, "/?password=a");
    }
}
