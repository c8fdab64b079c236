//! The columns of the three tables that hold lines, each declared once.
//!
//! A declaration names, in the order in which the fields are encoded, each column, its kind, the field
//! of the parsed record that fills it (after `=`), and its places in the orders that users see. COPY,
//! SQLite's INSERT, the SELECTs, `verify`, `check` and exports follow the declarations.
//!
//! To add a column:
//! 1. Add a line to its declaration, where the column is to be encoded (JSON columns come last; after them
//!    those of [`NARROW`]). Its places in the orders are one more than the largest so far.
//! 2. Add the field to [`GunicornLogModel`]; a [`RequestLog`] gets it by the declaration. Let the format
//!    fill it: for access lines the atom in `format/template.rs` and its value in `format/values.rs`, for
//!    JSON lines the key in `format/json.rs`.
//! 3. Encode it in `batch.rs`. The order there is written by hand, because it decides how fast rows
//!    are encoded; the tests below compare it with the declarations.
//! 4. Add the column by a migration of each database, modelled on the newest one. It is listed in
//!    `MIGRATIONS` of `store/postgres/mod.rs` and `store/sqlite/mod.rs`, and its number stands in
//!    `store/schema.rs`.
//! 5. Where it is wanted besides: filters (`model/filter`, `store/search`), the page (`web/page/log.js`,
//!    `web/page/requests.js`), the models in `deploy/django`, `deploy/docs/tables.md`.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;
use std::ops::Range;

use serde_json::Value as JsonValue;

use super::batch::{Field, Tuples};
use super::file::FileId;
use super::reason::RejectCode;
use super::record::{Captured, GunicornJson, GunicornLogModel, JsonRecord, Micros};

/// How the fields of a column are encoded in [`Tuples`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `bigint`.
    Int8,
    /// `integer`.
    Int4,
    /// `double precision`.
    Float8,
    /// `timestamptz`.
    Time,
    /// `text`.
    Text,
    /// `inet`.
    Inet,
    /// `jsonb`.
    Json,
    /// `bytea`.
    Bytes,
    /// `boolean`; 0 or 1 in SQLite.
    Bool,
    /// `bigint[]`; an array of JSON in SQLite.
    Int8s,
}

/// A column of a table, mostly of one that holds lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in SQL, in JSON and in CSV.
    pub name: &'static str,
    /// How its fields are encoded.
    pub encoding: Encoding,
    /// Its place in exports, from 0; `None` if it is not exported.
    pub export: Option<usize>,
    /// Its place in what `check` shows, from 0; `None` if a line alone does not have it.
    pub check: Option<usize>,
    /// Whether lists of rows leave the column out, because its values may be large.
    pub large: bool,
}

impl Column {
    /// Declares a column of a table that holds no lines.
    pub const fn new(name: &'static str, encoding: Encoding) -> Column {
        Column { name, encoding, export: None, check: None, large: false }
    }
}

/// The value of a field of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// The row does not have it.
    Null,
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// A time.
    Time(Micros),
    /// A text.
    Text(&'a str),
    /// An address.
    Address(IpAddr),
    /// A value of JSON.
    Json(&'a JsonValue),
    /// Captured headers or variables, of which the store makes an object of JSON.
    Captured(&'a [(&'a str, Cow<'a, str>)]),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// What identifies a stored row, as its columns hold it: no record has these. [`Default`] is for rows
/// that are compared without their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The id of the row.
    pub id: i64,
    /// The id of the file.
    pub log_file: i64,
    /// The offset of the line's first byte.
    pub log_offset: i64,
}

/// A row of a table that holds lines.
pub trait Row: Sized {
    /// All columns, in the order in which they are encoded.
    const COLUMNS: &'static [Column];

    /// Reads the row.
    ///
    /// # Errors
    /// A field that is missing or is not what its column holds.
    fn read<S: Source>(source: &S) -> Result<Self, S::Error>;

    /// Returns the values of all columns, in the order of [`Row::COLUMNS`].
    fn values(&self, place: Place) -> Vec<Value<'_>>;

    /// Returns the values of the exported columns, in the order of exports.
    fn exported(&self, place: Place) -> Vec<(&'static Column, Value<'_>)> {
        in_order(Self::COLUMNS.iter().zip(self.values(place)).collect(), |column| column.export)
    }

    /// Returns the exported columns, in the order of exports.
    fn export_columns() -> Vec<&'static Column> {
        let columns = Self::COLUMNS.iter().map(|column| (column, ()));
        let columns = in_order(columns.collect(), |column| column.export);
        columns.into_iter().map(|(column, ())| column).collect()
    }
}

/// A parsed record.
pub trait Recorded {
    /// Returns the values that the record itself has, in the order in which `check` shows them.
    fn shown(&self) -> Vec<(&'static Column, Value<'_>)>;
}

/// Sorts by a place, and leaves out what has none.
fn in_order<T>(
    mut fields: Vec<(&'static Column, T)>,
    place: fn(&Column) -> Option<usize>,
) -> Vec<(&'static Column, T)> {
    fields.retain(|(column, _)| place(column).is_some());
    fields.sort_by_key(|(column, _)| place(column));
    fields
}

/// Where the fields of a stored row are read from, by the names of their columns.
pub trait Source {
    /// What is wrong with a field.
    type Error;

    /// Returns the error for a field that its column cannot hold.
    fn unreadable(&self, column: &str) -> Self::Error;

    /// Reads an integer of any width.
    ///
    /// # Errors
    /// The field is missing or of another type, here and below.
    fn int(&self, column: &str) -> Result<Option<i64>, Self::Error>;

    /// Reads a `double precision`.
    fn real(&self, column: &str) -> Result<Option<f64>, Self::Error>;

    /// Reads a time.
    fn time(&self, column: &str) -> Result<Option<Micros>, Self::Error>;

    /// Reads a text.
    fn text(&self, column: &str) -> Result<Option<String>, Self::Error>;

    /// Reads bytes.
    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Reads an address, from a text where it is not overridden.
    fn address(&self, column: &str) -> Result<Option<IpAddr>, Self::Error> {
        let text = self.text(column)?;
        text.map(|text| text.parse().map_err(|_| self.unreadable(column))).transpose()
    }

    /// Reads a value of JSON, from a text where it is not overridden.
    fn json(&self, column: &str) -> Result<Option<JsonValue>, Self::Error> {
        let text = self.text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| self.unreadable(column)))
            .transpose()
    }
}

/// A row as it is encoded in [`Tuples`].
#[derive(Debug)]
pub struct Encoded<'a> {
    columns: &'static [Column],
    fields: &'a [Field<'a>],
    /// Where the next field is looked for first: they are read in order.
    next: Cell<usize>,
}

/// The column whose encoded field is not what the column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotEncoded(pub String);

impl<'a> Encoded<'a> {
    /// A row of the table with these columns.
    pub fn new(columns: &'static [Column], fields: &'a [Field<'a>]) -> Self {
        Self { columns, fields, next: Cell::new(0) }
    }

    fn field(&self, name: &str) -> Result<Field<'a>, NotEncoded> {
        let (before, from) = self.columns.split_at(self.next.get().min(self.columns.len()));
        let at = from.iter().chain(before).position(|column| column.name == name);
        let at = at.map(|at| (at + before.len()) % self.columns.len());
        self.next.set(at.map_or(0, |at| at + 1));
        let at = at.ok_or_else(|| self.unreadable(name))?;
        match self.fields.get(at) {
            Some(field) => Ok(*field),
            None if self.fields.len() == NARROW => Ok(None),
            None => Err(self.unreadable(name)),
        }
    }
}

impl Source for Encoded<'_> {
    type Error = NotEncoded;

    fn unreadable(&self, column: &str) -> NotEncoded {
        NotEncoded(column.to_owned())
    }

    fn int(&self, column: &str) -> Result<Option<i64>, NotEncoded> {
        let Some(bytes) = self.field(column)? else { return Ok(None) };
        let int4 = bytes.try_into().map(|bytes| i64::from(i32::from_be_bytes(bytes)));
        let int = int4.or_else(|_| bytes.try_into().map(i64::from_be_bytes));
        int.map(Some).map_err(|_| self.unreadable(column))
    }

    fn real(&self, column: &str) -> Result<Option<f64>, NotEncoded> {
        let Some(bytes) = self.field(column)? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| self.unreadable(column))?;
        Ok(Some(f64::from_be_bytes(bytes)))
    }

    fn time(&self, column: &str) -> Result<Option<Micros>, NotEncoded> {
        let Some(bytes) = self.field(column)? else { return Ok(None) };
        Tuples::micros(bytes).map(Some).ok_or_else(|| self.unreadable(column))
    }

    fn text(&self, column: &str) -> Result<Option<String>, NotEncoded> {
        Ok(self.field(column)?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    fn bytes(&self, column: &str) -> Result<Option<Vec<u8>>, NotEncoded> {
        Ok(self.field(column)?.map(<[u8]>::to_vec))
    }

    fn address(&self, column: &str) -> Result<Option<IpAddr>, NotEncoded> {
        let Some(field) = self.field(column)? else { return Ok(None) };
        Tuples::address(field).map(Some).ok_or_else(|| self.unreadable(column))
    }

    fn json(&self, column: &str) -> Result<Option<JsonValue>, NotEncoded> {
        let Some(field) = self.field(column)? else { return Ok(None) };
        let json = field.get(1..).and_then(|text| serde_json::from_slice(text).ok());
        json.map(Some).ok_or_else(|| self.unreadable(column))
    }
}

/// What a column holds.
pub trait Kind {
    /// The type of its field in a stored row.
    type Stored;
    /// How its fields are encoded.
    const ENCODING: Encoding;
    /// Reads a field.
    ///
    /// # Errors
    /// The field is missing or is not what the column holds.
    fn read<S: Source>(source: &S, column: &str) -> Result<Self::Stored, S::Error>;
}

/// A field that a column of the kind `K` can hold.
trait Holds<K> {
    fn value(&self) -> Value<'_>;
}

/// Declares a kind: its encoding, its type in a stored row, and how that is read.
macro_rules! kind {
    ($(#[$doc:meta])* $Kind:ident, $encoding:ident, $Stored:ty, |$source:ident, $column:ident| $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Kind;

        impl Kind for $Kind {
            type Stored = $Stored;
            const ENCODING: Encoding = Encoding::$encoding;

            fn read<S: Source>($source: &S, $column: &str) -> Result<$Stored, S::Error> {
                $read
            }
        }
    };
}

/// Declares how a field of a type is a value of a kind.
macro_rules! holds {
    ($Kind:ident, $Type:ty, |$field:ident| $value:expr) => {
        impl Holds<$Kind> for $Type {
            fn value(&self) -> Value<'_> {
                let $field = self;
                $value
            }
        }
    };
    ($Kind:ident, optional $Type:ty, |$field:ident| $value:expr) => {
        impl Holds<$Kind> for Option<$Type> {
            fn value(&self) -> Value<'_> {
                self.as_ref().map_or(Value::Null, |$field| $value)
            }
        }
    };
}

/// Refuses NULL and what does not fit.
///
/// # Errors
/// The value is missing or does not fit.
pub fn required<S: Source, T, U: TryFrom<T>>(
    source: &S,
    column: &str,
    value: Option<T>,
) -> Result<U, S::Error> {
    value.and_then(|value| value.try_into().ok()).ok_or_else(|| source.unreadable(column))
}

kind!(
    /// The id of a row; never NULL.
    RowId, Int8, i64, |source, column| required(source, column, source.int(column)?)
);
kind!(
    /// The id of a file; never NULL.
    File, Int4, FileId, |source, column| required(source, column, source.int(column)?).map(FileId)
);
kind!(
    /// An offset or a count; never NULL.
    Unsigned, Int8, u64, |source, column| required(source, column, source.int(column)?)
);
kind!(
    /// A time; never NULL.
    Time, Time, Micros, |source, column| required(source, column, source.time(column)?)
);
kind!(
    /// An integer of 64 bits.
    Int8, Int8, Option<i64>, |source, column| source.int(column)
);
kind!(
    /// An integer of 32 bits.
    Int4, Int4, Option<i32>, |source, column| match source.int(column)? {
        Some(value) => required(source, column, Some(value)).map(Some),
        None => Ok(None),
    }
);
kind!(
    /// A number.
    Float8, Float8, Option<f64>, |source, column| source.real(column)
);
kind!(
    /// A text.
    Text, Text, Option<String>, |source, column| source.text(column)
);
kind!(
    /// An address.
    Inet, Inet, Option<IpAddr>, |source, column| source.address(column)
);
kind!(
    /// A value of JSON.
    Json, Json, Option<JsonValue>, |source, column| source.json(column)
);
kind!(
    /// The code of a reject; `None` if a newer version wrote it.
    Code, Text, Option<RejectCode>, |source, column| {
        Ok(source.text(column)?.and_then(|name| RejectCode::named(&name)))
    }
);
kind!(
    /// A text that is never NULL.
    Words, Text, String, |source, column| required(source, column, source.text(column)?)
);
kind!(
    /// Bytes; never NULL.
    Bytes, Bytes, Vec<u8>, |source, column| required(source, column, source.bytes(column)?)
);

kind!(
    /// Bytes that few rows have.
    Patch, Bytes, Option<Vec<u8>>, |source, column| source.bytes(column)
);

holds!(File, FileId, |file| Value::Int(file.0.into()));
holds!(Unsigned, u64, |offset| Value::Int(*offset as i64));
holds!(Time, Micros, |time| Value::Time(*time));
holds!(Time, optional Micros, |time| Value::Time(*time));
holds!(Int8, optional i64, |number| Value::Int(*number));
holds!(Int4, optional i32, |number| Value::Int((*number).into()));
holds!(Float8, optional f64, |number| Value::Real(*number));
holds!(Text, optional String, |text| Value::Text(text));
holds!(Text, optional Cow<'_, str>, |text| Value::Text(text));
holds!(Inet, optional IpAddr, |address| Value::Address(*address));
holds!(Json, optional JsonValue, |json| Value::Json(json));
holds!(Json, Captured<'_>, |pairs| match pairs.as_slice() {
    [] => Value::Null,
    pairs => Value::Captured(pairs),
});
holds!(Code, optional RejectCode, |code| Value::Text(code.name()));
holds!(Words, String, |text| Value::Text(text));
holds!(Bytes, Vec<u8>, |bytes| Value::Bytes(bytes));
holds!(Patch, optional Vec<u8>, |bytes| Value::Bytes(bytes));

/// Generates from a declaration: the list of columns, the struct of a stored row with its [`Row`], and
/// [`Recorded`] for the record.
///
/// A column is a `field` of the struct, or a `place`, which stands in [`Place`] instead. What follows
/// `=` is the field of the record that fills the column.
macro_rules! table {
    (
        $(#[$list_doc:meta])*
        $COLUMNS:ident;
        $(#[$doc:meta])*
        $Row:ident of $Record:ty {
            $(
                $(place $place:ident)? $($(#[$about:meta])* field $field:ident)?
                : $Kind:ident $(= $record:ident)?
                $(, export $export:literal)? $(, check $check:literal)? $(, may be $large:ident)?;
            )*
        }
    ) => {
        $(#[$list_doc])*
        pub const $COLUMNS: &[Column] = &[$(Column {
            name: concat!($(stringify!($place))? $(stringify!($field))?),
            encoding: $Kind::ENCODING,
            export: first(&[$($export)?]),
            check: first(&[$($check)?]),
            large: !<[&str]>::is_empty(&[$(stringify!($large))?]),
        }),*];

        $(#[$doc])*
        pub struct $Row {
            $($($(#[$about])* pub $field: <$Kind as Kind>::Stored,)?)*
        }

        impl Row for $Row {
            const COLUMNS: &'static [Column] = $COLUMNS;

            fn read<S: Source>(source: &S) -> Result<Self, S::Error> {
                Ok(Self { $($($field: $Kind::read(source, stringify!($field))?,)?)* })
            }

            fn values(&self, _place: Place) -> Vec<Value<'_>> {
                vec![$(
                    $(Value::Int(_place.$place))?
                    $(Holds::<$Kind>::value(&self.$field))?
                ),*]
            }
        }

        impl Recorded for $Record {
            fn shown(&self) -> Vec<(&'static Column, Value<'_>)> {
                let values = [$(None$(.or(Some(Holds::<$Kind>::value(&self.$record))))?),*];
                let shown = $COLUMNS.iter().zip(values);
                in_order(shown.filter_map(|(it, value)| Some((it, value?))).collect(), |it| it.check)
            }
        }
    };
}

/// Returns the only element, if there is one.
const fn first(numbers: &[usize]) -> Option<usize> {
    match numbers {
        [] => None,
        [first, ..] => Some(*first),
    }
}

table! {
    /// The columns of `gunicorn_log`.
    GUNICORN_LOG;

    /// A row of `gunicorn_log`, without its id and its file.
    #[derive(Clone, Debug, Default, PartialEq)]
    StoredRow of GunicornLogModel<'_> {
        place id: RowId, export 0;
        /// When the request was logged.
        field timestamp: Time = timestamp, export 1, check 0;
        /// Offset of the line's first byte in its file.
        field log_offset: Unsigned, export 18;
        /// Time taken, in microseconds.
        field duration: Int8 = duration, export 12, check 11;
        /// Bytes of the response body.
        field response_bytes: Int8 = response_bytes, export 15, check 10;
        place log_file: File, export 17;
        /// Response status.
        field code: Int4 = code, export 13, check 9;
        /// The worker's process id.
        field pid: Int4 = pid, export 16, check 12;
        /// Request method.
        field method: Text = method, export 2, check 2;
        /// Path and query.
        field url: Text = url, export 3, check 3;
        /// The Host header.
        field host: Text = host, export 4, check 5;
        /// The user's name.
        field user_id: Text = user_id, export 5, check 6;
        /// The client's address.
        field user_ip: Inet = user_ip, export 6, check 1;
        /// The User-Agent header.
        field agent: Text = agent, export 7, check 7;
        /// The Referer header.
        field source: Text = source, export 8, check 8;
        /// Protocol and version.
        field protocol: Text = protocol, export 14, check 4;
        /// What else was logged of the request: `{"environ":{name:value}}`, values without a column in
        /// `tail`, and what another program put around the line.
        field request: Json = environ, export 9, check 15;
        /// What was logged of the response: `{"headers":{name:value}}`.
        field response: Json = response_headers, export 10, check 14;
        /// Logged request headers by name.
        field headers: Json = headers, export 11, check 13;
        /// The pattern of URLs that led to the view.
        field route: Text = route, export 19, check 16;
        /// What names the request in other logs; a client may choose it.
        field request_id: Text = request_id, export 20, check 17;
        /// The trace of which the request is a part: 32 hexadecimal digits.
        field trace_id: Text = trace_id, export 21, check 18;
        /// In what the line differs from what the row gives, by [`super::patched`]; `None` if in nothing.
        field patch: Patch, may be large;
    }
}

/// The columns of `gunicorn_log` without the last four, which few logs fill: rows of a batch in which they
/// are NULL are encoded and stored without them. With them, storing takes 4 % longer.
pub const NARROW: usize = GUNICORN_LOG.len() - 4;

table! {
    /// The columns of `request_log`.
    REQUEST_LOG;

    /// A request as an application logged it: what a row of `request_log` has besides its place.
    #[derive(Clone, Debug, Default, PartialEq)]
    RequestLog of RequestLog {
        place id: RowId, export 0;
        /// When the request was logged.
        field timestamp: Time = timestamp, export 1, check 0;
        place log_offset: Unsigned, export 18;
        /// Time the request took, in milliseconds.
        field response_time_ms: Float8 = response_time_ms, export 11, check 3;
        place log_file: File, export 17;
        /// Response status.
        field status_code: Int4 = status_code, export 8, check 2;
        /// Request method.
        field method: Text = method, export 2, check 4;
        /// Path, without the query.
        field path: Text = path, export 3, check 5;
        /// Query, without its question mark.
        field query_params: Text = query_params, export 4, check 6;
        /// Request headers, by name.
        field headers: Json = headers, export 5, check 13, may be large;
        /// Request body.
        field body: Text = body, export 6, check 11, may be large;
        /// Its Content-Type.
        field content_type: Text = content_type, export 7, check 10;
        /// Response headers, by name.
        field response_headers: Json = response_headers, export 9, check 14, may be large;
        /// Response body.
        field response_body: Text = response_body, export 10, check 12, may be large;
        /// The client's address.
        field ip_address: Inet = ip_address, export 12, check 1;
        /// The user's name or key.
        field user_id: Text = user_id, export 13, check 7;
        /// The User-Agent header.
        field user_agent: Text = user_agent, export 14, check 8;
        /// The session's key.
        field session_id: Text = session_id, export 15, check 9;
        /// The pattern of URLs that led to the view.
        field route: Text = route, export 19, check 16;
        /// What names the request in other logs; a client may choose it.
        field request_id: Text = request_id, export 20, check 17;
        /// The trace of which the request is a part: 32 hexadecimal digits.
        field trace_id: Text = trace_id, export 21, check 18;
        /// Whatever else was logged.
        field extra_data: Json = extra_data, export 16, check 15, may be large;
    }
}

table! {
    /// The columns of `rejected_line`.
    REJECTED_LINE;

    /// A row of `rejected_line`: a line, or equal lines of which each begins where the one before it ends.
    #[derive(Clone, Debug, PartialEq)]
    RejectedLine of RejectedLine {
        /// Offset of the first line's first byte in its file.
        field log_offset: Unsigned;
        /// When the first line was rejected.
        field rejected_at: Time;
        /// How many lines the row stands for.
        field repeats: Unsigned;
        /// The file.
        field log_file: File;
        /// Length of each line in bytes, with its end; `None` where the row can stand for one line only.
        field line_length: Int4;
        /// The stable code of the reason; `None` if a newer version wrote it.
        field code: Code;
        /// Why the line became no row, in words.
        field reason: Words;
        /// The line's exact bytes, or the first of them if it was too long.
        field raw: Bytes;
    }
}

impl RejectedLine {
    /// Returns the offsets of its lines, in order.
    pub fn offsets(&self) -> impl Iterator<Item = u64> + use<> {
        let (first, length) = (self.log_offset, self.stride());
        (0..self.lines()).map(move |nth| first.saturating_add(nth.saturating_mul(length)))
    }

    /// Returns the offsets of those of its lines that begin in `range`, in order.
    pub fn offsets_within(&self, range: Range<u64>) -> impl Iterator<Item = u64> + use<> {
        let before = range.start.saturating_sub(self.log_offset).div_ceil(self.stride().max(1));
        let (first, length) = (self.log_offset, self.stride());
        let offsets =
            (before..self.lines()).map(move |nth| first.saturating_add(nth.saturating_mul(length)));
        offsets.take_while(move |offset| *offset < range.end)
    }

    /// Returns how many lines it stands for: one if it does not say where the next one begins.
    pub fn lines(&self) -> u64 {
        if self.stride() == 0 { 1 } else { self.repeats }
    }

    /// Returns the distance between two of its lines in bytes; 0 if it is unknown.
    pub fn stride(&self) -> u64 {
        self.line_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
    }
}

/// A row of `request_log`, without its id and its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredRequest {
    /// Offset of the line's first byte in its file.
    pub log_offset: u64,
    /// Its other columns.
    pub line: RequestLog,
}

impl Row for StoredRequest {
    const COLUMNS: &'static [Column] = REQUEST_LOG;

    fn read<S: Source>(source: &S) -> Result<Self, S::Error> {
        let line = RequestLog::read(source)?;
        Ok(Self { log_offset: Unsigned::read(source, "log_offset")?, line })
    }

    fn values(&self, place: Place) -> Vec<Value<'_>> {
        self.line.values(Place { log_offset: self.log_offset as i64, ..place })
    }
}

impl Recorded for JsonRecord {
    fn shown(&self) -> Vec<(&'static Column, Value<'_>)> {
        match self {
            JsonRecord::Request(line) => line.shown(),
            JsonRecord::Gunicorn(line) => line.shown(),
        }
    }
}

/// The JSON columns of a line of JSON are in its own fields instead of the record's.
impl Recorded for GunicornJson {
    fn shown(&self) -> Vec<(&'static Column, Value<'_>)> {
        let mut shown = self.record.shown();
        for (column, value) in &mut shown {
            let json = match column.name {
                "request" => &self.request,
                "response" => &self.response,
                "headers" => &self.headers,
                _ => continue,
            };
            *value = Holds::<Json>::value(json);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, RejectReason, Written};

    const TABLES: [&[Column]; 3] = [GUNICORN_LOG, REQUEST_LOG, REJECTED_LINE];

    #[test]
    fn each_order_counts_from_0_without_a_gap() {
        for columns in TABLES {
            for place in [|column: &Column| column.export, |column: &Column| column.check] {
                let mut places: Vec<usize> = columns.iter().filter_map(place).collect();
                places.sort_unstable();
                assert!(places.iter().copied().eq(0..places.len()), "{columns:?}");
            }
        }
    }

    #[test]
    fn exports_begin_with_the_columns_of_the_first_release() {
        let begins = |columns: Vec<&Column>, names: &str| {
            let names: Vec<&str> = names.split_whitespace().collect();
            let columns: Vec<&str> = columns.iter().map(|column| column.name).collect();
            assert_eq!(&columns[..names.len()], names);
        };
        begins(
            StoredRow::export_columns(),
            "id timestamp method url host user_id user_ip agent source request response headers \
             duration code protocol response_bytes pid log_file log_offset",
        );
        begins(
            StoredRequest::export_columns(),
            "id timestamp method path query_params headers body content_type status_code \
             response_headers response_body response_time_ms ip_address user_id user_agent \
             session_id extra_data log_file log_offset",
        );
    }

    /// Compares the fields of a row as `batch.rs` encodes them with those of its record.
    fn is_encoded_as_declared<T: Row>(row: &[Field<'_>], record: &impl Recorded) {
        assert_eq!(row.len(), T::COLUMNS.len());
        let read = T::read(&Encoded::new(T::COLUMNS, row)).unwrap_or_else(|_| panic!("{row:?}"));
        let place = Place { id: 1 << 38 | 7, log_file: 1, log_offset: 7 };
        let values = read.values(place);
        for (column, shown) in record.shown() {
            assert_ne!(shown, Value::Null, "the test's record lacks {}", column.name);
            let at = T::COLUMNS.iter().position(|it| it == column).unwrap();
            match (&values[at], shown) {
                (Value::Json(json), Value::Captured(pairs)) => {
                    let object = match column.name {
                        "request" => &json["environ"],
                        "response" => &json["headers"],
                        _ => json,
                    };
                    assert_eq!(
                        pairs,
                        [(column.name, object[column.name].as_str().unwrap().into())]
                    );
                }
                (stored, shown) => assert_eq!(*stored, shown, "{}", column.name),
            }
        }
        for (at, expected) in T::COLUMNS.iter().enumerate().filter_map(|(at, column)| {
            let expected = match column.name {
                "id" => place.id,
                "log_file" => place.log_file,
                "log_offset" => place.log_offset,
                _ => return None,
            };
            Some((at, expected))
        }) {
            let name = T::COLUMNS[at].name;
            assert_eq!(Encoded::new(T::COLUMNS, row).int(name), Ok(Some(expected)), "{name}");
        }
    }

    #[test]
    fn rows_are_encoded_as_their_tables_are_declared() {
        let mut batch = Batch::default();
        let record = GunicornLogModel {
            timestamp: Some(1),
            method: Some("method".into()),
            url: Some("url".into()),
            host: Some("host".into()),
            user_id: Some("user_id".into()),
            user_ip: Some(IpAddr::from([192, 0, 2, 1])),
            agent: Some("agent".into()),
            source: Some("source".into()),
            environ: vec![("request", "request".into())],
            extras: vec![],
            response_headers: vec![("response", "response".into())],
            headers: vec![("headers", "headers".into())],
            duration: Some(2),
            code: Some(3),
            protocol: Some("protocol".into()),
            response_bytes: Some(4),
            pid: Some(5),
            route: Some("route".into()),
            request_id: Some("request_id".into()),
            trace_id: Some("trace_id".into()),
            written: Written::default(),
        };
        batch.push_patched(FileId(1), 7, &record, 0, Some(b"patch"));
        let row = batch.gunicorn_log.rows().next().unwrap();
        is_encoded_as_declared::<StoredRow>(&row, &record);
        let stored = StoredRow::read(&Encoded::new(GUNICORN_LOG, &row)).unwrap();
        assert_eq!(stored, StoredRow { patch: Some(b"patch".to_vec()), ..record.stored(7, 0) });

        let json = |text: &str| Some(JsonValue::from(text));
        let line = GunicornJson {
            timestamp: 1,
            record: GunicornLogModel {
                environ: vec![],
                response_headers: vec![],
                headers: vec![],
                ..record
            },
            request: json("request"),
            response: json("response"),
            headers: json("headers"),
        };
        let line = JsonRecord::Gunicorn(line);
        batch.push_json(FileId(1), 7, &line);
        let row = batch.gunicorn_log.rows().nth(1).unwrap();
        is_encoded_as_declared::<StoredRow>(&row, &line);

        let text = |text: &str| Some(text.to_owned());
        let line = JsonRecord::Request(RequestLog {
            timestamp: 1,
            response_time_ms: Some(0.5),
            status_code: Some(2),
            method: text("method"),
            path: text("path"),
            query_params: text("query_params"),
            headers: json("headers"),
            body: text("body"),
            content_type: text("content_type"),
            response_headers: json("response_headers"),
            response_body: text("response_body"),
            ip_address: Some(IpAddr::from([0; 16])),
            user_id: text("user_id"),
            user_agent: text("user_agent"),
            session_id: text("session_id"),
            route: text("route"),
            request_id: text("request_id"),
            trace_id: text("trace_id"),
            extra_data: json("extra_data"),
        });
        batch.push_json(FileId(1), 7, &line);
        let row = batch.request_log.rows().next().unwrap();
        is_encoded_as_declared::<StoredRequest>(&row, &line);

        batch.push_reject(FileId(1), 7..11, 8, &RejectReason::TooLong(9), b"raw");
        let row = batch.rejected_line.rows().next().unwrap();
        let expected = RejectedLine {
            log_offset: 7,
            rejected_at: 8,
            repeats: 1,
            log_file: FileId(1),
            line_length: Some(4),
            code: Some(RejectCode::TooLong),
            reason: RejectReason::TooLong(9).to_string(),
            raw: b"raw".to_vec(),
        };
        assert_eq!(RejectedLine::read(&Encoded::new(REJECTED_LINE, &row)), Ok(expected));
    }

    #[test]
    fn rows_are_narrow_until_one_of_them_has_a_name() {
        let mut batch = Batch::default();
        let plain = GunicornLogModel { code: Some(200), ..GunicornLogModel::default() };
        let named = GunicornLogModel { request_id: Some("r1".into()), ..plain.clone() };
        let ids = |batch: &Batch| -> Vec<_> {
            let rows = batch.gunicorn_log.rows();
            let read = |row: Vec<_>| StoredRow::read(&Encoded::new(GUNICORN_LOG, &row)).unwrap();
            rows.map(read).map(|row| (row.log_offset, row.code, row.request_id)).collect()
        };
        batch.push_record(FileId(1), 7, &plain, 0);
        assert_eq!(batch.gunicorn_log.width(), NARROW);
        assert_eq!(ids(&batch), [(7, Some(200), None)]);
        let r1 = Some("r1".to_owned());
        batch.push_record(FileId(1), 8, &named, 0);
        batch.push_record(FileId(1), 9, &plain, 0);
        assert!(batch.gunicorn_log.rows().all(|row| row.len() == GUNICORN_LOG.len()));
        let all = [(7, Some(200), None), (8, Some(200), r1), (9, Some(200), None)];
        assert_eq!(ids(&batch), all);
        assert_eq!(batch.gunicorn_log.count(), 3);
        // A part of it may be of plain rows first.
        let mut part = Batch::default();
        part.push_record(FileId(1), 7, &plain, 0);
        part.extend_with(FileId(1), &batch, &[(8, None), (9, None)].into());
        assert_eq!(ids(&part), all);
        batch.clear();
        batch.push_record(FileId(1), 7, &plain, 0);
        assert_eq!(batch.gunicorn_log.width(), NARROW);
    }

    #[test]
    fn an_encoded_field_is_read_in_any_order_and_refused_if_it_is_wrong() {
        let mut batch = Batch::default();
        batch.push_reject(FileId(3), 7..7, 8, &RejectReason::NotUtf8, b"raw");
        let row = batch.rejected_line.rows().next().unwrap();
        let row = Encoded::new(REJECTED_LINE, &row);
        assert_eq!(row.text("reason"), Ok(Some("is not UTF-8".to_owned())));
        assert_eq!(row.int("log_file"), Ok(Some(3)));
        assert_eq!(row.int("line_length"), Ok(None));
        assert_eq!(row.int("raw"), Err(NotEncoded("raw".to_owned())));
        assert_eq!(row.int("nothing"), Err(NotEncoded("nothing".to_owned())));
        let mut other = Batch::default();
        other.push_record(FileId(1), 7, &GunicornLogModel::default(), 0);
        let short = other.gunicorn_log.rows().next().unwrap();
        assert!(StoredRow::read(&Encoded::new(GUNICORN_LOG, &short[..5])).is_err());
    }
}
