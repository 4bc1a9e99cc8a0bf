//! Columns of text: the first to the left, the others to the right.

/// Lines of equal columns; the first row is the head.
pub(super) fn render(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            if column == 0 {
                line.push_str(cell);
                line.push_str(&pad);
            } else {
                line.push_str("  ");
                line.push_str(&pad);
                line.push_str(cell);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            row(&["NAME", "µs"]),
            row(&["a", "10.25"]),
            row(&["long name", "3"]),
        ];
        assert_eq!(
            render(&rows),
            "NAME          µs\na          10.25\nlong name      3\n"
        );
    }

    #[test]
    fn a_short_row_ends_where_it_ends() {
        let rows = [row(&["NAME", "A", "B"]), row(&["none"])];
        assert_eq!(render(&rows), "NAME  A  B\nnone\n");
    }
}
