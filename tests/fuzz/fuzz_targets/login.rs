//! See `gust_fuzz::login`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::login(data));
