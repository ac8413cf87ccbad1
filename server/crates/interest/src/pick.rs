//! Picking the member of a queue group that gets a message.

/// The order in which to offer a message to `len` members, from one random
/// number: the first is uniform over all (contract/core.md §1.7); if it cannot
/// take the message the others follow, each once, in strides that depend on the
/// random number, so that the share of an absent member is spread over all.
pub fn pick(len: usize, random: u64) -> Pick {
    let first = ((u128::from(random) * len as u128) >> 64) as usize;
    // The low bits decide the stride: the high ones decided the first member.
    let spread = random.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Pick { len, at: first, left: len, spread: spread as usize, stride: 0 }
}

/// See [`pick`].
#[derive(Debug, Clone)]
pub struct Pick {
    len: usize,
    at: usize,
    left: usize,
    spread: usize,
    /// 0 until the second member is asked for: it seldom is.
    stride: usize,
}

impl Iterator for Pick {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        if self.left < self.len {
            if self.stride == 0 {
                self.stride = coprime(self.len, self.spread);
            }
            self.at = (self.at + self.stride) % self.len;
        }
        self.left -= 1;
        Some(self.at)
    }
}

/// A stride in `1..len` that visits all of `len ≥ 2` places.
fn coprime(len: usize, spread: usize) -> usize {
    let mut stride = 1 + spread % (len - 1).max(1);
    while gcd(len, stride) != 1 {
        stride = 1 + stride % (len - 1);
    }
    stride
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed sequence that looks random.
    fn numbers() -> impl Iterator<Item = u64> {
        let mut x = 0x1234_5678_9abc_def1u64;
        std::iter::repeat_with(move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        })
    }

    #[test]
    fn every_member_is_offered_once() {
        for len in 0..40 {
            for random in numbers().take(50).chain([0, u64::MAX]) {
                let mut order: Vec<usize> = pick(len, random).collect();
                order.sort_unstable();
                assert_eq!(order, (0..len).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_first_is_uniform_and_the_fallback_is_spread() {
        let (len, absent, n) = (5, 2, 20_000);
        let mut first = [0u32; 5];
        let mut taken = [0u32; 5];
        for random in numbers().take(n) {
            let mut order = pick(len, random);
            first[order.next().unwrap()] += 1;
            taken[pick(len, random).find(|&m| m != absent).unwrap()] += 1;
        }
        assert!(first.iter().all(|&c| (3_600..4_400).contains(&c)), "{first:?}");
        assert_eq!(taken[absent], 0);
        let present = taken.iter().enumerate().filter(|(m, _)| *m != absent);
        assert!(present.clone().all(|(_, &c)| (4_500..5_500).contains(&c)), "{taken:?}");
    }
}
