//! A row of numbers as a row of little bars.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One character a value, oldest first; `×` where there is none.
///
/// The scale goes from the smallest to the largest value, so that a small fall shows. Equal
/// values stand at half height.
#[must_use]
pub fn sparkline(values: &[Option<i64>]) -> String {
    let known = values.iter().flatten().copied();
    let (Some(low), Some(high)) = (known.clone().min(), known.max()) else {
        return "×".repeat(values.len());
    };
    let range = i128::from(high) - i128::from(low);
    values
        .iter()
        .map(|value| {
            value.map_or('×', |value| {
                bar(i128::from(value) - i128::from(low), range)
            })
        })
        .collect()
}

fn bar(above: i128, range: i128) -> char {
    if range == 0 {
        return BARS[3];
    }
    let last = BARS.len() - 1;
    let index = usize::try_from(above * 7 / range).unwrap_or(last);
    BARS[index.min(last)]
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn bars_show_what_moved() {
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[None, None]), "××");
        assert_eq!(sparkline(&[Some(5), Some(5)]), "▄▄");
        assert_eq!(sparkline(&[Some(0), Some(7), None, Some(3)]), "▁█×▄");
        assert_eq!(sparkline(&[Some(i64::MIN), Some(i64::MAX)]), "▁█");
        assert_eq!(
            sparkline(&[Some(5000), Some(5001), Some(4000)])
                .chars()
                .last(),
            Some('▁')
        );
    }
}
