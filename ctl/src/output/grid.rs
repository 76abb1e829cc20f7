//! Tables without borders: a head, aligned columns, nothing else.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use super::{Page, paint::Tone};

#[derive(Debug)]
pub struct Grid {
    table: Table,
    empty: &'static str,
}

impl Grid {
    /// `empty` is what an operator reads when there is no row.
    #[must_use]
    pub fn new(page: &Page, head: &[&str], empty: &'static str) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if page.paint.is_coloured() {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if let Some(width) = page.width {
            table.set_width(width);
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(
            head.iter()
                .map(|name| Cell::new(name).add_attribute(Attribute::Dim)),
        );
        Self { table, empty }
    }

    pub fn row(&mut self, cells: Vec<Cell>) -> &mut Self {
        self.table.add_row(cells);
        self
    }

    /// Numbers stand at the right.
    #[must_use]
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.table.discover_columns();
        for column in columns {
            if let Some(column) = self.table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self
    }

    #[must_use]
    pub fn render(mut self) -> String {
        if self.table.row_count() == 0 {
            return format!("{}\n", self.empty);
        }
        let count = self.table.column_count();
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, if index + 1 == count { 0 } else { 2 }));
        }
        let mut text: String = self.table.trim_fmt();
        text.push('\n');
        text
    }
}

#[must_use]
pub fn plain(text: impl std::fmt::Display) -> Cell {
    Cell::new(text)
}

#[must_use]
pub fn toned(tone: Tone, text: impl std::fmt::Display) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Warn => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

/// A dash where there is nothing to say.
#[must_use]
pub fn or_dash(text: &str) -> Cell {
    if text.is_empty() {
        toned(Tone::Dim, "-")
    } else {
        plain(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Grid, Tone, or_dash, plain, toned};
    use crate::output::{Page, paint::Paint, testing::page};

    fn grid(page: &Page) -> String {
        let mut grid = Grid::new(page, &["NAME", "SIZE"], "no volumes").right(&[1]);
        grid.row(vec![plain("pgdata"), plain("5 MiB")]);
        grid.row(vec![toned(Tone::Bad, "x"), or_dash("")]);
        grid.render()
    }

    #[test]
    fn columns_line_up_without_borders() {
        assert_eq!(
            grid(&page()),
            "NAME     SIZE\npgdata  5 MiB\nx           -\n"
        );
    }

    #[test]
    fn colour_is_only_there_when_decided() {
        let coloured = Page {
            paint: Paint::coloured(),
            ..page()
        };
        assert!(grid(&coloured).contains('\u{1b}'));
        assert!(!grid(&page()).contains('\u{1b}'));
    }

    #[test]
    fn nothing_is_said_in_words() {
        let grid = Grid::new(&page(), &["NAME"], "no volumes");
        assert_eq!(grid.render(), "no volumes\n");
    }
}
