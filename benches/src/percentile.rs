//! Percentiles and medians.

/// The value that this share (from 0 to 1) of sorted ones stays below: one of them, and none when there are none.
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied()
}

/// The same of values in any order; not a number when there are none.
pub fn percentile_of(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, share).unwrap_or(f64::NAN)
}

/// The middle one of these values, or the mean of the middle two; not a number when there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(..=middle) {
        Some([.., below, above]) if values.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        Some([.., value]) => *value,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(percentile_of((1..=101).map(f64::from).collect(), 0.99), 100.0);
    }

    #[test]
    fn a_median_favours_neither_half() {
        assert_eq!(median(vec![2.0, 1.0]), 1.5);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![5.0]), 5.0);
        assert!(median(Vec::new()).is_nan());
    }
}
