//! Which names mean a secret, and which texts look like one.
//!
//! A name is divided into its parts: `user[newPassword1]` has the parts `user`, `new` and `password`. The
//! tables below are compared with whole parts, so that `monkey` or `bypass` match nothing. The Django
//! package has the same tables and the same rule in Python; the cases in `fixtures/masking` hold the two
//! together.

use std::ops::Range;

/// Parts, or sequences of parts, that mean a secret. Joined they may also be one part: `apikey`.
const WORDS: &[&str] = &[
    "pass",
    "pwd",
    "pswd",
    "passcode",
    "pass code",
    "pass word",
    "user pass",
    "db pass",
    "login pass",
    "new pass",
    "old pass",
    "confirm pass",
    "ftp pass",
    "smtp pass",
    "mail pass",
    "root pass",
    "admin pass",
    "pass phrase",
    "secrets",
    "auth",
    "authorization",
    "bearer",
    "jwt",
    "hmac",
    "otp",
    "totp",
    "session",
    "phpsessid",
    "sess id",
    "session id",
    "connect sid",
    "csrf",
    "xsrf",
    "credential",
    "credentials",
    "cred",
    "creds",
    "signature",
    "card",
    "card number",
    "card no",
    "card pin",
    "credit card",
    "debit card",
    "cvv",
    "cvc",
    "cvn",
    "card code",
    "security code",
    "verification code",
    "mfa code",
    "backup code",
    "backup codes",
    "recovery code",
    "recovery codes",
    "code verifier",
    "api key",
    "access key",
    "private key",
    "secret key",
    "signing key",
    "encryption key",
    "decryption key",
    "master key",
    "ssh key",
    "auth key",
    "shared key",
    "account key",
    "storage key",
    "service key",
    "server key",
    "deploy key",
    "webhook key",
    "session key",
    "api keys",
    "access keys",
    "private keys",
    "secret keys",
    "access tokens",
    "refresh tokens",
    "auth tokens",
    "api tokens",
    "id tokens",
    "session tokens",
    "backup tokens",
    "recovery tokens",
    "seed phrase",
    "recovery phrase",
    "mnemonic",
    "client assertion",
    "saml response",
    "saml request",
    "set cookie",
    "http cookie",
];

/// Names that mean a secret only if they have no other part.
const WHOLE: &[&str] = &["pin", "sid", "sig", "tokens", "assertion", "cookie", "cookies"];

/// A part that contains one of these means a secret: `mysqlpassword`, `jsessionid`.
const WITHIN: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "secretkey",
    "privatekey",
    "accesskey",
    "sessionid",
    "sessid",
    "csrf",
    "xsrf",
];

/// A part that ends like this means a secret: `csrftoken`.
const ENDINGS: &[&str] = &["token", "secret", "pwd", "credential", "credentials", "signature"];

/// A name that ends with one of these parts describes a secret and is none: `token_type`.
const DESCRIPTIONS: &[&str] = &[
    "address",
    "age",
    "alg",
    "algorithm",
    "at",
    "backend",
    "brand",
    "budget",
    "by",
    "category",
    "class",
    "color",
    "cost",
    "count",
    "counts",
    "country",
    "date",
    "days",
    "decimals",
    "details",
    "disabled",
    "duration",
    "enabled",
    "end",
    "ended",
    "error",
    "errors",
    "exp",
    "expiration",
    "expired",
    "expires",
    "expiry",
    "fail",
    "fee",
    "format",
    "four",
    "holder",
    "hours",
    "in",
    "index",
    "invalid",
    "issuer",
    "last",
    "layout",
    "len",
    "length",
    "level",
    "lifetime",
    "limit",
    "limits",
    "mark",
    "method",
    "methods",
    "minutes",
    "mode",
    "name",
    "network",
    "optional",
    "percentage",
    "policy",
    "position",
    "price",
    "provider",
    "rate",
    "realm",
    "remaining",
    "required",
    "resumed",
    "reused",
    "scheme",
    "seconds",
    "size",
    "standard",
    "start",
    "started",
    "status",
    "strength",
    "style",
    "supported",
    "symbol",
    "threshold",
    "through",
    "time",
    "timeout",
    "timestamp",
    "title",
    "ttl",
    "type",
    "types",
    "usage",
    "used",
    "user",
    "username",
    "valid",
    "validated",
    "verified",
    "version",
];

/// A name that begins with one of these parts asks about a secret or counts some: `has_password`.
const QUESTIONS: &[&str] = &[
    "can", "count", "forgot", "has", "is", "max", "min", "must", "needs", "num", "require",
    "requires", "show", "total",
];

/// Sequences of parts that are no secret, although one of the parts is a word.
const EXCEPTIONS: &[&str] = &[
    "auth user id",
    "card id",
    "boarding pass",
    "season pass",
    "ski pass",
    "day pass",
    "bus pass",
    "secret santa",
    "business card",
    "report card",
    "post card",
    "sim card",
    "graphics card",
    "video card",
    "sound card",
    "memory card",
    "score card",
    "wild card",
    "playing card",
    "training session",
    "email signature",
];

/// Letters of which each entry of [`WORDS`], [`WHOLE`], [`WITHIN`] and [`ENDINGS`] has three in a row. A
/// name without any of these triples does not mean a secret, and is not divided into parts.
const NAME_TRIPLES: &[&str] = &[
    "ass", "pwd", "swd", "ecr", "cre", "oke", "key", "aut", "ses", "srf", "sig", "ard", "cvv",
    "cvc", "cvn", "otp", "jwt", "bea", "oki", "cod", "phr", "aml", "mne", "sid", "hma", "sse",
    "pin",
];

/// The same for texts that look like a secret and are not card numbers.
const VALUE_TRIPLES: &[&str] = &["eyj", "bea", "bas", "pri"];

/// The classes of bytes that have a meaning here; the others are letters, by their number from 1, and
/// [`PLAIN`].
pub(super) const END: u8 = 29;
pub(super) const EQUALS: u8 = 30;
pub(super) const OTHER: u8 = 31;
const PLAIN: u8 = 0;
const DIGIT: u8 = 27;

/// The class of each byte of a query. A name with [`OTHER`] has to be decoded.
pub(super) static CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            letter @ (b'a'..=b'z' | b'A'..=b'Z') => letter & 31,
            b'0'..=b'9' => DIGIT,
            b'_' | b'-' | b'.' | b'[' | b']' | b'~' | b':' | b'@' | b',' | b'/' => PLAIN,
            b'&' | b';' | b'?' | b'#' => END,
            b'=' => EQUALS,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
};

/// Three letters in a row, as a set: one bit for each triple of classes.
#[derive(Clone, Debug)]
pub(super) struct Triples(Box<[u64; 512]>);

impl Triples {
    /// Returns the set for names: those of the tables, and those with which `fields` begin.
    pub(super) fn of_names(fields: &[Vec<String>]) -> Triples {
        let mut triples = Triples::of(NAME_TRIPLES);
        for field in fields {
            match field.first().map(|part| part.as_bytes()) {
                Some([one, two, three, ..])
                    if [one, two, three].iter().all(|byte| byte.is_ascii_alphanumeric()) =>
                {
                    triples.add([*one, *two, *three]);
                }
                // Too short to tell names apart by it: all of them are looked at.
                _ => triples.0.fill(u64::MAX),
            }
        }
        triples
    }

    fn of(triples: &[&str]) -> Triples {
        let mut set = Triples(Box::new([0; 512]));
        for triple in triples {
            if let [one, two, three] = *triple.as_bytes() {
                set.add([one, two, three]);
            }
        }
        set
    }

    fn add(&mut self, triple: [u8; 3]) {
        let key = triple.iter().fold(0, |key, byte| Triples::next(key, class(*byte)));
        self.0[key >> 6] |= 1 << (key & 63);
    }

    /// Returns the key of the last three classes.
    #[inline(always)]
    pub(super) fn next(key: usize, class: u8) -> usize {
        (key << 5 | usize::from(class)) & 0x7fff
    }

    #[inline(always)]
    pub(super) fn has(&self, key: usize) -> bool {
        self.0[key >> 6] >> (key & 63) & 1 == 1
    }

    /// Returns whether three bytes in a row are in the set. Names of one or two bytes are looked at.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let mut key = 0;
        text.iter().any(|byte| {
            key = Triples::next(key, class(*byte));
            self.has(key)
        })
    }
}

#[inline(always)]
pub(super) fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// The names that mean a secret: those of the tables, and those that the user adds.
#[derive(Clone, Debug)]
pub(super) struct SecretNames {
    /// The parts of each name that the user added, which no exception undoes.
    fields: Vec<Vec<String>>,
    pub(super) triples: Triples,
}

impl SecretNames {
    pub(super) fn new(fields: &[String]) -> SecretNames {
        // The names of the older default are in the tables, where exceptions apply to them.
        let fields: Vec<_> = fields
            .iter()
            .filter(|field| !super::mask::OLDER_FIELDS.contains(&field.trim()))
            .map(|field| parts(field, Camel::Divides))
            .filter(|parts| !parts.is_empty())
            .collect();
        SecretNames { triples: Triples::of_names(&fields), fields }
    }

    /// Returns whether a decoded name means a secret.
    pub(super) fn has(&self, name: &str) -> bool {
        let divided = parts(name, Camel::Divides);
        if self.means_secret(&divided) {
            return true;
        }
        // tOKEN, as a client may write what the server reads in any case.
        let whole = parts(name, Camel::Ignored);
        whole != divided && whole.iter().any(|part| WORDS_JOINED.iter().any(|word| word == part))
    }

    fn means_secret(&self, parts: &[String]) -> bool {
        if self.fields.iter().any(|field| find(parts, &as_strs(field)).is_some()) {
            return true;
        }
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
        if parts.len() > 1
            && (QUESTIONS.contains(&first.as_str()) || DESCRIPTIONS.contains(&last.as_str()))
        {
            return false;
        }
        if let [part] = parts
            && WHOLE.contains(&part.as_str())
        {
            return true;
        }
        let mut parts = parts.to_vec();
        for exception in EXCEPTIONS {
            while let Some(found) = find(&parts, &exception.split(' ').collect::<Vec<_>>()) {
                // An empty part stays, so that its neighbours do not become a sequence.
                parts.splice(found, [String::new()]);
            }
        }
        parts.iter().any(|part| {
            WITHIN.iter().any(|word| part.contains(word))
                || ENDINGS.iter().any(|word| part.ends_with(word))
        }) || WORDS.iter().any(|word| find(&parts, &word.split(' ').collect::<Vec<_>>()).is_some())
    }
}

/// Each entry of [`WORDS`] and [`ENDINGS`] in one part.
static WORDS_JOINED: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
    WORDS.iter().chain(WITHIN).chain(ENDINGS).map(|word| word.replace(' ', "")).collect()
});

fn as_strs(parts: &[String]) -> Vec<&str> {
    parts.iter().map(String::as_str).collect()
}

/// Returns where `wanted` stands among the parts: as the same sequence, or joined as one part.
fn find(parts: &[String], wanted: &[&str]) -> Option<Range<usize>> {
    let joined = wanted.concat();
    let sequence = parts.windows(wanted.len()).position(|run| run == wanted);
    sequence
        .map(|at| at..at + wanted.len())
        .or_else(|| parts.iter().position(|part| *part == joined).map(|at| at..at + 1))
}

/// Whether a capital letter within a word begins another part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Camel {
    Divides,
    Ignored,
}

/// Returns the parts of a name in lower case, without the digits at their ends. What is neither an ASCII
/// letter or digit nor beyond ASCII stands between parts; so does the place before a capital letter:
/// `accessToken` and `CSRFToken` have two parts.
fn parts(name: &str, camel: Camel) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut parts = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() {
            parts.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).map(|before| letters[before]);
        let follows_capital = before.is_some_and(|letter| letter.is_ascii_uppercase());
        let begins = match letter.is_ascii_uppercase() {
            true => !follows_capital || letters.get(at + 1).is_some_and(char::is_ascii_lowercase),
            false => follows_capital && !letter.is_ascii_lowercase(),
        };
        if begins && camel == Camel::Divides {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(letter.to_lowercase());
        }
    }
    let trimmed = parts.iter().map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
    trimmed.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The fewest characters of a text that looks like a secret.
pub(super) const SHORTEST_VALUE: usize = 11;

static VALUE_SET: std::sync::LazyLock<Triples> =
    std::sync::LazyLock::new(|| Triples::of(VALUE_TRIPLES));

/// Returns whether a text may have a value that looks like a secret: a quick look, which is sometimes wrong
/// in saying yes.
pub(super) fn may_have_value(text: &[u8]) -> bool {
    if text.len() < SHORTEST_VALUE {
        return false;
    }
    let (mut key, mut digits) = (0, 0_usize);
    for byte in text {
        let class = class(*byte);
        key = Triples::next(key, class);
        digits += usize::from(class == DIGIT);
        if VALUE_SET.has(key) {
            return true;
        }
    }
    digits >= 14 || memchr::memchr(b'@', text).is_some()
}

/// Returns whether a text may have a value that [`find_tokens`] finds: a quick look, as above.
#[inline]
pub(super) fn may_have_token(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'J', b'@', text).any(|at| text[at] == b'@' || text[..at].ends_with(b"ey"))
}

/// Returns where values that look like secrets stand in a text, in their order: JSON Web Tokens, what
/// follows `Bearer` and `Basic`, private keys, card numbers, and the user information of URLs.
pub(super) fn find_values(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    scan(bytes, |at| match bytes[at] {
        b'B' | b'b' => credentials(bytes, at),
        b'-' => private_key(text, at),
        b'0'..=b'9' => card_number(bytes, at),
        _ => token(bytes, at),
    })
}

/// Returns where JSON Web Tokens and the user information of URLs stand in a text, in their order.
pub(super) fn find_tokens(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    scan(bytes, |at| token(bytes, at))
}

fn token(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    match bytes[at] {
        b'e' => web_token(bytes, at),
        b':' => user_information(bytes, at),
        _ => None,
    }
}

/// Returns what `value_at` finds, from the beginning to the end.
#[inline(always)]
fn scan(bytes: &[u8], value_at: impl Fn(usize) -> Option<Range<usize>>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match value_at(at) {
            Some(value) => {
                at = value.end;
                found.push(value);
            }
            // What begins like a token is looked at once: the time is linear in the text's length.
            None if bytes[at..].starts_with(b"eyJ") => at += run(bytes, at, is_base64url),
            // So is a number, from its first digit.
            None if bytes[at].is_ascii_digit() => {
                at += run(bytes, at, |byte| byte.is_ascii_digit());
            }
            None => at += 1,
        }
    }
    found
}

fn run(bytes: &[u8], at: usize, is_part: impl Fn(u8) -> bool) -> usize {
    bytes[at..].iter().take_while(|byte| is_part(**byte)).count()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// `eyJ….eyJ…` or `eyJ….….…`: the parts of a JSON Web Token, or of a longer one that was cut off.
fn web_token(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    if !bytes[at..].starts_with(b"eyJ") {
        return None;
    }
    // The parts are looked at one by one: of a text without a token, the rest is not searched for each of them.
    let header = at + run(bytes, at, is_base64url);
    if header - at < 8 || bytes.get(header) != Some(&b'.') {
        return None;
    }
    let payload = header + 1 + run(bytes, header + 1, is_base64url);
    let is_token = bytes[header + 1..].starts_with(b"eyJ") || bytes.get(payload) == Some(&b'.');
    let end = payload + run(bytes, payload, |byte| is_base64url(byte) || byte == b'.');
    is_token.then_some(at..end)
}

/// `user:password` of `https://user:password@host/`: what stands before the last `@` of the authority.
fn user_information(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let authority = bytes[at..].strip_prefix(b"://")?;
    let length = run(authority, 0, |byte| {
        !byte.is_ascii_whitespace()
            && !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\')
    });
    let length = memchr::memrchr(b'@', &authority[..length]).filter(|length| *length > 0)?;
    // What is masked already stays: it is the same text.
    (authority[..length] != *b"********").then_some(at + 3..at + 3 + length)
}

/// What follows `Bearer` or `Basic`.
fn credentials(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let scheme = |name: &[u8]| {
        bytes.get(at..at + name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name))
    };
    let is_bearer = scheme(b"bearer ");
    if !is_bearer && !scheme(b"basic ") {
        return None;
    }
    let start = at + if is_bearer { 7 } else { 6 };
    let start = start + run(bytes, start, |byte| byte == b' ');
    let is_part = |byte: u8| is_base64url(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=');
    let value = start..start + run(bytes, start, is_part);
    let text = &bytes[value.clone()];
    let is_secret = match is_bearer {
        true => {
            text.len() >= 20 || text.len() >= 8 && text.iter().any(|byte| byte.is_ascii_digit())
        }
        false => is_basic(text),
    };
    is_secret.then_some(value)
}

/// Returns whether this is a name and a password in base64.
fn is_basic(text: &[u8]) -> bool {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut decoded = Vec::with_capacity(digits.len());
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return false,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xff) as u8);
        }
    }
    digits.len() % 4 != 1
        && decoded.contains(&b':')
        && std::str::from_utf8(&decoded).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// From `-----BEGIN … PRIVATE KEY` to its end, or to the end of the text or of the JSON string.
fn private_key(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text[at..].strip_prefix("-----BEGIN ")?;
    let kind = rest
        .bytes()
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ');
    if !rest[..kind.count()].contains("PRIVATE KEY") {
        return None;
    }
    let rest = &text[at..];
    let rest = &rest[..rest.find('"').unwrap_or(rest.len())];
    let end = rest.find("-----END ").map_or(rest.len(), |end| {
        let kind = &rest[end + 9..];
        kind.find("-----").map_or(rest.len(), |closing| end + 9 + closing + 5)
    });
    Some(at..at + end)
}

/// A card number, with blanks or hyphens between its groups or without: the digits of an issuer, a length
/// that it uses, and the check digit.
fn card_number(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let before = |back: usize| at.checked_sub(back).map(|before| bytes[before]);
    let is_escape = before(2) == Some(b'\\') && matches!(before(1), Some(b'n' | b'r' | b't'));
    let stands_alone = before(1).is_none_or(|byte| !is_around_number(byte)) || is_escape;
    if !stands_alone {
        return None;
    }
    let first = run(bytes, at, |byte| byte.is_ascii_digit());
    let mut groups = Vec::with_capacity(5);
    groups.push(at..at + first);
    if first == 4
        && let Some(separator @ (b' ' | b'-')) = bytes.get(at + 4)
    {
        let mut next = at + 4;
        while bytes.get(next) == Some(separator) {
            let length = run(bytes, next + 1, |byte| byte.is_ascii_digit());
            if length == 0 || groups.len() == 5 {
                break;
            }
            groups.push(next + 1..next + 1 + length);
            next += 1 + length;
        }
    }
    let lengths: Vec<usize> = groups.iter().map(ExactSizeIterator::len).collect();
    if !matches!(lengths.as_slice(), [14..=19] | [4, 4, 4, 4] | [4, 4, 4, 4, 3] | [4, 6, 4 | 5]) {
        return None;
    }
    let end = groups.last()?.end;
    let after = bytes.get(end).copied();
    let goes_on = after.is_some_and(is_base64url)
        || after == Some(b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    let digits: Vec<u8> = groups
        .into_iter()
        .flat_map(|group| bytes[group].iter().map(|digit| digit - b'0'))
        .collect();
    (!goes_on && is_of_issuer(&digits) && has_check_digit(&digits)).then_some(at..end)
}

fn is_around_number(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'.' | b'+')
}

fn is_of_issuer(digits: &[u8]) -> bool {
    let first = digits[..4].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let lengths = match first {
        4000..=4999 => &[16, 19][..],
        5100..=5599 | 2221..=2720 => &[16],
        3400..=3499 | 3700..=3799 => &[15],
        3000..=3059 | 3600..=3699 | 3800..=3999 => &[14, 16],
        6011 | 6440..=6599 => &[16, 19],
        3528..=3589 | 6200..=6299 => &[16, 17, 18, 19],
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => &[16, 18, 19],
        _ => &[],
    };
    lengths.contains(&digits.len())
}

/// The check of Luhn: every second digit from the end counts twice.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = (0..)
        .zip(digits.iter().rev())
        .map(|(nth, digit): (usize, _)| match (nth % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_three_letters_by_which_it_is_found() {
        let triples = Triples::of(NAME_TRIPLES);
        for word in WORDS.iter().chain(WHOLE).chain(WITHIN).chain(ENDINGS) {
            assert!(word.split(' ').any(|part| triples.is_in(part.as_bytes())), "{word}");
        }
        for text in ["eyJ", "Bearer ", "basic ", "PRIVATE KEY"] {
            assert!(VALUE_SET.is_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn names_are_divided_into_parts() {
        for (name, expected) in [
            ("accessToken", "access token"),
            ("CSRFToken", "csrf token"),
            ("user[new_password1]", "user new password"),
            ("X-Api-Key", "x api key"),
            ("PASSWORD1", "password"),
            ("token[0]", "token"),
            ("OAuth2Token", "o auth token"),
            ("größeÄ", "größeä"),
            ("", ""),
        ] {
            assert_eq!(parts(name, Camel::Divides).join(" "), expected, "{name}");
        }
    }
}
