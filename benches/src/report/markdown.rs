//! The report as Markdown: what `docs/benchmarks.md` is made of.

use std::fmt::Write as _;

use super::{Column, Goal, Report, Row, Side, Table};

/// All tables with their headings, the goals first.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    machine(&mut out, report);
    goals(&mut out, &report.tables);
    ahead(&mut out, &report.tables);
    for table in &report.tables {
        push(&mut out, format_args!("\n## {}\n\n{}\n\n", table.title, table.conditions));
        if super::chart::is_charted(table) {
            push(&mut out, format_args!("![{}](benchmarks/{}.svg)\n\n", table.title, table.id));
        }
        out.push_str(&table_text(table));
    }
    out
}

/// One table.
pub fn table_text(table: &Table) -> String {
    let mut out = String::from("| server |");
    for Column { name, unit, .. } in &table.columns {
        let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
        push(&mut out, format_args!(" {name}{unit} |"));
    }
    push(&mut out, format_args!("\n| --- |{}\n", " --: |".repeat(table.columns.len())));
    for row in &table.rows {
        push(&mut out, format_args!("| {} |", name(row)));
        for (index, column) in table.columns.iter().enumerate() {
            match row.values.get(index) {
                Some(value) => push(&mut out, format_args!(" {} |", number(*value, column.digits))),
                None => push(&mut out, format_args!(" {} |", row.missing)),
            }
        }
        out.push('\n');
    }
    out
}

fn machine(out: &mut String, report: &Report) {
    let machine = &report.machine;
    let dates: Vec<_> = report.tables.iter().map(|table| table.measured.as_str()).collect();
    let (first, last) = (dates.iter().min().unwrap_or(&""), dates.iter().max().unwrap_or(&""));
    push(
        out,
        format_args!(
            "Measured {first} to {last}, commit `{}`, on {} cores of {}, {} GiB of memory, Linux {}.\n\n",
            machine.commit, machine.cores, machine.processor, machine.memory_gib, machine.kernel
        ),
    );
    out.push_str("| server | version | |\n| --- | --- | --- |\n");
    for peer in &report.peers {
        let version = peer.version.as_deref().unwrap_or("absent");
        push(out, format_args!("| {} | {version} | {} |\n", peer.name, peer.note));
    }
}

fn goals(out: &mut String, tables: &[Table]) {
    out.push_str("\n## What is aimed at\n\n| case | aim | measured | |\n| --- | --- | --- | --- |\n");
    for table in tables {
        for Goal { what, reach, got, met } in &table.goals {
            let verdict = if *met { "reached" } else { "**missed**" };
            push(out, format_args!("| {what} | {reach} | {got} | {verdict} |\n"));
        }
    }
}

fn ahead(out: &mut String, tables: &[Table]) {
    out.push_str("\n## Where a peer is ahead\n\n");
    let mut lines = String::new();
    for table in tables {
        for (row, column, ours, theirs) in table.ahead() {
            let Side::Peer { against } = &row.side else { continue };
            let show = |value: f64| format!("{} {}", number(value, column.digits), column.unit).trim_end().to_owned();
            push(
                &mut lines,
                format_args!(
                    "| {} | {} | {} | {} | {against}: {} |\n",
                    table.title,
                    column.name,
                    row.name,
                    show(theirs),
                    show(ours)
                ),
            );
        }
    }
    if lines.is_empty() {
        out.push_str("Nowhere in this run, beyond 3 %.\n");
    } else {
        out.push_str(
            "By more than 3 %.\n\n| case | in | peer | its value | Samovar |\n| --- | --- | --- | --- | --- |\n",
        );
        out.push_str(&lines);
    }
}

fn name(row: &Row) -> String {
    if row.side == Side::Samovar { format!("**{}**", row.name) } else { row.name.clone() }
}

/// A number with thin groups of thousands, as a reader takes it in.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && digit.is_ascii_digit() && whole.len() > 4 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or(grouped.clone(), |rest| format!("{grouped}.{rest}"))
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_from_five_digits_on() {
        assert_eq!(number(1234.0, 0), "1234");
        assert_eq!(number(1_234_567.25, 1), "1,234,567.2");
        assert_eq!(number(0.456, 2), "0.46");
    }
}
