//! See `gust_fuzz::consumer_delta`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::consumer_delta(data));
