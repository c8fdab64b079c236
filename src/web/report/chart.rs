//! Charts as SVG, one path for each series: the drawing of `page/chart.js` without its cursor.

use chrono::{Datelike, Timelike};

use super::Zone;
use super::markup::Markup;
use crate::model::Micros;
use crate::store::{Overview, Point};

const LEFT: f64 = 56.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Times between two marks of the axis, in seconds.
const STEPS: [i64; 20] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    20 * DAY,
    30 * DAY,
    60 * DAY,
    120 * DAY,
    360 * DAY,
];

/// How values are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As heights upon each other, from zero.
    Bars,
    /// As lines, from zero.
    Lines,
    /// As lines on a logarithmic scale: a median of milliseconds and a maximum of seconds are both readable.
    Logarithmic,
}

/// One kind of values.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// Classes of the style sheet.
    pub(super) class: &'static str,
    /// The `fill` of bars that have a pattern, so that errors are recognized without colours.
    pub(super) fill: &'static str,
    pub(super) value: fn(&Point) -> Option<f64>,
}

/// What a chart shows.
pub(super) struct Spec {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    pub(super) format: fn(f64) -> String,
    pub(super) series: &'static [Series],
}

/// A chart's place and scale.
pub(super) struct Chart<'a> {
    spec: &'a Spec,
    overview: &'a Overview,
    zone: Zone,
    right: f64,
    bottom: f64,
    grid: Vec<f64>,
}

impl<'a> Chart<'a> {
    pub(super) fn new(
        spec: &'a Spec,
        overview: &'a Overview,
        zone: Zone,
        (width, height): (f64, f64),
    ) -> Chart<'a> {
        let values = || {
            let all = spec.series.iter();
            all.flat_map(|series| overview.points.iter().filter_map(|(_, it)| (series.value)(it)))
        };
        let grid = match spec.kind {
            Kind::Logarithmic => decades(values()),
            Kind::Lines => ticks(values().fold(0.0, f64::max), spec.kind),
            Kind::Bars => {
                let tall = |point: &Point| -> f64 {
                    spec.series.iter().filter_map(|series| (series.value)(point)).sum()
                };
                let tallest = overview.points.iter().map(|(_, point)| tall(point));
                ticks(tallest.fold(0.0, f64::max), spec.kind)
            }
        };
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        Chart { spec, overview, zone, right, bottom, grid }
    }

    /// Adds the drawing. `about` describes it to those who do not see it.
    pub(super) fn draw(&self, to: &mut Markup, class: &'static str, about: &str) {
        to.tag("<svg class=\"").tag(class).tag("\" role=\"img\" viewBox=\"0 0 ");
        to.number(self.right + RIGHT);
        to.tag(" ").number(self.bottom + BOTTOM).tag("\" aria-label=\"").text(about).tag("\">");
        self.axes(to);
        match self.spec.kind {
            Kind::Bars => self.bars(to),
            Kind::Lines | Kind::Logarithmic => self.lines(to),
        }
        to.tag("</svg>");
    }

    fn axes(&self, to: &mut Markup) {
        for (nth, value) in self.grid.iter().enumerate() {
            let y = (self.y(*value) - 0.5).round() + 0.5;
            to.tag("<path class=\"").tag(if nth == 0 { "zero" } else { "grid" });
            to.tag("\" d=\"M").number(LEFT).tag(" ").number(y).tag("H").number(self.right);
            to.tag("\"/><text text-anchor=\"end\" x=\"").number(LEFT - 8.0).tag("\" y=\"");
            to.number(self.y(*value) + 4.0).tag("\">").text(&(self.spec.format)(*value));
            to.tag("</text>");
        }
        for mark in self.marks() {
            let x = self.x(mark);
            if x <= LEFT + 8.0 || x >= self.right - 14.0 {
                continue;
            }
            let time = self.zone.time(mark);
            let is_midnight = time.num_seconds_from_midnight() == 0;
            let label = match is_midnight {
                true => format!("{} {}", time.day(), time.format("%b")),
                false => time.format("%H:%M").to_string(),
            };
            to.tag("<text text-anchor=\"middle\"");
            to.tag(if is_midnight { " class=\"midnight\"" } else { "" }).tag(" x=\"").number(x);
            to.tag("\" y=\"").number(self.bottom + 16.0).tag("\">").text(&label).tag("</text>");
        }
    }

    /// Returns round times of the zone.
    fn marks(&self) -> Vec<Micros> {
        let (from, to) = (self.overview.from, self.overview.to);
        let about = ((self.right - LEFT) / 75.0).max(2.0);
        let seconds = (to - from) as f64 / 1e6;
        let step = STEPS.into_iter().find(|step| seconds / *step as f64 <= about);
        let step = step.unwrap_or(360 * DAY) * 1_000_000;
        let ahead = i64::from(self.zone.time(from).offset().local_minus_utc()) * 1_000_000;
        let first = from + (-(from + ahead)).rem_euclid(step);
        (0..).map(|nth| first + nth * step).take_while(|mark| *mark <= to).collect()
    }

    fn x(&self, at: Micros) -> f64 {
        let (from, to) = (self.overview.from, self.overview.to);
        LEFT + (at.clamp(from, to) - from) as f64 / (to - from).max(1) as f64 * (self.right - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = (self.grid[0], self.grid.last().copied().unwrap_or(1.0));
        let part = match self.spec.kind {
            Kind::Logarithmic => (value.max(low) / low).log10() / (high / low).log10(),
            Kind::Bars | Kind::Lines => value / high,
        };
        self.bottom - part * (self.bottom - TOP)
    }

    /// Returns where a point begins and ends.
    fn place(&self, start: Micros) -> (f64, f64) {
        (self.x(start), self.x(start + self.overview.step * 1_000_000))
    }

    /// The first series is at the bottom, where heights compare best. It is for the errors.
    fn bars(&self, to: &mut Markup) {
        let mut floors = vec![self.bottom; self.overview.points.len()];
        for series in self.spec.series {
            to.tag("<path class=\"").tag(series.class).tag("\"");
            to.tag(series.fill).tag(" d=\"");
            for ((start, point), floor) in self.overview.points.iter().zip(&mut floors) {
                let Some(value) = (series.value)(point).filter(|value| *value > 0.0) else {
                    continue;
                };
                let (left, right) = self.place(*start);
                let gap = if right - left > 5.0 { 1.0 } else { 0.0 };
                // One error among a million requests must be visible.
                let tall = (self.bottom - self.y(value)).max(1.5);
                *floor -= tall;
                to.tag("M").number(left).tag(" ").number(*floor);
                to.tag("h").number((right - left - gap).max(1.0)).tag("v").number(tall);
                to.tag("H").number(left).tag("z");
            }
            to.tag("\"/>");
        }
    }

    fn lines(&self, to: &mut Markup) {
        let step = self.overview.step * 1_000_000;
        for series in self.spec.series {
            to.tag("<path class=\"line ").tag(series.class).tag("\" d=\"");
            let mut before = None;
            for (start, point) in &self.overview.points {
                let Some(value) = (series.value)(point) else { continue };
                let (left, right) = self.place(*start);
                let goes_on = before == Some(*start - step);
                to.tag(if goes_on { "L" } else { "M" }).number((left + right) / 2.0).tag(" ");
                // A line without length is a dot because of its round ends, so a single value is visible.
                to.number(self.y(value)).tag(if goes_on { "" } else { "h0" });
                before = Some(*start);
            }
            to.tag("\"/>");
        }
    }
}

/// Adds the sign of a series in a legend.
pub(super) fn swatch(to: &mut Markup, kind: Kind, series: &Series) {
    to.tag("<svg class=\"swatch\" width=\"14\" height=\"12\" aria-hidden=\"true\">");
    match kind {
        Kind::Bars => {
            to.tag("<rect width=\"12\" height=\"12\" rx=\"2\" class=\"").tag(series.class);
            to.tag("\"").tag(series.fill).tag("/>");
        }
        Kind::Lines | Kind::Logarithmic => {
            to.tag("<path d=\"M0 6H14\" class=\"line ").tag(series.class).tag("\"/>");
        }
    }
    to.tag("</svg>");
}

/// Returns round values from 0 to at least `most`; whole ones for bars, which count.
fn ticks(most: f64, kind: Kind) -> Vec<f64> {
    if most <= 0.0 {
        return vec![0.0, 1.0];
    }
    let raw = most / 4.0;
    let size = 10_f64.powf(raw.log10().floor());
    let fits = |step: &f64| *step >= raw * 0.999;
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|n| n * size).into_iter().find(fits);
    let step = step.unwrap_or(10.0 * size);
    let step = if kind == Kind::Bars { step.ceil() } else { step };
    let number = (most * 0.999 / step).ceil().max(1.0) as u32;
    (0..=number).map(|nth| f64::from(nth) * step).collect()
}

/// Returns powers of ten around all values.
fn decades(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let bounds = values.filter(|value| *value > 0.0).fold(None, |bounds, value| {
        let (low, high) = bounds.unwrap_or((value, value));
        Some((f64::min(low, value), f64::max(high, value)))
    });
    let Some((low, high)) = bounds else { return vec![1e3, 1e4] };
    let low = low.log10().floor() as i32;
    let high = (high.log10().ceil() as i32).max(low + 1);
    (low..=high).map(|power| 10_f64.powi(power)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_lines_are_round_and_reach_over_the_values() {
        assert_eq!(ticks(0.0, Kind::Bars), [0.0, 1.0]);
        assert_eq!(ticks(87.0, Kind::Bars), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(ticks(2.0, Kind::Bars), [0.0, 1.0, 2.0]);
        assert_eq!(ticks(2.0, Kind::Lines), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(decades([1_500.0, 90_000.0].into_iter()), [1e3, 1e4, 1e5]);
        assert_eq!(decades(std::iter::empty()), [1e3, 1e4]);
    }
}
