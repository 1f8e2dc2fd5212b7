//! Plain text tables: a header, a rule, columns padded to their widest cell.

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A table as text, without a newline at its end.
pub fn render(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.chain([columns[index].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(columns).zip(&widths).map(|((cell, (_, align)), width)| {
            let gap = " ".repeat(width - cell.chars().count());
            if *align == Align::Left { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(columns.iter().map(|(name, _)| *name).collect())];
    lines.push("-".repeat(widths.iter().sum::<usize>() + 2 * columns.len().saturating_sub(1)));
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            vec![vec!["a".to_owned(), "1.0".to_owned()], vec!["wörter".to_owned(), "12.25".to_owned()]];
        let text = render(&[("name", Align::Left), ("ms", Align::Right)], &rows);
        assert_eq!(text, "name       ms\n-------------\na         1.0\nwörter  12.25");
    }
}
