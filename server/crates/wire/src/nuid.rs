//! Unique tokens: 12 random characters, then a counter of 10 that starts and
//! steps at random, all base 62. The same shape as the NUIDs of NATS clients.

/// Characters of a token.
pub const LEN: usize = 22;
/// Random bytes a generator is made from.
pub const SEED_LEN: usize = 16;

const PREFIX_LEN: usize = 12;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62¹⁰: the counter is below.
const MAX_COUNTER: u64 = 839_299_365_868_340_224;
const MIN_STEP: u64 = 33;
const MAX_STEP: u64 = 333;

/// Generator of tokens. Pure: all randomness is in the seed, so two generators
/// with the same seed give the same tokens; seed it from the operating system.
#[derive(Clone)]
pub struct Nuid {
    token: [u8; LEN],
    counter: u64,
    step: u64,
    state: [u64; 2],
}

impl Nuid {
    /// A generator from random bytes.
    pub fn new(seed: [u8; SEED_LEN]) -> Self {
        let n = u128::from_le_bytes(seed);
        // xoroshiro must not start from zero.
        let state = if n == 0 { [1, 1] } else { [n as u64, (n >> 64) as u64] };
        let mut nuid = Nuid { token: [b'0'; LEN], counter: 0, step: MIN_STEP, state };
        nuid.renew();
        nuid
    }

    /// The next token.
    pub fn next_token(&mut self) -> [u8; LEN] {
        self.counter += self.step;
        if self.counter >= MAX_COUNTER {
            self.renew();
        }
        let mut n = self.counter;
        for slot in self.token.iter_mut().skip(PREFIX_LEN).rev() {
            *slot = character(n % 62);
            n /= 62;
        }
        self.token
    }

    /// The next token as a string.
    pub fn next_string(&mut self) -> String {
        self.next_token().iter().map(|&b| char::from(b)).collect()
    }

    /// A new prefix, counter and step.
    fn renew(&mut self) {
        for i in 0..PREFIX_LEN {
            let r = self.random();
            if let Some(slot) = self.token.get_mut(i) {
                *slot = character(r % 62);
            }
        }
        self.counter = self.random() % MAX_COUNTER;
        self.step = MIN_STEP + self.random() % (MAX_STEP - MIN_STEP);
    }

    /// xoroshiro128++.
    fn random(&mut self) -> u64 {
        let [s0, mut s1] = self.state;
        let out = s0.wrapping_add(s1).rotate_left(17).wrapping_add(s0);
        s1 ^= s0;
        self.state = [s0.rotate_left(49) ^ s1 ^ (s1 << 21), s1.rotate_left(28)];
        out
    }
}

fn character(n: u64) -> u8 {
    ALPHABET.get(n as usize).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_differ_and_are_base_62() {
        let mut nuid = Nuid::new([7; SEED_LEN]);
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let token = nuid.next_string();
            assert_eq!(token.len(), LEN);
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric()));
            assert!(seen.insert(token));
        }
    }

    #[test]
    fn the_seed_decides() {
        let first = |seed| Nuid::new([seed; SEED_LEN]).next_token();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        assert_ne!(first(0), [b'0'; LEN]);
    }

    #[test]
    fn an_exhausted_counter_gets_a_new_prefix() {
        let mut nuid = Nuid::new([3; SEED_LEN]);
        let before = nuid.next_token();
        nuid.counter = MAX_COUNTER - 1;
        assert_ne!(before[..PREFIX_LEN], nuid.next_token()[..PREFIX_LEN]);
        assert!(nuid.counter < MAX_COUNTER);
    }
}
