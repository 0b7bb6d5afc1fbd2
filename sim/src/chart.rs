//! A chart of the share of cold starts, as SVG that is readable on light and dark ground.
//!
//! Not that of `benches`: the shares lie decades apart, so that the axis is logarithmic, and there is a bar for each policy in
//! each group of hosts.

use std::fmt::Write as _;

/// Bars that belong together.
#[derive(Debug, Clone)]
pub struct Group {
    /// What they have in common.
    pub name: String,
    /// `(name, value)`, values above 0.
    pub bars: Vec<(String, f64)>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 160.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 50.0;
const STEP: f64 = 20.0;
const HEADING: f64 = 26.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#24292f}\
.title{font-weight:600;font-size:14px}.group{font-weight:600}\
.note{fill:#57606a;font-size:12px}\
.ours{fill:#c2410c}.other{fill:#3b82f6}.line{stroke:#57606a;stroke-opacity:.25}\
.ground{fill:#ffffff}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.note{fill:#9da7b3}\
.ours{fill:#fb923c}.other{fill:#60a5fa}.line{stroke:#8b949e}\
.ground{fill:#0d1117}}";

/// Per cent on a logarithmic axis from 1 to 100; the bars named `ours` stand out.
pub fn chart(title: &str, note: &str, groups: &[Group], ours: &str) -> String {
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + HEADING * groups.len() as f64 + STEP * bars as f64 + 30.0;
    let mut out = String::new();
    push(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"16\" y=\"20\">{title}</text>\n\
             <text class=\"note\" x=\"16\" y=\"38\">{note}</text>\n"
        ),
    );
    for percent in [1.0, 3.0, 10.0, 30.0, 100.0] {
        let x = LEFT + length(percent);
        let (top, bottom) = (TOP, height - 24.0);
        push(
            &mut out,
            format_args!(
                "<line class=\"line\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text class=\"note\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{percent} %</text>\n",
                y = bottom + 14.0,
            ),
        );
    }
    let mut y = TOP;
    for group in groups {
        push(&mut out, format_args!("<text class=\"group\" x=\"16\" y=\"{}\">{}</text>\n", y + 18.0, group.name));
        y += HEADING;
        for (name, value) in &group.bars {
            let class = if name == ours { "ours" } else { "other" };
            bar(&mut out, name, *value, class, y);
            y += STEP;
        }
    }
    out.push_str("</svg>\n");
    out
}

fn bar(out: &mut String, name: &str, value: f64, class: &str, y: f64) {
    let length = length(value);
    push(
        out,
        format_args!(
            "<text x=\"{name_x}\" y=\"{text_y}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"14\" rx=\"2\"/>\
             <text x=\"{value_x:.1}\" y=\"{text_y}\">{value:.2}</text>\n",
            name_x = LEFT - 8.0,
            text_y = y + 11.5,
            value_x = LEFT + length + 6.0,
        ),
    );
}

/// How long a bar of so many per cent is.
fn length(percent: f64) -> f64 {
    ((WIDTH - LEFT - RIGHT) * percent.log10() / 2.0).max(1.0)
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_logarithm() {
        let bars = vec![("adaptive".to_owned(), 10.0), ("p2c".to_owned(), 100.0), ("none".to_owned(), 0.5)];
        let svg = chart("t", "n", &[Group { name: "g".to_owned(), bars }], "adaptive");
        assert!(svg.contains("class=\"ours\" x=\"160\" y=\"76\" width=\"260.0\""));
        assert!(svg.contains("width=\"520.0\"") && svg.contains("width=\"1.0\""));
    }
}
