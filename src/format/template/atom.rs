//! What an atom of a format stands for, whatever the dialect of the format.

/// What an atom stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::format) enum Atom {
    RemoteAddress,
    /// An address that always has a port after it, as Uvicorn, Hypercorn and Daphne write it.
    AddressAndPort,
    /// Gunicorn's `%(l)s`, and each of its atoms that it does not know: always `-`.
    Dash,
    User,
    /// `[23/Nov/2026:08:41:00 +0000]`.
    Time,
    /// `23/Nov/2026:08:41:00 +0000` without brackets; the zone may be missing.
    ClfTime,
    /// `2026-11-23T08:41:00.123+00:00`; a space may stand for the `T`, and the zone may be missing.
    IsoTime,
    /// Seconds since 1970, with or without a fraction.
    EpochTime,
    /// `Mon Nov 23 08:41:00 2026`, as C's `ctime` writes it.
    CTime,
    RequestLine,
    /// `GET / 1.1`: a request line with the bare version, as Hypercorn writes it.
    VersionedRequestLine,
    Method,
    Path,
    /// Path and query as requested.
    Url,
    Query,
    Protocol,
    Status,
    ResponseBytes,
    Referer,
    Agent,
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    DecimalMilliseconds,
    Pid,
    /// The name of the requested host.
    Host,
    RequestHeader,
    ResponseHeader,
    Environ,
    /// A value without a column: kept in `request -> 'tail'`.
    Tail,
    /// The same, of a number whose meaning or unit is not known.
    TailNumber,
    /// Path and query side by side, `%(U)s%(q)s`: the line does not say where the query begins.
    PathAndQuery,
}

/// All atoms of Gunicorn with one letter.
const LETTERS: [(&str, Atom); 19] = [
    ("h", Atom::RemoteAddress),
    ("l", Atom::Dash),
    ("u", Atom::User),
    ("t", Atom::Time),
    ("r", Atom::RequestLine),
    ("m", Atom::Method),
    ("U", Atom::Path),
    ("q", Atom::Query),
    ("H", Atom::Protocol),
    ("s", Atom::Status),
    ("B", Atom::ResponseBytes),
    ("b", Atom::ResponseBytes),
    ("f", Atom::Referer),
    ("a", Atom::Agent),
    ("T", Atom::Seconds),
    ("D", Atom::Microseconds),
    ("M", Atom::Milliseconds),
    ("L", Atom::DecimalSeconds),
    ("p", Atom::Pid),
];

/// The atoms that Gunicorn does not have: for what other servers write.
const OTHERS: [(&str, Atom); 8] = [
    ("{port}h", Atom::AddressAndPort),
    ("{clf}t", Atom::ClfTime),
    ("{iso}t", Atom::IsoTime),
    ("{epoch}t", Atom::EpochTime),
    ("{ctime}t", Atom::CTime),
    ("{version}r", Atom::VersionedRequestLine),
    ("{query}U", Atom::Url),
    ("{ms}L", Atom::DecimalMilliseconds),
];

/// The list of atoms for messages.
pub(super) const KNOWN_ATOMS: &str =
    "h l u t r m U q H s B b f a T D M L p {name}i {name}o {name}e";

impl Atom {
    /// Returns the atom of Gunicorn for `key` (the text between the parentheses). For a captured
    /// header or variable it also returns the name in lower case, because Gunicorn looks up names in
    /// braces case-insensitively. Gunicorn logs `-` for an atom that it does not know.
    pub(super) fn from_key(key: &str) -> (Atom, String) {
        if let Some((_, atom)) = LETTERS.iter().chain(&OTHERS).find(|(known, _)| *known == key) {
            return (*atom, String::new());
        }
        let key = key.to_lowercase();
        let braces = key.strip_prefix('{').and_then(|rest| rest.rsplit_once('}'));
        let Some((name, kind)) = braces.filter(|(name, _)| !name.is_empty()) else {
            return (Atom::Dash, String::new());
        };
        let atom = match kind {
            "i" => Atom::RequestHeader,
            "o" => Atom::ResponseHeader,
            "e" => Atom::Environ,
            "v" => Atom::Host,
            "x" => Atom::Tail,
            "n" => Atom::TailNumber,
            _ => return (Atom::Dash, String::new()),
        };
        (atom, name.to_owned())
    }

    /// Returns whether Gunicorn has an atom with this key.
    pub(super) fn is_of_gunicorn(key: &str) -> bool {
        let is_captured =
            || key.starts_with('{') && ["}i", "}o", "}e"].iter().any(|kind| key.ends_with(kind));
        LETTERS.iter().any(|(letter, _)| *letter == key) || is_captured()
    }

    /// Returns whether the value is how long the request took.
    pub(super) fn is_duration(self) -> bool {
        matches!(
            self,
            Atom::Seconds
                | Atom::Milliseconds
                | Atom::Microseconds
                | Atom::DecimalSeconds
                | Atom::DecimalMilliseconds
        )
    }

    /// Returns whether the value may be any text, including spaces.
    pub(in crate::format) fn is_free(self) -> bool {
        matches!(
            self,
            Atom::User
                | Atom::Path
                | Atom::Referer
                | Atom::Agent
                | Atom::RequestHeader
                | Atom::ResponseHeader
                | Atom::Environ
                | Atom::Tail
                | Atom::PathAndQuery
        )
    }

    /// Returns whether the value has a fixed length and a shape that hardly any other value has.
    pub(in crate::format) fn is_fixed(self) -> bool {
        matches!(self, Atom::Time | Atom::Dash)
    }

    /// Returns whether the value is a time.
    pub(in crate::format) fn is_time(self) -> bool {
        matches!(self, Atom::Time | Atom::ClfTime | Atom::IsoTime | Atom::EpochTime | Atom::CTime)
    }

    /// Returns whether the value is read as text, up to the literal that follows the atom in the
    /// format.
    pub(in crate::format) fn is_text(self) -> bool {
        self.is_free()
            || matches!(
                self,
                Atom::RemoteAddress
                    | Atom::AddressAndPort
                    | Atom::RequestLine
                    | Atom::VersionedRequestLine
                    | Atom::Method
                    | Atom::Url
                    | Atom::Query
                    | Atom::Protocol
                    | Atom::Host
                    | Atom::TailNumber
            )
    }

    /// Returns whether the value may hold a newline. It may if Gunicorn decodes the value before
    /// logging. A value taken unchanged from the request's head cannot.
    pub(in crate::format) fn may_hold_newline(self) -> bool {
        matches!(self, Atom::User | Atom::Path | Atom::PathAndQuery | Atom::Environ)
    }

    /// Returns an example of the value, for reject reasons.
    pub(super) fn example(self) -> &'static str {
        match self {
            Atom::Dash => "-",
            Atom::Time => "time like [23/Nov/2026:08:41:00 +0000]",
            Atom::ClfTime => "time like 23/Nov/2026:08:41:00 +0000",
            Atom::IsoTime => "time like 2026-11-23T08:41:00+00:00",
            Atom::EpochTime => "seconds since 1970",
            Atom::CTime => "time like Mon Nov 23 08:41:00 2026",
            Atom::Status => "status like 200",
            Atom::ResponseBytes => "count of bytes",
            Atom::Seconds => "whole seconds",
            Atom::Milliseconds => "whole milliseconds",
            Atom::Microseconds => "whole microseconds",
            Atom::DecimalSeconds => "seconds like 0.012345",
            Atom::DecimalMilliseconds => "milliseconds like 0.123",
            Atom::Pid => "process id like <24744>",
            _ => "text",
        }
    }
}
