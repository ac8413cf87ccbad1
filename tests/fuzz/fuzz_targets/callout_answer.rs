//! See `gust_fuzz::callout_answer`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::callout_answer(data));
