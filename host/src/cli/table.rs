//! The tables of all commands: no wider than the terminal, and no name broken in the middle.
//!
//! A table that does not fit cuts its names and texts, each with an ellipsis. Columns for which
//! there is no room even so stand below their row, on lines of their own.

use std::fmt::{self, Display};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns between two cells.
const GAP: usize = 2;
/// How far the lines below a row are set in.
const INDENT: usize = 4;
/// Names and texts are not cut to less; what has less room goes below its row.
const NAME_MIN: usize = 12;
const TEXT_MIN: usize = 24;
const ELLIPSIS: char = '…';

/// What a column holds, and so what becomes of it where there is too little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// To the right, and never cut.
    Number,
    /// Never cut: what somebody copies or compares, as an id or a time.
    Whole,
    Name,
    Text,
    /// Several names. They go below the row before one is cut.
    List,
}

/// A column's title and kind.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    kind: Kind,
}

pub const fn number(title: &'static str) -> Column {
    Column { title, kind: Kind::Number }
}

pub const fn whole(title: &'static str) -> Column {
    Column { title, kind: Kind::Whole }
}

pub const fn name(title: &'static str) -> Column {
    Column { title, kind: Kind::Name }
}

pub const fn text(title: &'static str) -> Column {
    Column { title, kind: Kind::Text }
}

pub const fn list(title: &'static str) -> Column {
    Column { title, kind: Kind::List }
}

/// A table. As text it is as wide as the terminal.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

struct Row {
    cells: Vec<String>,
    notes: Vec<String>,
}

impl Table {
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// A row: a cell for each column. A list's members are separated by `, `.
    pub fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().map(|cell| printable(&cell)).collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(Row { cells, notes: Vec::new() });
    }

    /// A line below the last row.
    pub fn note(&mut self, note: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(printable(note));
        }
    }

    /// The table in lines of at most so many columns, without a line break at its end.
    pub fn render(&self, width: usize) -> String {
        let layout = Layout::of(self, width);
        let mut lines = layout.header(self);
        for row in &self.rows {
            lines.push(layout.line(self, &row.cells));
            lines.extend(layout.below(self, &row.cells, width));
            let room = width.saturating_sub(INDENT);
            lines.extend(row.notes.iter().map(|note| format!("{:INDENT$}{}", "", cut(note, room))));
        }
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }

    fn widest_cell(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row.cells[column].width()).max().unwrap_or_default()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(columns()))
    }
}

/// Which columns stand side by side, and how wide each is; none where it stands below its row.
struct Layout(Vec<Option<usize>>);

impl Layout {
    fn of(table: &Table, width: usize) -> Self {
        let natural: Vec<_> =
            table.columns.iter().enumerate().map(|(n, c)| table.widest_cell(n).max(c.title.width())).collect();
        if natural.iter().sum::<usize>() + GAP * natural.len().saturating_sub(1) <= width {
            return Self(natural.into_iter().map(Some).collect());
        }
        let mut used = 0;
        let mut widths = Vec::with_capacity(natural.len());
        for (n, column) in table.columns.iter().enumerate() {
            // A title of several words may stand in several lines.
            let title = column.title.split(' ').map(UnicodeWidthStr::width).max().unwrap_or_default();
            let cell = table.widest_cell(n).max(title);
            let least = match column.kind {
                Kind::Number | Kind::Whole | Kind::List => cell,
                Kind::Name => cell.min(NAME_MIN.max(title)),
                Kind::Text => cell.min(TEXT_MIN.max(title)),
            };
            let gap = if used == 0 { 0 } else { GAP };
            let fits = used + gap + least <= width;
            used += if fits { gap + least } else { 0 };
            // Something has to stand in the row itself.
            widths.push(if fits { Some(least) } else { (n == 0).then_some(width) });
        }
        let mut spare = width.saturating_sub(used);
        for kind in [Kind::Name, Kind::Text, Kind::List, Kind::Whole, Kind::Number] {
            while spare > 0 {
                let grows = |(n, width): &(usize, &mut Option<usize>)| {
                    table.columns[*n].kind == kind && width.is_some_and(|width| width < natural[*n])
                };
                let Some((_, Some(width))) =
                    widths.iter_mut().enumerate().filter(grows).min_by_key(|(_, width)| **width)
                else {
                    break;
                };
                *width += 1;
                spare -= 1;
            }
        }
        Self(widths)
    }

    /// Those that stand side by side: their places among the columns, and their widths.
    fn beside(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().enumerate().filter_map(|(n, width)| Some((n, (*width)?)))
    }

    fn header(&self, table: &Table) -> Vec<String> {
        let titles: Vec<Vec<String>> = self.beside().map(|(n, width)| wrapped(table.columns[n].title, width)).collect();
        let height = titles.iter().map(Vec::len).max().unwrap_or_default();
        let line = |at: usize| {
            let cells = titles.iter().map(|lines| {
                // The last word of a title stands just above its column.
                let missing = height - lines.len();
                at.checked_sub(missing).and_then(|at| lines.get(at)).cloned().unwrap_or_default()
            });
            self.joined(table, cells)
        };
        (0..height).map(line).collect()
    }

    fn line(&self, table: &Table, cells: &[String]) -> String {
        self.joined(table, self.beside().map(|(n, width)| cut(&cells[n], width)))
    }

    fn joined(&self, table: &Table, cells: impl Iterator<Item = String>) -> String {
        let padded = self.beside().zip(cells).map(|((n, width), cell)| {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match table.columns[n].kind {
                Kind::Number => padding + &cell,
                Kind::Whole | Kind::Name | Kind::Text | Kind::List => cell + &padding,
            }
        });
        padded.collect::<Vec<_>>().join(&" ".repeat(GAP))
    }

    /// What found no room in the row: a text in a line, the others in as few lines as hold them.
    fn below(&self, table: &Table, cells: &[String], width: usize) -> Vec<String> {
        let room = width.saturating_sub(INDENT);
        let (mut short, mut lines) = (Vec::new(), Vec::new());
        let left = self.0.iter().zip(&table.columns).zip(cells).filter(|((width, _), _)| width.is_none());
        for ((_, Column { title, kind }), cell) in left.filter(|(_, cell)| !matches!(cell.as_str(), "" | "-" | "?")) {
            match kind {
                Kind::Text => lines.push(cut(&format!("{title}: {cell}"), room)),
                Kind::List => lines.extend(packed(cell.split(", ").map(str::to_owned), &format!("{title}: "), room)),
                Kind::Number | Kind::Whole | Kind::Name => short.push(format!("{title} {cell}")),
            }
        }
        let mut all = packed(short.into_iter(), "", room);
        all.append(&mut lines);
        all.into_iter().map(|line| format!("{:INDENT$}{line}", "")).collect()
    }
}

/// Members with commas between, in as many lines as they take. Only what is longer than a line by
/// itself is cut.
fn packed(members: impl Iterator<Item = String>, first: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = first.to_owned();
    let mut is_bare = true;
    for member in members {
        if !is_bare && line.width() + ", ".len() + member.width() > room.saturating_sub(1) {
            lines.push(line + ",");
            (line, is_bare) = ("  ".to_owned(), true);
        }
        line.push_str(if is_bare { "" } else { ", " });
        line.push_str(&cut(&member, room.saturating_sub(line.width() + 1)));
        is_bare = false;
    }
    if !is_bare {
        lines.push(line);
    }
    lines
}

/// Text in lines that break between words. A word longer than a line is cut.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (text, mut lines) = (printable(text), Vec::<String>::new());
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.width() + 1 + word.width() <= width) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(cut(word, width)),
        }
    }
    lines
}

/// Text of at most so many columns; where there is more, its last is an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = ELLIPSIS.width().unwrap_or(1);
    for c in text.chars() {
        used += c.width().unwrap_or_default();
        if used > width {
            break;
        }
        shown.push(c);
    }
    let shown = shown.trim_end();
    if width == 0 { String::new() } else { format!("{shown}{ELLIPSIS}") }
}

/// The terminal's columns; where there is none what `COLUMNS` says, or no bound: what reads a pipe
/// wants all.
pub fn columns() -> usize {
    let terminal = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
    let variable = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    terminal.filter(|columns| *columns > 0).or_else(|| variable().filter(|columns| *columns > 0)).unwrap_or(usize::MAX)
}

/// A stranger may have written it: no control character reaches the terminal.
pub fn printable(cell: &str) -> String {
    cell.chars()
        .map(|c| {
            if c.is_whitespace() {
                ' '
            } else if c.is_control() {
                '·'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
