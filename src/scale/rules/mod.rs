//! Rules of scaling: counters in, replicas out. They know no clock, no provider and no function.

mod alert;
mod classic;
mod idle;
mod target;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod traces;

pub use alert::alerted;
pub use classic::Classic;
pub use idle::Idle;
pub use target::Follow;

use crate::function::Scaling;

/// Replicas that the classic rule and alerts add at once: a part of the largest number, rounded up
/// (wire.md section 5.2, in the same order of operations).
fn step(scaling: Scaling) -> u64 {
    (scaling.max as f64 / 100.0 * scaling.factor as f64).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_a_part_of_the_largest_number_rounded_up() {
        for (max, factor, expected) in [
            (20, 20, 4),
            (5, 30, 2),
            (4, 1, 1),
            (20, 100, 20),
            (20, 0, 0),
        ] {
            let scaling = Scaling {
                max,
                factor,
                ..Scaling::default()
            };
            assert_eq!(step(scaling), expected, "{max} {factor}");
        }
    }
}
