//! Horizontal bars that start at 1, drawn as SVG: to the right for more, to the left for less.

use std::fmt::Write as _;

/// Ratios, in groups of one bar for each series.
pub(crate) struct Chart {
    /// Title.
    pub(crate) title: &'static str,
    /// Subtitle: the workload, and how to read the bars.
    pub(crate) note: &'static str,
    /// Name and colour of each series.
    pub(crate) series: Vec<(&'static str, &'static str)>,
    /// Groups from top to bottom.
    pub(crate) groups: Vec<Bars>,
}

/// The bars of one group.
pub(crate) struct Bars {
    /// Name beside the bars.
    pub(crate) name: String,
    /// A ratio for each series; `None` if there is none.
    pub(crate) values: Vec<Option<f64>>,
}

const WIDTH: f64 = 760.0;
/// Left edge of the axis; the names of groups are beside it.
const LEFT: f64 = 160.0;
/// Right edge of the axis; beyond it there is room for the value of a bar.
const RIGHT: f64 = WIDTH - 70.0;
/// Distance from bar to bar.
const BAR: f64 = 16.0;
/// Distance between groups.
const GAP: f64 = 10.0;
/// Room above the bars, for the title, the note and the legend.
const TOP: f64 = 84.0;

/// The values that may be marked on the axis, which is logarithmic.
const TICKS: [f64; 13] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];

impl Chart {
    /// Returns the drawing.
    pub(crate) fn svg(&self) -> String {
        let values = || self.groups.iter().flat_map(|group| group.values.iter().flatten());
        let low = values().fold(1.0, |low: f64, value| low.min(*value));
        let high = values().fold(2.0, |high: f64, value| high.max(*value));
        let x = |value: f64| LEFT + (RIGHT - LEFT) * (value / low).ln() / (high / low).ln();

        let mut bars = String::new();
        let mut y = TOP;
        for group in self.groups.iter().filter(|group| group.values.iter().any(Option::is_some)) {
            let shown = self.series.iter().zip(&group.values);
            let shown: Vec<_> =
                shown.filter_map(|(series, value)| Some((series.1, (*value)?))).collect();
            let middle = y + shown.len() as f64 * BAR / 2.0 + 4.0;
            text(&mut bars, (LEFT - 10.0, middle), "text-anchor=\"end\"", &group.name);
            for (color, value) in shown {
                let (from, to) = (x(value.min(1.0)), x(value.max(1.0)));
                rectangle(&mut bars, (from, y), (to - from, BAR - 3.0), color);
                text(&mut bars, (to + 5.0, y + 11.0), "", &format!("{value:.2}"));
                y += BAR;
            }
            y += GAP;
        }

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{0}\" \
             viewBox=\"0 0 {WIDTH} {0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            y + 24.0
        );
        text(&mut svg, (12.0, 24.0), "font-size=\"16\" font-weight=\"bold\"", self.title);
        text(&mut svg, (12.0, 43.0), "fill=\"#4b5563\"", self.note);
        let mut at = 12.0;
        for (name, color) in &self.series {
            rectangle(&mut svg, (at, 55.0), (12.0, 12.0), color);
            text(&mut svg, (at + 17.0, 65.0), "", name);
            at += 40.0 + 6.5 * name.len() as f64;
        }
        for tick in TICKS.into_iter().filter(|tick| (low..=high).contains(tick)) {
            let (at, color) = (x(tick), if tick == 1.0 { "#374151" } else { "#e5e7eb" });
            rectangle(&mut svg, (at, TOP - 6.0), (1.0, y - TOP + 6.0), color);
            text(&mut svg, (at, y + 12.0), "text-anchor=\"middle\"", &tick.to_string());
        }
        svg + &bars + "</svg>\n"
    }
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
    );
}

/// Writes text at a point of its baseline. The text must not need escaping.
fn text(svg: &mut String, (x, y): (f64, f64), style: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> String {
        let values = values.iter().copied().map(Some).collect();
        let groups = vec![Bars { name: "push".to_owned(), values }];
        Chart { title: "t", note: "n", series: vec![("a", "red"), ("b", "blue")], groups }.svg()
    }

    #[test]
    fn bars_start_at_one() {
        let svg = chart(&[0.5, 2.0]);
        // From 0.5 to 2 the axis is 530 wide, and 1 is its middle.
        for bar in
            ["x=\"160.0\" y=\"84.0\" width=\"265.0\"", "x=\"425.0\" y=\"100.0\" width=\"265.0\""]
        {
            assert!(svg.contains(bar), "{svg}");
        }
        for shown in [">push<", ">0.50<", ">2.00<", ">a<", ">b<", ">1<", ">t<", ">n<"] {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
    }

    #[test]
    fn an_axis_without_lesser_values_starts_at_one() {
        assert!(chart(&[4.0]).contains("x=\"160.0\" y=\"84.0\" width=\"530.0\""));
    }
}
