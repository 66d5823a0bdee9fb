//! What an alert makes of the number of replicas (wire.md section 5.2).

use super::step;
use crate::function::Scaling;

/// Replicas after an alert: one that fires adds a step up to the maximum, every other brings the
/// minimum back. A minimum above the maximum and the like are taken at their word, as they always
/// were.
pub fn alerted(firing: bool, current: u64, scaling: Scaling) -> u64 {
    let step = step(scaling);
    if firing && step > 0 {
        current.saturating_add(step).min(scaling.max)
    } else {
        scaling.min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_values() {
        for (firing, current, max, min, factor, expected) in [
            (true, 1, 20, 1, 20, 5),
            (true, 4, 20, 1, 20, 8),
            (true, 19, 20, 1, 20, 20),
            (true, 20, 20, 1, 20, 20),
            (true, 1, 5, 1, 30, 3),
            (true, 1, 4, 1, 1, 2),
            (true, 1, 20, 1, 100, 20),
            // Factor 0 disables growth, and any alert brings the minimum back.
            (true, 7, 20, 1, 0, 1),
            (true, 7, 20, 0, 0, 0),
            (false, 8, 20, 1, 20, 1),
            (true, 1, 10, 2, 30, 4),
            // A maximum below what is there, or below the minimum.
            (true, 9, 4, 1, 20, 4),
            (true, 1, 2, 5, 50, 2),
            (false, 2, 2, 5, 50, 5),
            // From zero and to zero.
            (false, 0, 20, 1, 20, 1),
            (false, 3, 20, 0, 20, 0),
            (true, 0, 20, 1, 20, 4),
        ] {
            let scaling = Scaling {
                min,
                max,
                factor,
                ..Scaling::default()
            };
            let replicas = alerted(firing, current, scaling);
            assert_eq!(
                replicas, expected,
                "{firing} {current} {max} {min} {factor}"
            );
        }
    }
}
