//! Bar charts of a table's first column, as SVG that is readable on light and dark ground.

use std::fmt::Write as _;

use super::{Column, Report, Row, Side, Table};

const WIDTH: f64 = 760.0;
const BAR: f64 = 18.0;
const STEP: f64 = 27.0;
const TOP: f64 = 46.0;
/// Where the bars begin: the names are left of it.
const LEFT: f64 = 290.0;
/// What is left free on the right for the longest bar's number.
const RIGHT: f64 = 84.0;

/// Colours follow the reader's preference; the text takes the page's own where the file is opened by itself too.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#24292f}\
.title{font-weight:600;font-size:14px}\
.note{fill:#57606a;font-size:12px}\
.samovar{fill:#c2410c}.yardstick{fill:#57606a}.peer{fill:#3b82f6}\
.ground{fill:#ffffff}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.note{fill:#9da7b3}\
.samovar{fill:#fb923c}.yardstick{fill:#8b949e}.peer{fill:#60a5fa}\
.ground{fill:#0d1117}}";

/// Whether there is something to draw: more than one server.
pub(super) fn is_charted(table: &Table) -> bool {
    table.rows.iter().filter(|row| !row.values.is_empty()).count() > 1 && !table.columns.is_empty()
}

/// `(file name, SVG)` for each table with something to draw.
pub fn charts(report: &Report) -> Vec<(String, String)> {
    let charted = report.tables.iter().filter(|table| is_charted(table));
    charted.filter_map(|table| Some((format!("{}.svg", table.id), chart(table)?))).collect()
}

fn chart(table: &Table) -> Option<String> {
    let column = table.columns.first()?;
    let bars: Vec<(&Row, f64)> = table.rows.iter().filter_map(|row| Some((row, *row.values.first()?))).collect();
    let longest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + STEP * bars.len() as f64 + 8.0;
    let mut out = String::new();
    let text = format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"16\" y=\"20\">{title}</text>\n<text class=\"note\" x=\"16\" y=\"37\">{note}</text>\n",
        title = escape(&table.title),
        note = escape(&note(column)),
    );
    out.write_fmt(text).ok()?;
    for (index, (row, value)) in bars.iter().enumerate() {
        let y = TOP + STEP * index as f64;
        let length = ((WIDTH - LEFT - RIGHT) * value / longest).max(1.0);
        let bar = format_args!(
            "<text x=\"{name_x}\" y=\"{text_y}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text x=\"{value_x:.1}\" y=\"{text_y}\">{value:.digits$}</text>\n",
            name_x = LEFT - 8.0,
            text_y = y + 13.5,
            name = escape(&row.name),
            class = class(&row.side),
            value_x = LEFT + length + 6.0,
            digits = column.digits,
        );
        out.write_fmt(bar).ok()?;
    }
    out.push_str("</svg>\n");
    Some(out)
}

fn note(Column { name, unit, better, .. }: &Column) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    let better = match better {
        super::Better::Lower => "less is better",
        super::Better::Higher => "more is better",
    };
    format!("{name}{unit}: {better}")
}

fn class(side: &Side) -> &'static str {
    match side {
        Side::Samovar => "samovar",
        Side::Yardstick => "yardstick",
        Side::Peer { .. } => "peer",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Better;

    #[test]
    fn a_chart_has_a_bar_for_each_server_that_was_measured() {
        let row = |name: &str, values: Vec<f64>| Row::new(name, Side::Samovar, values);
        let table = Table {
            id: "case".to_owned(),
            title: "a < b".to_owned(),
            conditions: String::new(),
            measured: String::new(),
            columns: vec![Column::new("CPU", "us", 1, Better::Lower)],
            rows: vec![row("one", vec![2.0]), row("two", vec![4.0]), row("absent", Vec::new())],
            goals: Vec::new(),
        };
        let report = Report { tables: vec![table], ..Report::default() };
        let charts = charts(&report);
        assert_eq!(charts[0].0, "case.svg");
        let svg = &charts[0].1;
        assert_eq!(svg.matches("class=\"samovar\"").count(), 2);
        assert!(svg.contains("a &lt; b") && !svg.contains("absent"));
        // The longest bar takes all the room there is, the other half of it.
        assert!(svg.contains("width=\"386.0\"") && svg.contains("width=\"193.0\""));
    }
}
