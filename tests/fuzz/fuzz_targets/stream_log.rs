//! See `gust_fuzz::stream_log`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::stream_log(data));
