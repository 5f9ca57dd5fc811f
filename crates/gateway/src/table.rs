//! Tables for a person's terminal.

/// Rows under their heads, columns as wide as their widest cell, numbers (the columns in `right`) at the right.
pub(crate) fn draw(head: &[&str], right: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut lines = vec![head.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let widths: Vec<usize> = (0..head.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let text =
                if right.contains(&head[column]) { format!("{pad}{cell}") } else { format!("{cell}{pad}") };
            out.push_str(&text);
            out.push_str("  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// Text from elsewhere on one line: what would move the cursor or colour the screen is shown as a blank.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_cannot_steer_the_terminal() {
        assert_eq!(one_line("no\u{1b}[2J\r\nfield é"), "no [2J  field é");
    }
}
