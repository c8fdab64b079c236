//! The report: the overview as one file, for people who do not reach the page.
//!
//! It has the page's styles, and no scripts: what a browser shows is what stands in the file. Its content
//! security policy, in a `meta` element, allows its own style sheet by the digest, and nothing else. A log's
//! values are text, see [`markup`].
//!
//! Files, in reading order: this one (the parts), [`chart`] (drawings), [`markup`] (escaping), [`numbers`].

mod chart;
mod markup;
mod numbers;

use base64ct::{Base64, Encoding};
use chrono::{DateTime, FixedOffset, Local, Utc};
use sha2::{Digest, Sha256};

use crate::model::{IgnoredCode, Micros, RejectCode};
use crate::store::{
    CodeCount, FileReport, FilesPage, FoundRow, Overview, Point, RejectList, StoredRow, Top,
    TopItem,
};

use chart::{Chart, Kind, Series, Spec, swatch};
use markup::Markup;
use numbers::{brief, bytes, count, duration, each, maybe, percent, rate, span};

/// The page's styles, and what the report has beside them.
const STYLES: [&str; 4] = [
    include_str!("../page/style.css"),
    include_str!("../page/charts.css"),
    include_str!("../page/tables.css"),
    include_str!("report.css"),
];

/// Patterns that show errors without colours: those of `page/index.html`.
const PATTERNS: &str = "<svg width=\"0\" height=\"0\" class=\"patterns\" aria-hidden=\"true\">\
    <pattern id=\"hatch4\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
    <rect class=\"c4\" width=\"5\" height=\"5\"/><rect class=\"stripe\" width=\"1.6\" height=\"5\"/></pattern>\
    <pattern id=\"hatch5\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">\
    <rect class=\"c5\" width=\"4\" height=\"4\"/>\
    <path class=\"stripe\" d=\"M0 0h1.5v1.5h-1.5zM2 2h1.5v1.5h-1.5z\"/></pattern></svg>";

/// Size of the drawing of a chart over the whole width, and of one of three.
const WIDE: (f64, f64) = (1100.0, 190.0);
const NARROW: (f64, f64) = (350.0, 150.0);

/// Most bytes of a rejected line that are shown.
const MOST_RAW: usize = 400;

/// In which zone times are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// UTC.
    Utc,
    /// That of this machine.
    Local,
}

impl Zone {
    fn time(self, at: Micros) -> DateTime<FixedOffset> {
        let time = DateTime::from_timestamp_micros(at).unwrap_or_default();
        match self {
            Zone::Utc => time.with_timezone(&Utc).fixed_offset(),
            Zone::Local => time.with_timezone(&Local).fixed_offset(),
        }
    }

    fn moment(self, at: Micros) -> String {
        self.time(at).format("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn name(self, at: Micros) -> String {
        match self {
            Zone::Utc => "UTC".to_owned(),
            Zone::Local => format!("UTC{}", self.time(at).format("%:z")),
        }
    }
}

/// A list of the most frequent values, with its title.
#[derive(Clone, Debug)]
pub struct TopList {
    /// The heading.
    pub title: &'static str,
    /// What is counted.
    pub order: TopOrder,
    /// The values.
    pub top: Top,
    /// Whether all rows of the range are counted, and not only the newest.
    pub is_complete: bool,
}

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopOrder {
    /// Requests.
    Requests,
    /// Requests, all of which are errors.
    Errors,
    /// The mean duration.
    Duration,
}

/// The newest requests with a server error.
#[derive(Clone, Debug)]
pub struct Failures {
    /// Their rows, the newest first.
    pub rows: Vec<FoundRow<StoredRow>>,
    /// The time back to which they were searched; `None` if that is the beginning of the range, or there are more.
    pub searched_to: Option<Micros>,
}

/// All that a report shows.
#[derive(Clone, Debug)]
pub struct Report {
    /// When it was made.
    pub made_at: Micros,
    /// The zone of its times.
    pub zone: Zone,
    /// The server whose logs it is about; `None` for all.
    pub server: Option<String>,
    /// Counts of the range.
    pub overview: Overview,
    /// The most frequent values.
    pub tops: Vec<TopList>,
    /// URLs by number of server and of client errors.
    pub errors: Vec<TopList>,
    /// The newest requests with a server error.
    pub failures: Failures,
    /// Rejected lines of the range, the newest of them, and how many of each code.
    pub rejects: RejectList,
    /// Files, with what is lost, excluded and ignored of them.
    pub files: FilesPage,
}

const SERIES_OF_CLASSES: [Series; 6] = [
    class("5xx", "c5", " fill=\"url(#hatch5)\"", |it| Some(it.rows[4] as f64)),
    class("4xx", "c4", " fill=\"url(#hatch4)\"", |it| Some(it.rows[3] as f64)),
    class("3xx", "c3", "", |it| Some(it.rows[2] as f64)),
    class("2xx", "c2", "", |it| Some(it.rows[1] as f64)),
    class("1xx", "c1", "", |it| Some(it.rows[0] as f64)),
    class("other", "c0", "", |it| Some(it.rows[5] as f64)),
];
const SERIES_OF_TIMES: [Series; 3] = [
    class("p50", "t50", "", |it| it.quantile(0.5).map(|it| it as f64)),
    class("p95", "t95", "", |it| it.quantile(0.95).map(|it| it as f64)),
    class("p99", "t99 dashed", "", |it| it.quantile(0.99).map(|it| it as f64)),
];
const SERIES_OF_ERRORS: [Series; 2] =
    [class("5xx", "c5", "", |it| share(it, 4)), class("4xx", "c4 dashed", "", |it| share(it, 3))];
const SERIES_OF_BYTES: [Series; 1] = [class("bytes", "c2", "", |it| Some(it.bytes as f64))];

const fn class(
    name: &'static str,
    class: &'static str,
    fill: &'static str,
    value: fn(&Point) -> Option<f64>,
) -> Series {
    Series { name, class, fill, value }
}

const REQUESTS: Spec =
    Spec { title: "Requests", kind: Kind::Bars, format: brief, series: &SERIES_OF_CLASSES };
const TIMES: Spec = Spec {
    title: "Response time",
    kind: Kind::Logarithmic,
    format: duration,
    series: &SERIES_OF_TIMES,
};
const ERRORS: Spec =
    Spec { title: "Error rate", kind: Kind::Lines, format: percent, series: &SERIES_OF_ERRORS };
const SENT: Spec =
    Spec { title: "Sent", kind: Kind::Bars, format: bytes, series: &SERIES_OF_BYTES };

fn sum(point: &Point) -> i64 {
    point.rows.iter().sum()
}

/// Returns the share of a class of status; `None` if there are no requests.
fn share(point: &Point, class: usize) -> Option<f64> {
    Some(point.rows[class] as f64 / sum(point) as f64).filter(|share| share.is_finite())
}

impl Report {
    /// Returns the whole document.
    pub fn html(&self) -> String {
        let styles = STYLES.concat();
        let digest = Base64::encode_string(&Sha256::digest(styles.as_bytes()));
        let mut to = Markup::default();
        to.tag("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        to.tag("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
        to.text(&digest).tag("'; base-uri 'none'; form-action 'none'\">\n<title>");
        to.text(&self.title()).tag(" · log-ingestd</title>\n");
        to.tag("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        to.tag("<meta name=\"color-scheme\" content=\"light dark\">\n");
        to.tag("<meta name=\"referrer\" content=\"no-referrer\">\n<style>");
        to.style(&styles).tag("</style>\n</head>\n<body>\n<main>\n<h1>");
        to.text(&self.title()).tag("</h1>\n");
        self.about(&mut to);
        self.tiles(&mut to);
        self.charts(&mut to);
        to.tag("<h2 class=\"part-title\">Most frequent and slowest</h2>\n");
        self.lists(&mut to, &self.tops);
        to.tag("<h2 class=\"part-title\">Errors</h2>\n");
        self.lists(&mut to, &self.errors);
        self.failures(&mut to);
        to.tag("<h2 class=\"part-title\">What was not stored</h2>\n");
        self.rejects(&mut to);
        self.losses(&mut to);
        self.ignored(&mut to);
        to.tag("</main>\n").tag(PATTERNS).tag("\n</body>\n</html>\n");
        to.into_text()
    }

    fn title(&self) -> String {
        let day = |at| self.zone.time(at).format("%Y-%m-%d").to_string();
        let (from, to) = (day(self.overview.from), day(self.overview.to - 1));
        let days = if from == to { from } else { format!("{from} to {to}") };
        format!("Requests of {days}")
    }

    fn about(&self, to: &mut Markup) {
        let Overview { from, to: end, .. } = self.overview;
        to.tag("<p class=\"about\">From ").text(&self.zone.moment(from)).tag(" to ");
        to.text(&self.zone.moment(end)).tag(" (").text(&self.zone.name(from)).tag("), ");
        match &self.server {
            Some(server) => to.tag("of the server ").text(server),
            None => to.tag("of all servers"),
        };
        to.tag(". Made at ").text(&self.zone.moment(self.made_at)).tag(" by log-ingestd ");
        to.tag(env!("CARGO_PKG_VERSION")).tag("; later requests are not in it.</p>\n");
    }

    fn tiles(&self, to: &mut Markup) {
        let total = &self.overview.total;
        let all = sum(total);
        let minutes = (self.overview.to - self.overview.from) as f64 / 60e6;
        let errors = |class: usize| share(total, class).unwrap_or(f64::NAN);
        let mean = match all {
            0 => String::new(),
            all => format!("{} each", bytes(total.bytes as f64 / all as f64)),
        };
        to.tag("<dl class=\"tiles\">");
        for (name, value, sub) in [
            ("Requests", brief(all as f64), format!("{} per minute", rate(all as f64 / minutes))),
            ("Client errors", percent(errors(3)), format!("{} of 4xx", count(total.rows[3]))),
            ("Server errors", percent(errors(4)), format!("{} of 5xx", count(total.rows[4]))),
            ("Median time", maybe(total.quantile(0.5), duration), "half are faster".to_owned()),
            ("95th percentile", maybe(total.quantile(0.95), duration), "1 in 20 is slower".into()),
            ("99th percentile", maybe(total.quantile(0.99), duration), "1 in 100 is slower".into()),
            ("Sent", bytes(total.bytes as f64), mean),
        ] {
            to.tag("<div><dt>").text(name).tag("</dt><dd>").text(&value);
            to.tag("</dd><dd class=\"sub\">").text(&sub).tag("</dd></div>");
        }
        to.tag("</dl>\n");
    }

    fn charts(&self, to: &mut Markup) {
        to.tag("<div class=\"charts\">\n");
        self.chart(to, &REQUESTS, WIDE);
        for spec in [&TIMES, &ERRORS, &SENT] {
            self.chart(to, spec, NARROW);
        }
        to.tag("</div>\n");
        self.points(to);
    }

    fn chart(&self, to: &mut Markup, spec: &Spec, size: (f64, f64)) {
        let Overview { step, total, .. } = &self.overview;
        let mut about = format!("{} per {}, in total: ", spec.title, each(*step));
        let values = spec.series.iter().map(|series| {
            let value = (series.value)(total).map_or_else(|| "–".to_owned(), spec.format);
            (series, value)
        });
        let values: Vec<_> = values.collect();
        let named = values.iter().map(|(series, value)| format!("{} {value}", series.name));
        about += &named.collect::<Vec<_>>().join(", ");
        to.tag("<figure class=\"chart").tag(if size == WIDE { " wide" } else { "" });
        to.tag("\"><figcaption><h2>").tag(spec.title).tag("</h2><span class=\"unit\">per ");
        to.text(&each(*step)).tag("</span><ul class=\"legend\">");
        for (series, value) in &values {
            to.tag("<li><span>");
            swatch(to, spec.kind, series);
            to.tag("<span class=\"name\">").tag(series.name);
            to.tag("</span><span class=\"value\">").text(value).tag("</span></span></li>");
        }
        to.tag("</ul></figcaption><div class=\"plot\" tabindex=\"0\" role=\"group\" aria-label=\"");
        to.tag(spec.title).tag("\">");
        let mut draw = |class, size| {
            Chart::new(spec, &self.overview, self.zone, size).draw(to, class, &about);
        };
        if sum(total) == 0 {
            to.tag("<p class=\"message\">No requests in this range</p>");
        } else if size == WIDE {
            // Of two drawings a window shows the one whose letters it does not make too small.
            draw("axes large", WIDE);
            draw("axes small", NARROW);
        } else {
            draw("axes", size);
        }
        to.tag("</div></figure>\n");
    }

    /// Adds the values of the charts, which readers open.
    fn points(&self, to: &mut Markup) {
        if self.overview.points.is_empty() {
            return;
        }
        to.tag("<details><summary>The numbers of the charts</summary>");
        to.tag("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"The numbers of the charts\">");
        to.tag("<table class=\"numbers\"><caption class=\"hidden\">Requests per ");
        to.text(&each(self.overview.step))
            .tag("; times without requests are left out</caption><thead><tr>");
        to.tag("<th scope=\"col\">Time</th>");
        let columns = || {
            let specs = [&REQUESTS, &TIMES, &SENT].into_iter();
            specs.flat_map(|spec| spec.series.iter().map(move |series| (spec, series)))
        };
        for (_, series) in columns() {
            to.tag("<th scope=\"col\">").tag(series.name).tag("</th>");
        }
        to.tag("</tr></thead><tbody>");
        for (start, point) in &self.overview.points {
            to.tag("<tr><th scope=\"row\">").text(&self.zone.moment(*start)).tag("</th>");
            for (spec, series) in columns() {
                let value = (series.value)(point).map_or_else(|| "–".to_owned(), spec.format);
                to.tag("<td>").text(&value).tag("</td>");
            }
            to.tag("</tr>");
        }
        to.tag("</tbody></table></div></details>\n");
    }

    fn lists(&self, to: &mut Markup, lists: &[TopList]) {
        to.tag("<div class=\"tops\">\n");
        for list in lists {
            to.tag("<div class=\"panel\"><h2>").tag(list.title).tag("</h2><p class=\"note\">");
            if !list.is_complete {
                to.tag("of the newest ").text(&count(list.top.counted)).tag(" requests");
            }
            to.tag("</p><div class=\"list\">");
            top_table(to, list);
            to.tag("</div></div>\n");
        }
        to.tag("</div>\n");
    }

    fn failures(&self, to: &mut Markup) {
        let Failures { rows, searched_to } = &self.failures;
        if rows.is_empty() && searched_to.is_none() {
            return;
        }
        to.tag("<div class=\"panel\"><h2>Newest server errors</h2>");
        if let Some(time) = searched_to {
            to.tag("<p class=\"note\">Searched back to ").text(&self.zone.moment(*time));
            to.tag(" only: the time was over.</p>");
        }
        begin_table(to, "Newest server errors", &["Time", "Code", "Duration", "Method", "URL"]);
        for FoundRow { row, .. } in rows {
            to.tag("<tr><td>").text(&self.zone.moment(row.timestamp)).tag("</td><td>");
            to.text(&row.code.map_or_else(|| "–".to_owned(), |code| code.to_string()));
            to.tag("</td><td>").text(&maybe(row.duration, duration)).tag("</td><td>");
            to.text(row.method.as_deref().unwrap_or("–")).tag("</td><td class=\"wrap\">");
            to.text(row.url.as_deref().unwrap_or("–")).tag("</td></tr>");
        }
        to.tag("</tbody></table></div></div>\n");
    }

    fn rejects(&self, to: &mut Markup) {
        let RejectList { rejects, more, codes } = &self.rejects;
        to.tag("<div class=\"panel rejects\"><h2>Rejected lines</h2>");
        if rejects.is_empty() {
            to.tag("<p>None in this range: every line that was read became a row, or was left out by the configuration.</p></div>\n");
            return;
        }
        to.tag("<p class=\"note\">Lines that cannot be read as requests, by the time at which they were rejected. They are stored with the reason.</p><ul class=\"codes\">");
        for CodeCount { code: name, lines, .. } in codes {
            let code = RejectCode::named(name);
            let is_unexpected = code.is_none_or(RejectCode::is_unexpected);
            to.tag("<li><strong").tag(if is_unexpected { " class=\"bad\"" } else { "" }).tag(">");
            to.text(&count(i64::try_from(*lines).unwrap_or(i64::MAX))).tag("</strong> ");
            to.text(code.map_or(name.as_str(), |code| code.words())).tag("</li>");
        }
        to.tag("</ul><ul>");
        for (line, path) in rejects {
            to.tag("<li><p class=\"reason\">").text(&line.reason).tag("</p><p class=\"sub\">");
            to.text(path).tag(" · offset ").text(&count(line.log_offset as i64));
            to.tag(" · ").text(&self.zone.moment(line.rejected_at));
            if line.repeats > 1 {
                to.tag(" · ")
                    .text(&count(i64::try_from(line.repeats).unwrap_or(i64::MAX)))
                    .tag(" equal lines");
            }
            to.tag("</p><pre>");
            let shown = &line.raw[..line.raw.len().min(MOST_RAW)];
            to.text(&super::api::visible(shown));
            to.tag(if shown.len() < line.raw.len() { "…" } else { "" }).tag("</pre></li>");
        }
        to.tag("</ul>");
        if *more {
            to.tag("<p class=\"note\">The newest are shown.</p>");
        }
        to.tag("</div>\n");
    }

    fn of_server(&self) -> impl Iterator<Item = &FileReport> {
        let is_of_server = |host: &str| self.server.as_deref().is_none_or(|server| server == host);
        self.files.files.iter().filter(move |file| is_of_server(&file.checkpoint.host))
    }

    /// Adds files of which something is lost, or is not stored yet.
    fn losses(&self, to: &mut Markup) {
        let lag = |file: &FileReport| match file.checkpoint.closed_at {
            None => file.checkpoint.size.saturating_sub(file.checkpoint.committed),
            Some(_) => 0,
        };
        let total = |of: &dyn Fn(&FileReport) -> u64| self.of_server().map(of).sum::<u64>();
        let (lost, waiting) = (total(&|file| file.lost_bytes), total(&lag));
        let excluded = total(&|file| file.excluded);
        let more = self.files.counts.all.saturating_sub(self.files.files.len() as u64);
        to.tag("<div class=\"panel\"><h2>Lost and waiting</h2><p>");
        match lost {
            0 if more > 0 => to.tag("No bytes were lost of the files that were looked at. "),
            0 => to.tag("No bytes were lost. "),
            lost => to
                .tag("<strong class=\"bad\">")
                .text(&bytes(lost as f64))
                .tag(" were lost</strong>: they were gone before they could be read. "),
        };
        match waiting {
            0 => to.tag("All that was read is stored. "),
            waiting => to.text(&bytes(waiting as f64)).tag(" were not stored yet. "),
        };
        to.text(&count(i64::try_from(excluded).unwrap_or(i64::MAX)));
        to.tag(" lines were left out by the configuration. These numbers are of whole files, not of the range alone.</p>");
        let shown = || self.of_server().filter(|file| file.lost_bytes + lag(file) > 0);
        if shown().next().is_some() {
            begin_table(to, "Files with losses", &["File", "Server", "Lost", "Not stored yet"]);
            for file in shown() {
                to.tag("<tr><th scope=\"row\" class=\"file\">").text(&file.checkpoint.path);
                to.tag("</th><td>").text(&file.checkpoint.host).tag("</td><td>");
                to.text(&bytes(file.lost_bytes as f64)).tag("</td><td>");
                to.text(&bytes(lag(file) as f64)).tag("</td></tr>");
            }
            to.tag("</tbody></table></div>");
        }
        if more > 0 {
            to.tag("<p class=\"note\">").text(&count(i64::try_from(more).unwrap_or(i64::MAX)));
            to.tag(" more files, of all servers, were not looked at: <code>log-ingestd status --all</code> has them.</p>");
        }
        to.tag("</div>\n");
    }

    fn ignored(&self, to: &mut Markup) {
        let of_server = |host: &str| self.server.as_deref().is_none_or(|server| server == host);
        let ignored = || self.files.ignored.iter().filter(|file| of_server(&file.host));
        if ignored().next().is_none() {
            return;
        }
        to.tag("<div class=\"panel\"><h2>Ignored files</h2>");
        begin_table(to, "Ignored files", &["File", "Server", "Size", "Since", "Reason"]);
        for file in ignored() {
            to.tag("<tr><th scope=\"row\" class=\"file\">");
            if file.files > 1 {
                to.text(&count(i64::try_from(file.files).unwrap_or(i64::MAX)))
                    .tag(" more files of ");
            }
            to.text(&file.path).tag("</th><td>").text(&file.host).tag("</td><td>");
            to.text(&file.bytes.map_or_else(|| "–".to_owned(), |it| bytes(it as f64)));
            let ago = (self.made_at - file.since).max(0) / 1_000_000;
            to.tag("</td><td>").text(&span(ago)).tag(" ago</td><td class=\"wrap\">");
            to.text(&file.reason).tag(": ").text(IgnoredCode::explanation(&file.reason));
            if let Some(detail) = &file.detail {
                to.tag(" (").text(detail).tag(")");
            }
            to.tag("</td></tr>");
        }
        to.tag("</tbody></table></div></div>\n");
    }
}

/// Begins a table with a head, in a part that can be moved sideways where it is too wide.
fn begin_table(to: &mut Markup, name: &'static str, heads: &[&'static str]) {
    to.tag("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"").tag(name);
    to.tag("\"><table class=\"files\"><caption class=\"hidden\">").tag(name);
    to.tag("</caption><thead><tr>");
    for head in heads {
        to.tag("<th scope=\"col\">").tag(head).tag("</th>");
    }
    to.tag("</tr></thead><tbody>");
}

fn top_table(to: &mut Markup, list: &TopList) {
    let items: Vec<&TopItem> = list.top.items.iter().collect();
    let is_timed = list.order == TopOrder::Duration;
    if items.is_empty() || (is_timed && items.iter().all(|item| item.mean.is_none())) {
        to.tag("<p class=\"message\">").tag(if is_timed { "No durations" } else { "None" });
        to.tag(" in this range</p>");
        return;
    }
    let measure = |item: &TopItem| if is_timed { item.mean.unwrap_or(0) } else { item.rows };
    let most = items.iter().map(|item| measure(item)).max().unwrap_or(1).max(1) as f64;
    to.tag("<table><caption class=\"hidden\">").tag(list.title).tag("</caption><thead><tr>");
    to.tag("<th scope=\"col\"><span class=\"hidden\">").tag(list.title).tag("</span></th>");
    for head in match list.order {
        TopOrder::Requests => ["Requests", "Errors", "Mean"],
        TopOrder::Errors => ["Errors", "Mean", "Slowest"],
        TopOrder::Duration => ["Mean", "Slowest", "Requests"],
    } {
        to.tag("<th scope=\"col\">").tag(head).tag("</th>");
    }
    to.tag("</tr></thead><tbody>");
    for item in items {
        to.tag("<tr><th scope=\"row\">");
        match item.value.as_deref() {
            None | Some("") => to.tag("<span class=\"none\">none</span>"),
            Some(value) => to.text(value),
        };
        to.tag("<svg class=\"share\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect height=\"4\" width=\"");
        to.number(100.0 * measure(item) as f64 / most).tag("\"/></svg></th>");
        let rows = brief(item.rows as f64);
        let mean = maybe(item.mean, duration);
        let errors = percent(item.errors as f64 / item.rows as f64);
        let cells = match list.order {
            TopOrder::Requests => [rows, errors, mean],
            TopOrder::Errors => [rows, mean, maybe(item.max, duration)],
            TopOrder::Duration => [mean, maybe(item.max, duration), rows],
        };
        for (nth, cell) in cells.iter().enumerate() {
            let is_bad = nth == 1 && list.order == TopOrder::Requests && item.errors > 0;
            to.tag(if is_bad { "<td class=\"bad\">" } else { "<td>" }).text(cell).tag("</td>");
        }
        to.tag("</tr>");
    }
    to.tag("</tbody></table>");
}
