//! Charts: lines over time, as SVG. Labels stand beside the drawing, so that it can be stretched to
//! any width.

use maud::{Markup, html};

/// The drawing's own units; the page stretches it.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// Lines in one chart. What is over it is not drawn.
pub const SERIES_MAX: usize = 6;

/// A chart over the latest time.
pub struct Chart<'a> {
    pub title: &'a str,
    /// How values are told.
    pub unit: fn(f64) -> String,
    /// The least that the axis ends at.
    pub at_least: f64,
    /// A line across: a limit.
    pub limit: Option<f64>,
    pub series: Vec<Series>,
    /// What stands at the left end of the time axis.
    pub since: String,
}

/// One line: a value a step, oldest first; none where it is not known.
pub struct Series {
    pub name: String,
    /// The class that gives its colour: `s1` and so on, or `good`, `warn`, `bad`.
    pub tone: &'static str,
    pub values: Vec<Option<f64>>,
}

/// Colours of lines that have no meaning of their own.
pub const TONES: [&str; SERIES_MAX] = ["s1", "s2", "s3", "s4", "s5", "s6"];

impl Chart<'_> {
    pub fn render(&self) -> Markup {
        let most = self.series.iter().flat_map(|series| series.values.iter().flatten()).fold(0.0_f64, |a, b| a.max(*b));
        let top = nice(most.max(self.at_least).max(self.limit.unwrap_or(0.0)));
        let one = self.series.len() == 1;
        html! {
            figure .chart {
                figcaption {
                    span .name { (self.title) }
                    span .legend {
                        @for series in &self.series {
                            span .key {
                                @if !one || series.name != self.title { i class=(series.tone) {} (series.name) " " }
                                b { (series.last().map_or_else(|| "–".into(), self.unit)) }
                            }
                        }
                    }
                }
                div .plot {
                    div .axis aria-hidden="true" {
                        span { ((self.unit)(top)) } span { ((self.unit)(top / 2.0)) } span { ((self.unit)(0.0)) }
                    }
                    svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                        aria-label=(self.in_words()) {
                        @for share in [0.0, 0.5, 1.0] { (line_across("grid", y(share, 1.0))) }
                        @if let Some(limit) = self.limit { (line_across("limit", y(limit, top))) }
                        @for series in &self.series {
                            @if one { @for area in series.areas(top) { polygon class=(format!("area {}", series.tone)) points=(area) {} } }
                            @for line in series.lines(top) { polyline class=(format!("line {}", series.tone)) points=(line) {} }
                        }
                    }
                }
                div .times aria-hidden="true" { span { (self.since) } span { "now" } }
            }
        }
    }

    fn in_words(&self) -> String {
        let parts = self.series.iter().map(|series| {
            let last = series.last().map_or_else(|| "not known".into(), self.unit);
            let most = series.values.iter().flatten().fold(0.0_f64, |a, b| a.max(*b));
            format!("{} now {last}, at most {}", series.name, (self.unit)(most))
        });
        format!("{}: {}", self.title, parts.collect::<Vec<_>>().join("; "))
    }
}

impl Series {
    fn last(&self) -> Option<f64> {
        self.values.last().copied().flatten()
    }

    /// The stretches without a gap, as points.
    fn stretches(&self, top: f64) -> Vec<Vec<(f64, f64)>> {
        let step = WIDTH / (self.values.len().max(2) - 1) as f64;
        let points: Vec<_> =
            self.values.iter().enumerate().map(|(n, value)| value.map(|v| (n as f64 * step, y(v, top)))).collect();
        let stretches = points.split(Option::is_none).filter(|stretch| !stretch.is_empty());
        stretches.map(|stretch| stretch.iter().flatten().copied().collect()).collect()
    }

    fn lines(&self, top: f64) -> Vec<String> {
        self.stretches(top).iter().map(|stretch| coordinates(stretch)).collect()
    }

    fn areas(&self, top: f64) -> Vec<String> {
        let closed = |stretch: &Vec<(f64, f64)>| {
            let (first, last) = (stretch.first()?.0, stretch.last()?.0);
            Some(format!("{first:.1},{HEIGHT} {} {last:.1},{HEIGHT}", coordinates(stretch)))
        };
        self.stretches(top).iter().filter_map(closed).collect()
    }
}

fn coordinates(points: &[(f64, f64)]) -> String {
    // A single point is drawn as a short dash.
    let (x, y) = points[0];
    let dash = if points.len() == 1 { format!("{:.1},{y:.1} ", x - 2.0) } else { String::new() };
    dash + &points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

fn line_across(class: &str, y: f64) -> Markup {
    html! { line class=(class) x1="0" x2=(WIDTH) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {} }
}

/// Where a value stands: a line at the very edge would be cut in half.
fn y(value: f64, top: f64) -> f64 {
    HEIGHT - 1.0 - (HEIGHT - 2.0) * (value / top).clamp(0.0, 1.0)
}

/// The next of 1, 2, 5, 10, … that is not less.
fn nice(most: f64) -> f64 {
    let power = 10f64.powf(most.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|top| *top >= most - 1e-9).unwrap_or(most)
}

/// From one end of a scale to the other: how much of it is used.
pub fn meter(label: &str, used: f64, of: f64, tone: &str) -> Markup {
    let share = if of > 0.0 { (used / of).clamp(0.0, 1.0) } else { 0.0 };
    html! {
        svg .meter viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect .track width="100" height="6" {}
            rect class=(format!("fill {tone}")) width=(format!("{:.2}", share * 100.0)) height="6" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!(
            [0.3, 1.0, 1.1, 7.0, 10.0, 23.0, 499.0, 501.0].map(nice),
            [0.5, 1.0, 2.0, 10.0, 10.0, 50.0, 500.0, 1000.0]
        );
    }

    #[test]
    fn a_line_has_a_gap_where_nothing_is_known() {
        let series = Series { name: "a".into(), tone: "s1", values: vec![Some(0.0), Some(10.0), None, Some(5.0)] };
        assert_eq!(series.lines(10.0), ["0.0,119.0 200.0,1.0", "598.0,60.0 600.0,60.0"]);
        let none = Series { name: "a".into(), tone: "s1", values: Vec::new() };
        assert!(none.lines(1.0).is_empty() && none.areas(1.0).is_empty());
    }
}
