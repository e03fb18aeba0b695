//! Tables in Markdown.

use std::fmt;

/// A head and rows of as many cells.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// It has more or fewer cells than the head.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cells: Vec<_> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.head.len(), "a cell for each column");
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    /// The first column to the left, numbers to the right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_number = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].as_str());
            let starts = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit());
            column > 0
                && cells.clone().any(starts)
                && cells.into_iter().all(|c| c.is_empty() || starts(c))
        };
        writeln!(f, "| {} |", self.head.join(" | "))?;
        for column in 0..self.head.len() {
            f.write_str(if is_number(column) { "|---:" } else { "|---" })?;
        }
        writeln!(f, "|")?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_to_the_right() {
        let mut table = Table::new(["who", "how long", "why"]);
        table.row(["Vec", "1.5", "3 reasons"]);
        table.row(["BlockSet", "", "none"]);
        let expected = "| who | how long | why |\n|---|---:|---|\n| Vec | 1.5 | 3 reasons |\n\
                        | BlockSet |  | none |\n";
        assert_eq!(table.to_string(), expected);
    }
}
