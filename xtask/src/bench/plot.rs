//! Grouped bars with whiskers, as SVG.

use super::statistics::Spread;
use std::fmt::Write;

/// A plot.
pub struct Bars {
    pub title: String,
    /// Names of the bars of a group.
    pub series: Vec<String>,
    pub groups: Vec<Group>,
    /// Small print.
    pub note: String,
}

/// Bars that stand together.
pub struct Group {
    pub name: String,
    /// By series.
    pub values: Vec<Option<Spread>>,
}

const COLOURS: [&str; 5] = ["#0072b2", "#e69f00", "#009e73", "#999999", "#cc79a7"];
const WIDTH: f64 = 860.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 60.0;
const HEIGHT: f64 = 280.0;

impl Bars {
    pub fn svg(&self) -> String {
        let greatest = self.groups.iter().flat_map(|g| g.values.iter().flatten()).map(|s| s.max).fold(0.0, f64::max);
        let step = step(greatest);
        let top = (greatest / step).ceil().max(1.0) * step;
        let y = |value: f64| TOP + HEIGHT - value / top * HEIGHT;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            TOP + HEIGHT + 60.0
        );
        let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>", escape(&self.title));
        for n in 0..=(top / step).round() as u32 {
            let value = f64::from(n) * step;
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                WIDTH - 10.0,
                LEFT - 6.0,
                y(value) + 4.0,
                number(value),
                y = y(value)
            );
        }
        for (at, name) in self.series.iter().enumerate() {
            let x = LEFT + at as f64 * 120.0;
            let colour = COLOURS[at % COLOURS.len()];
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"32\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"42\">{}</text>",
                x + 17.0,
                escape(name)
            );
        }
        let width = (WIDTH - LEFT - 10.0) / self.groups.len().max(1) as f64;
        let bar = width * 0.8 / self.series.len().max(1) as f64;
        for (g, group) in self.groups.iter().enumerate() {
            let left = LEFT + g as f64 * width + width * 0.1;
            for (s, value) in group.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let (x, middle) = (left + s as f64 * bar, left + (s as f64 + 0.5) * bar);
                let colour = COLOURS[s % COLOURS.len()];
                let _ = writeln!(
                    out,
                    "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/><line \
                     x1=\"{middle:.1}\" x2=\"{middle:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"black\"/><text \
                     x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    y(value.median),
                    bar * 0.9,
                    HEIGHT + TOP - y(value.median),
                    y(value.min),
                    y(value.max),
                    y(value.max) - 5.0,
                    number(value.median)
                );
            }
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                left + width * 0.4,
                TOP + HEIGHT + 18.0,
                escape(&group.name)
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"{}\" font-size=\"9\" fill=\"#555\">{}</text>\n</svg>",
            TOP + HEIGHT + 42.0,
            escape(&self.note)
        );
        out
    }
}

/// Distance of grid lines: 1, 2 or 5 times a power of ten, five to ten lines.
fn step(greatest: f64) -> f64 {
    if greatest <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf((greatest / 5.0).log10().floor());
    let times = greatest / 5.0 / power;
    power
        * if times < 2.0 {
            1.0
        } else if times < 5.0 {
            2.0
        } else {
            5.0
        }
}

fn number(value: f64) -> String {
    if value >= 20.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (greatest, expected) in [(9.0, 1.0), (12.0, 2.0), (30.0, 5.0), (410.0, 50.0), (0.9, 0.1), (0.0, 1.0)] {
            assert!((step(greatest) - expected).abs() < 1e-9, "{greatest}: {}", step(greatest));
        }
    }

    #[test]
    fn a_bar_for_each_value() {
        let spread = Spread { median: 2.0, min: 1.0, max: 3.0 };
        let bars = Bars {
            title: "a < b".to_owned(),
            series: vec!["x".to_owned(), "y".to_owned()],
            groups: vec![Group { name: "g".to_owned(), values: vec![Some(spread), None] }],
            note: String::new(),
        };
        let svg = bars.svg();
        assert!(svg.contains("a &lt; b"));
        // Background, two legends, one bar.
        assert_eq!(svg.matches("<rect").count(), 4);
    }
}
