//! The load: how often functions are called, how long they take, how bursty they are.
//!
//! From the characterisation of Azure Functions in Shahrad et al., "Serverless in the Wild", USENIX ATC 2020, section 3:
//! - rates: 45 % of the applications are called at most once an hour, 81 % at most once a minute, and the other 19 % make
//!   99.6 % of all calls. Between these points rates are log-uniform; the ends are half a call a day, and the rate that
//!   makes the busy ones' part 99.6 %. (The paper's fleet spans eight orders of magnitude, these 10,000 functions six.)
//! - execution times: a function's mean is log-normal with parameters -0.38 and 2.36 (of the logarithm of seconds), the fit of
//!   the paper's figure 7; cut off below 1 ms and above 30 s, Samovar's default time-out. Rate and time are independent.
//! - arrivals: the paper's figure 6 has coefficients of variation from 0 (timers) over 1 (Poisson) to far more. Here a fifth of
//!   the functions is periodic, two fifths are Poisson, and two fifths have bursts: gaps that are hyperexponential with
//!   balanced means and a coefficient of variation of 3.
//!
//! Of this simulation's own making: one call's time is log-normal around its function's mean (sigma 0.3), and in a flash crowd
//! one function in a hundred is called ten times as often for a minute.

use fastrand::Rng;

/// `(part of the functions, calls a day)`: at most so often are so many called.
const RATES: [(f64, f64); 4] = [(0.0, 0.5), (0.45, 24.0), (0.81, 1440.0), (1.0, 1.15e6)];
const SECONDS_A_DAY: f64 = 86_400.0;

/// Of the logarithm of the mean execution time in seconds.
const TIME_MU: f64 = -0.38;
const TIME_SIGMA: f64 = 2.36;
const SHORTEST_SECONDS: f64 = 0.001;
const LONGEST_SECONDS: f64 = 30.0;
const CALL_SIGMA: f64 = 0.3;

/// The coefficient of variation of bursty functions' gaps.
const BURSTY_VARIATION: f64 = 3.0;

/// In a flash crowd, one function in so many is called so much more often.
const CROWD_ONE_IN: usize = 100;
const CROWD_FACTOR: f64 = 10.0;

/// How a function's calls follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Always the same gap.
    Periodic,
    /// Exponential gaps.
    Poisson,
    /// Many short gaps, few long ones.
    Bursty,
}

/// One function's calls. It has random numbers of its own, so that every policy is given the same calls.
#[derive(Debug, Clone)]
pub struct Function {
    /// Calls a second, over time.
    pub rate: f64,
    /// What a call takes in the mean, in seconds.
    pub mean_seconds: f64,
    /// How calls follow one another.
    pub arrivals: Arrivals,
    in_crowd: bool,
    rng: Rng,
}

/// When the flash crowd comes and goes, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// Its first second.
    pub from: f64,
    /// The second after its last.
    pub to: f64,
}

/// So many functions, the same ones for the same seed.
pub fn functions(count: usize, seed: u64) -> Vec<Function> {
    let mut rng = Rng::with_seed(seed);
    let mut ranks: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut ranks);
    let make = |(index, rank): (usize, usize)| {
        let mean_seconds = (TIME_MU + TIME_SIGMA * normal(&mut rng)).exp().clamp(SHORTEST_SECONDS, LONGEST_SECONDS);
        Function {
            rate: rate((rank as f64 + 0.5) / count as f64),
            mean_seconds,
            arrivals: match rng.usize(..5) {
                0 => Arrivals::Periodic,
                1 | 2 => Arrivals::Poisson,
                _ => Arrivals::Bursty,
            },
            in_crowd: index.is_multiple_of(CROWD_ONE_IN),
            rng: rng.fork(),
        }
    };
    ranks.into_iter().enumerate().map(make).collect()
}

/// Calls a second of the function at this part of all, ordered by rate.
fn rate(part: f64) -> f64 {
    let above = RATES.iter().position(|(upper, _)| part <= *upper).unwrap_or(RATES.len() - 1).max(1);
    let ((from, low), (to, high)) = (RATES[above - 1], RATES[above]);
    let way = (part - from) / (to - from);
    (low.ln() + (high.ln() - low.ln()) * way).exp() / SECONDS_A_DAY
}

impl Function {
    /// Where in its period, or before its first call, it is at the beginning, in seconds.
    pub fn first_gap(&mut self) -> f64 {
        self.rng.f64() / self.rate
    }

    /// Seconds from a call at `now` to the next.
    pub fn gap(&mut self, now: f64, crowd: Crowd) -> f64 {
        let mean = 1.0 / self.rate;
        let gap = match self.arrivals {
            Arrivals::Periodic => mean,
            Arrivals::Poisson => mean * exponential(&mut self.rng),
            Arrivals::Bursty => mean * self.bursty(),
        };
        let crowded = self.in_crowd && (crowd.from..crowd.to).contains(&now);
        if crowded { gap / CROWD_FACTOR } else { gap }
    }

    /// Seconds that a call takes.
    pub fn seconds(&mut self) -> f64 {
        // Less half of the variance, so that the mean is the mean.
        let call = (CALL_SIGMA * normal(&mut self.rng) - CALL_SIGMA * CALL_SIGMA / 2.0).exp();
        (self.mean_seconds * call).min(LONGEST_SECONDS)
    }

    /// Which of so many gateways a call comes through.
    pub fn gateway(&mut self, gateways: usize) -> usize {
        self.rng.usize(..gateways)
    }

    /// A hyperexponential gap of mean 1, with balanced means (Whitt, "Approximating a Point Process by a Renewal Process",
    /// Operations Research 1982).
    fn bursty(&mut self) -> f64 {
        let square = BURSTY_VARIATION * BURSTY_VARIATION;
        let short = 0.5 * (1.0 + ((square - 1.0) / (square + 1.0)).sqrt());
        let part = if self.rng.f64() < short { short } else { 1.0 - short };
        exponential(&mut self.rng) / (2.0 * part)
    }
}

fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// A standard normal number (Box and Muller, 1958).
fn normal(rng: &mut Rng) -> f64 {
    let (radius, angle) = ((2.0 * exponential(rng)).sqrt(), std::f64::consts::TAU * rng.f64());
    radius * angle.cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_paper() {
        let functions = functions(10_000, 1);
        let at_most = |rate: f64| functions.iter().filter(|f| f.rate <= rate).count() as f64 / 1e4;
        assert!((at_most(1.0 / 3600.0) - 0.45).abs() < 0.001);
        assert!((at_most(1.0 / 60.0) - 0.81).abs() < 0.001);
        let sum = |least: f64| functions.iter().map(|f| f.rate).filter(|rate| *rate > least).sum::<f64>();
        let busy = sum(1.0 / 60.0) / sum(0.0);
        assert!((busy - 0.996).abs() < 0.0005, "{busy}");
    }

    #[test]
    fn execution_times_are_those_of_the_paper() {
        let mut means: Vec<f64> = functions(10_000, 1).iter().map(|f| f.mean_seconds).collect();
        means.sort_by(f64::total_cmp);
        // Half of the functions take less than a second; e to the -0.38 is 0.68.
        assert!((means[5_000] - 0.68).abs() < 0.05, "{}", means[5_000]);
        assert_eq!(means[9_999], LONGEST_SECONDS);
    }

    #[test]
    fn gaps_have_the_mean_and_the_variation_that_is_said() {
        let nobody = Crowd { from: 0.0, to: 0.0 };
        for (arrivals, variation) in [(Arrivals::Periodic, 0.0), (Arrivals::Poisson, 1.0), (Arrivals::Bursty, 3.0)] {
            let mut function = functions(1, 7).remove(0);
            function.arrivals = arrivals;
            function.rate = 2.0;
            let gaps: Vec<f64> = (0..200_000).map(|_| function.gap(0.0, nobody)).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((mean - 0.5).abs() < 0.02, "{arrivals:?}: {mean}");
            assert!((variance.sqrt() / mean - variation).abs() < 0.1, "{arrivals:?}: {}", variance.sqrt() / mean);
        }
    }
}
